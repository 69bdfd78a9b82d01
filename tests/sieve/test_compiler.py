"""What is wrong with a script, as its author is told."""

import pytest

from engine.sieve import EXTENSIONS, Limits, ScriptError, compile_script, loads
from engine.sieve.checks import CHECKS
from engine.sieve.commands import COMMANDS as COMMANDS_RUN
from engine.sieve.conditions import TESTS as TESTS_RUN
from engine.sieve.forms import COMMANDS, TESTS

ALL = "require [" + ", ".join(f'"{name}"' for name in sorted(EXTENSIONS - {"ihave"})) + "];\n"

WRONG = [
    ('fileinto "x";', '1:1: `fileinto` needs require "fileinto"'),
    ('require "fileint";', '1:9: no extension is named "fileint"; did you mean `fileinto`?'),
    ('keep; require "fileinto";', "1:7: `require` stands before all other commands"),
    ('if true { require "fileinto"; }', "1:11: `require` stands before all other commands"),
    ("require 5;", "1:1: `require` takes a string or a list of strings"),
    ("frobnicate;", "1:1: no command is named `frobnicate`"),
    ("kep;", "1:1: no command is named `kep`; did you mean `keep`?"),
    ("if keep {}", "1:4: `keep` is no test, but a command"),
    ("true;", "1:1: `true` is no command, but a test"),
    ("else { keep; }", "1:1: `else` without `if`"),
    ("if true {} keep; elsif true {}", "1:18: `elsif` without `if`"),
    ("if true {} else {} else {}", "1:20: `else` without `if`"),
    ("if true;", "1:1: `if` needs a block"),
    ("if { keep; }", "1:1: `if` takes one test"),
    ("if not (true, false) {}", "1:4: `not` takes one test"),
    ("if anyof {}", "1:4: `anyof` takes a list of tests in parentheses"),
    ("keep {}", "1:1: `keep` has no block"),
    ("keep\nstop;", "2:1: `keep` takes no test, or a `;` is missing before this"),
    ('keep "x";', "1:6: `keep` takes no argument, not so many"),
    ("redirect;", "1:1: `redirect` takes a string"),
    ("redirect 5;", "1:10: `redirect` takes a string here"),
    ('redirect ["a@b.test"];', "1:10: `redirect` takes a string here"),
    ('redirect "nobody";', '1:10: "nobody" is no address: an address is local-part@domain'),
    ('redirect :copy "a@b.test";', '1:10: `:copy` needs require "copy"'),
    ('redirect :cpy "a@b.test";', "1:10: `redirect` has no `:cpy`; did you mean `:copy`?"),
    ("if size 5 {}", "1:4: `size` needs `:over` or `:under`"),
    ("if size :over :under 5 {}", "1:15: `:under` excludes `:over`"),
    ('if header "a" :is "b" {}', "1:15: `:is` stands before the arguments that are no tags"),
    ('if header :is :contains "a" "b" {}', "1:15: `:contains` excludes `:is`"),
    ('if header :comparator "i;octet" :comparator "i;octet" "a" "b" {}', "1:33: `:comparator` is given twice"),
    ('if header :comparator 5 "a" "b" {}', "1:23: `:comparator` takes a string here"),
    ('if header :comparator "i;klingon" "a" "b" {}', '1:23: no comparator is named "i;klingon"'),
    ('if header :comparator "i;ascii-numeric" "a" "b" {}',
     '1:23: `i;ascii-numeric` needs require "comparator-i;ascii-numeric"'),
    ('if header "a b" "c" {}', '1:11: "a b" is no name of a header field'),
    ('if header ["a", ":"] "c" {}', '1:11: ":" is no name of a header field'),
    ('if address "subject" "c" {}', "1:12: `subject` holds no addresses; test it by `header`"),
]  # fmt: skip

