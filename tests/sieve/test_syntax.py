"""The words and the grammar: what is none is told with its place, and what is one can be printed and read again."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sieve import Limits, ScriptError, compile_script, printing
from engine.sieve.lexer import Source
from engine.sieve.syntax import Call, Number, Tag, Text, Texts, parse

LIMIT = 100_000


def parsed(text: str) -> tuple[Call, ...]:
    return parse(Source(text.encode(), LIMIT), 15)


VALUES = [
    ('"plain"', "plain"),
    ('""', ""),
    (r'"a\"b\\c\d"', 'a"b\\cd'),
    ('"two\nlines"', "two\r\nlines"),
    ('"two\r\nlines"', "two\r\nlines"),
    ("text:\nhello\n.\n", "hello\r\n"),
    ("text: \t# why\r\n..dot\r\n.x\r\n\r\n.\r\n", ".dot\r\n.x\r\n\r\n"),
    ("TEXT:\n.\n", ""),
    ('"#no comment /* none */"', "#no comment /* none */"),
    ('"grüße"', "grüße"),
]


@pytest.mark.parametrize(("written", "meant"), VALUES)
def test_strings(written: str, meant: str) -> None:
    (call,) = parsed(f"x {written};")
    assert call.arguments == (Text(meant, 0),)


@pytest.mark.parametrize(
    ("written", "meant"), [("0", 0), ("10", 10), ("1K", 1024), ("2m", 2 << 20), ("3G", 3 << 30), ("007", 7)]
)
def test_numbers(written: str, meant: int) -> None:
    (call,) = parsed(f"x {written};")
    assert call.arguments == (Number(meant, 0),)


def test_a_whole_command() -> None:
    (call,) = parsed('If /* a */ AnyOf (size :Over 1K, not true) # b\n { Keep; y ["a", "b"] "c"; }')
    size = Call("size", (Tag("over", 0), Number(1024, 0)), (), None, 0)
    not_true = Call("not", (), (Call("true", (), (), None, 0),), None, 0)
    block = (
        Call("keep", (), (), None, 0),
        Call("y", (Texts((Text("a", 0), Text("b", 0)), 0), Text("c", 0)), (), None, 0),
    )
    assert call == Call("if", (), (Call("anyof", (), (size, not_true), None, 0),), block, 0)


WRONG = [
    ("keep", "1:5: `;` or a block after `keep` was expected here, not the end of the script"),
    ("if true {\n  keep;\n", "1:9: a block begins here that does not end"),
    ('keep;\n  redirect "a@b', "2:12: a string begins here that does not end"),
    ("keep; /* never", "1:7: a comment begins here that does not end"),
    ("reject text:\nabc\n", "1:8: a text begins here that does not end with a line of one dot"),
    ("keep;\n}", "2:1: a command was expected here, not `}`"),
    ("if size :over 10X {}", "1:15: a number is digits, and K, M or G"),
    ("if size :over -1 {}", "1:15: a number has no sign"),
    ("if size :over 99999999999999999999 {}", f"1:15: a number is at most {2**63 - 1}"),
    ('x ["a" "b"];', "1:8: `,` or `]` was expected here, not a string"),
    ('x ["a",];', "1:8: a string was expected here, not `]`"),
    ("x [];", "1:4: a string was expected here, not `]`"),
    ("if anyof (true {}", "1:16: `,` or `)` was expected here, not `{`"),
    ("if anyof () {}", "1:11: a test was expected here, not `)`"),
    ("keep; @", "1:7: '@' has no meaning here"),
    ("keep;\0", "1:6: a script holds no NUL, and no CR but before LF"),
    ("x" + " not" * 20 + " true;", "1:63: too many blocks or tests within one another"),
    ("if true {" * 20, "1:139: too many blocks or tests within one another"),
]


@pytest.mark.parametrize(("script", "told"), WRONG)
def test_what_is_wrong(script: str, told: str) -> None:
    with pytest.raises(ScriptError) as raised:
        parsed(script)
    (mistake,) = raised.value.mistakes
    assert f"{mistake.line}:{mistake.column}: {mistake.text}" == told


def test_octets_that_are_no_text() -> None:
    with pytest.raises(ScriptError) as raised:
        compile_script(b"keep;\n# \xff\n")
    assert str(raised.value) == "line 2: the script is not in UTF-8"
    with pytest.raises(ScriptError) as raised:
        compile_script(b"#" * 101, Limits(script=100))
    assert str(raised.value) == "line 1: the script is longer than 100 octets"


WORDS = st.sampled_from(
    ['if', 'elsif', 'else', 'anyof', 'not', 'true', 'header', 'keep', 'fileinto', 'require', 'set', 'vacation', ':is',
     ':matches', ':comparator', '"i;octet"', '"fileinto"', '"variables"', '"${a}"', '["a", "b"]', '10', '1K', '(', ')',
     '{', '}', '[', ']', ',', ';', '"', 'text:\n', '.\n', '/*', '*/', '#', '\n', ':', '\\', "ü"]
)  # fmt: skip


@given(st.lists(WORDS | st.text(st.characters(exclude_categories=["Cs"]), max_size=3), max_size=40).map(" ".join))
def test_nothing_but_its_own_error_is_raised(script: str) -> None:
    with contextlib.suppress(ScriptError):
        commands = parsed(script)
        assert parsed(printing.script(commands)) == commands
    with contextlib.suppress(ScriptError):
        compile_script(script.encode())


NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True).filter(lambda name: name != "text")
TEXTS = st.builds(
    Text,
    st.text(st.characters(exclude_characters="\0\r", exclude_categories=["Cs"]), max_size=10).map(
        lambda text: text.replace("\n", "\r\n")
    ),
    st.just(0),
)  # fmt: skip
ARGUMENTS = (
    TEXTS
    | st.builds(Tag, NAMES, st.just(0))
    | st.builds(Number, st.integers(0, 2**63 - 1), st.just(0))
    | st.builds(Texts, st.lists(TEXTS, min_size=1, max_size=3).map(tuple), st.just(0))
)
MANY = st.lists(ARGUMENTS, max_size=4).map(tuple)
TESTS = st.recursive(
    st.builds(Call, NAMES, MANY, st.just(()), st.none(), st.just(0)),
    lambda inner: st.builds(Call, NAMES, MANY, st.lists(inner, max_size=3).map(tuple), st.none(), st.just(0)),
    max_leaves=5,
)
TESTED = st.lists(TESTS, max_size=2).map(tuple)
COMMANDS = st.recursive(
    st.builds(Call, NAMES, MANY, TESTED, st.none(), st.just(0)),
    lambda inner: st.builds(Call, NAMES, MANY, TESTED, st.lists(inner, max_size=3).map(tuple), st.just(0)),
    max_leaves=5,
)


@given(st.lists(COMMANDS, max_size=3).map(tuple))
def test_what_is_printed_is_read_again(commands: tuple[Call, ...]) -> None:
    assert parsed(printing.script(commands)) == commands