WRONG_OF_EXTENSIONS = [
    (
        'if header :contains :comparator "i;ascii-numeric" "a" "b" {}',
        "`i;ascii-numeric` cannot be used with `:contains`",
    ),
    ('if header :value "more" "a" "b" {}', '"more" is no relation; there are eq, ge, gt, le, lt, ne'),
    ('if header :regex "a" "(" {}', "`(` without `)` in the regular expression"),
    ('if header :last "a" "b" {}', "`:last` needs `:index`"),
    ('if header :index 0 "a" "b" {}', "`:index` counts from 1"),
    ('if envelope "reply-to" "b" {}', '"reply-to" is no part of an envelope; there are "from" and "to"'),
    ('if date "date" "century" "b" {}', '"century" is no part of a date'),
    ('if currentdate :zone "CET" "date" "b" {}', '"CET" is no time zone, such as "+0200"'),
    ('fileinto "";', "'' is no name of a folder"),
    ('set "1" "b";', '"1" is no name of a variable'),
    ('set "a-b" "b";', '"a-b" is no name of a variable'),
    ('set "x.b" "b";', '"x.b" is no name of a variable'),
    ('fileinto "${x.y}";', "`x.` is no namespace of variables here"),
    ('fileinto "${99}";', "match variables go up to ${32}"),
    ('fileinto "${unicode:110000}";', "`${unicode:110000}` is no character of Unicode"),
    ('fileinto "${unicode:d800}";', "`${unicode:d800}` is no character of Unicode"),
    ('set :lower :upper "a" "b";', "`:upper` excludes `:lower`"),
    ('vacation :from "nobody" "x";', '"nobody" is no address'),
    ('vacation :days 1 :seconds 1 "x";', "`:seconds` excludes `:days`"),
    ('addheader "a:" "x";', '"a:" is no name of a header field'),
    ('include "../x";', '"../x" is no name of a script'),
    ('include "${x}";', "the name of a script to include holds no variables"),
    ('global "1a";', '"1a" is no name of a variable'),
    ('notify "https://example.org";', "the only method is mailto:"),
    ('notify :importance "9" "mailto:a@b.test";', 'importance is "1", "2" or "3"'),
    ('if duplicate :header "a" :uniqueid "b" {}', "`:uniqueid` excludes `:header`"),
]


@pytest.mark.parametrize(("script", "told"), WRONG)
def test_one_mistake(script: str, told: str) -> None:
    with pytest.raises(ScriptError) as raised:
        compile_script(script.encode())
    mistake = raised.value.mistakes[0]
    assert f"{mistake.line}:{mistake.column}: {mistake.text}".startswith(told)


@pytest.mark.parametrize(("script", "told"), WRONG_OF_EXTENSIONS)
def test_one_mistake_with_extensions(script: str, told: str) -> None:
    with pytest.raises(ScriptError) as raised:
        compile_script((ALL + script).encode())
    assert [(mistake.line, mistake.text) for mistake in raised.value.mistakes] == [(2, told)]


def test_all_mistakes_are_told_at_once_in_order_and_not_too_many() -> None:
    script = b'fileinto "a";\nkeep;\nfrob;\nif header :regex "x" "(" {\n  bla;\n}\n'
    with pytest.raises(ScriptError) as raised:
        compile_script(script)
    assert [mistake.line for mistake in raised.value.mistakes] == [1, 3, 4, 5]
    assert str(raised.value).startswith('line 1: `fileinto` needs require "fileinto"\nline 3: ')
    with pytest.raises(ScriptError) as raised:
        compile_script(b"frob;\n" * 100, Limits(mistakes=7))
    assert len(raised.value.mistakes) == 7


def test_what_a_script_requires() -> None:
    script = compile_script(b'require ["variables", "vacation-seconds"]; require "fileinto"; keep;')
    assert script.requires == ["fileinto", "vacation", "vacation-seconds", "variables"]


def test_by_ihave_an_extension_is_there_and_what_nobody_has_may_stand() -> None:
    compile_script(
        b'require "ihave"; if ihave "fileinto" { fileinto "x"; } if ihave "x" { foo :bar 5 { baz; } keep :y; }'
    )
    with pytest.raises(ScriptError, match="needs require"):
        compile_script(b'require "ihave"; fileinto "x";')


def test_every_form_can_be_run_and_is_known() -> None:
    in_blocks = {"require", "if", "elsif", "else"}
    assert COMMANDS.keys() == COMMANDS_RUN.keys() | in_blocks
    assert TESTS.keys() | {"error"} == TESTS_RUN.keys()
    assert CHECKS.keys() <= COMMANDS.keys() | TESTS.keys()
    forms = [*COMMANDS.values(), *TESTS.values()]
    needed = {form.needs for form in forms} | {option.needs for form in forms for option in form.options.values()}
    assert needed - {""} <= EXTENSIONS


@pytest.mark.parametrize("octets", [b"", b"\x80", b"\xc1", b"\x83\xa7version\x02\xa8requires\x90\xa8commands\x90"])
def test_what_was_kept_in_another_form_is_compiled_again(octets: bytes) -> None:
    assert loads(octets) is None
