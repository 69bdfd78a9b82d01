"""Each limit, and what hostile scripts and letters come to: a keep, within bounds."""

from collections.abc import Callable

import pytest

from engine.regex import compiled
from engine.sieve import Keep, Limits, ScriptError, compile_script
from engine.sieve.errors import RunError
from engine.sieve.matching import Match
from tests.sieve.cases import letter
from tests.sieve.trying import outcome, short

LONG = letter(f"Subject: {'a' * 30_000}", "From: a@b.test", body="a" * 300_000)


def stopped(script: str, octets: bytes = LONG, **limits: int) -> str:
    """Why the run was stopped."""
    found = outcome(script, octets, Limits(**limits))
    assert found.error, found
    assert found.actions == (Keep(),)
    return found.error


def test_instructions() -> None:
    assert "more than 10 commands" in stopped("if true {}" * 20, instructions=10)
    assert not outcome("if true {}" * 5, limits=Limits(instructions=10)).error


def test_redirects() -> None:
    script = "".join(f'redirect "a{number}@b.test";' for number in range(5))
    assert "more than 4 addresses" in stopped(script)
    assert len(outcome(script, limits=Limits(redirects=5)).actions) == 5
    assert len(outcome('redirect "a@b.test";' * 9).actions) == 1


def test_actions() -> None:
    script = 'require "fileinto";' + "".join(f'fileinto "a{number}";' for number in range(5))
    assert "more than 4 actions" in stopped(script, actions=4)


def test_variables() -> None:
    script = 'require "variables"; ' + "".join(f'set "v{number}" "x";' for number in range(4))
    with pytest.raises(ScriptError, match="at most 3 variables"):
        compile_script(script.encode(), Limits(variables=3))
    compile_script(script.encode(), Limits(variables=4))


def test_the_length_of_a_variable() -> None:
    doubling = 'require ["variables", "fileinto"]; set "a" "xx"; ' + 'set "a" "${a}${a}";' * 100
    found = outcome(doubling + 'set :length "n" "${a}"; fileinto "${n}";')
    assert short(found) == ["fileinto 4096"]
    matched = """require ["variables", "fileinto"];
        if header :matches "subject" "*" { set :length "n" "${1}"; fileinto "${n}"; }"""
    assert short(outcome(matched, LONG)) == ["fileinto 4096"]


def test_edits() -> None:
    assert "adds more than 2" in stopped('require "editheader"; ' + 'addheader "X" "y";' * 3, edits=2)


def test_the_size_of_a_regular_expression() -> None:
    for pattern in ("a{200}", "((a{9}){9}){9}", "(a|b|c|d|e){50}", "a" * 300):
        with pytest.raises(ScriptError, match="too large"):
            compile_script(f'require "regex"; if header :regex "a" "{pattern}" {{}}'.encode(), Limits(regex=100))


def test_includes() -> None:
    head = 'require "include"; '
    once = {("personal", "a"): compile_script(b"true_; ".replace(b"true_; ", b"if true {}"))}
    twice = head + 'include "a";' * 3
    assert not outcome(twice, scripts=once).error
    assert "includes too many" in outcome(twice, limits=Limits(includes=2), scripts=once).error
    deep = {
        ("personal", f"a{number}"): compile_script(f'{head}include :optional "a{number + 1}";'.encode())
        for number in range(5)
    }
    assert not outcome(head + 'include "a0";', scripts=deep).error
    assert "includes too many" in outcome(head + 'include "a0";', limits=Limits(include_depth=3), scripts=deep).error


def test_including_many_times_in_a_tree() -> None:
    head = 'require "include"; '
    tree = {("personal", "a"): compile_script((head + 'include "a";' * 50).encode())}
    assert outcome(head + 'include "a";', scripts=tree).error


def test_the_body_that_is_seen() -> None:
    script = 'require "body"; if body :raw :contains "needle" { discard; }'
    octets = letter("From: a@b.test", body="x" * 100 + "needle")
    assert short(outcome(script, octets)) == ["discard"]
    assert short(outcome(script, octets, Limits(text=100))) == ["keep"]
    text = script.replace(":raw", ":text")
    assert short(outcome(text, octets)) == ["discard"]
    assert short(outcome(text, octets, Limits(text=100))) == ["keep"]


HOSTILE = [
    'if header :matches "subject" "' + "*a" * 500 + '*b" {}',
    'if header :matches "subject" "' + "?*" * 500 + 'b" {}',
    'if header :regex "subject" "(a+)+$" {}',
    'if header :regex "subject" "(a|aa)+b" {}',
    'if header :regex "subject" "(a*)*b" {}',
    'if header :regex "subject" "(.*)(.*)(.*)(.*)(.*)b" {}',
    'if body :raw :regex "(a?){100}a{100}b" {}',
    'if header :regex "subject" "(a?){60}(a{60})" { set "x" "${1}"; }',
    'if body :raw :matches "' + "*a" * 100 + '*b" {}',
    'if body :raw :contains ["' + '", "'.join(f"{'a' * 200}{number}" for number in range(300)) + '"] {}',
    'set "a" "' + "x" * 4000 + '";' + 'set "b" "${a}${a}${a}${a}${a}${a}${a}${a}";' * 500,
    'addheader "X" "' + "x" * 4000 + '";' * 1 + 'deleteheader "X"; addheader "X" "y";' * 31,
]


class _Counted:
    """How much work there is."""

    def __init__(self) -> None:
        self.work = 0

    def __call__(self, characters: int) -> None:
        self.work += characters


@pytest.mark.parametrize("script", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_scripts_come_to_an_end(script: str) -> None:
    found = outcome(f'require ["regex", "body", "variables", "editheader"]; {script} discard;', LONG)
    assert short(found) in (["discard"], ["error"])


@pytest.mark.parametrize("kind", ["regex", "matches"])
def test_work_grows_with_the_text_and_not_faster(kind: str) -> None:
    pattern = "(a*)*(a|aa)+b" if kind == "regex" else "*a*a*a*b"

    def work(length: int) -> int:
        compiled.cache_clear()  # an expression keeps what it has learnt
        spent = _Counted()
        found: Callable[[list[str]], None] = [].append
        assert not Match(kind, "i;octet", "", 1000, spent, found).any(["a" * length], [pattern])
        return spent.work

    assert work(4_000) < 4.5 * work(1_000)


def test_work_is_bounded() -> None:
    assert "too much work" in stopped('require "body"; ' + 'if body :raw :contains "b" {}' * 200, work=2_000_000)
    with pytest.raises(RunError):
        _match_with_no_work_left()


def _match_with_no_work_left() -> None:
    def spend(_characters: int) -> None:
        raise RunError("the script does too much work")

    Match("regex", "i;octet", "", 1000, spend, None).any(["a"], ["a"])


HOSTILE_LETTERS = [
    letter("From: " + "(" * 30_000),
    letter("From: " + "<" * 30_000, "To: " + "a," * 15_000),
    letter("From: " + '"\\' * 15_000),
    letter("Subject: " + "=?utf-8?q?" * 3_000),
    letter("Date: " + "1 " * 10_000, "Received: " + ";" * 30_000),
    letter(*[f"X-{number}: y" for number in range(3_000)]),
    letter("Content-Type: text/html", body="<" * 200_000 + "<script" * 10_000 + "&#" * 10_000),
    letter("Content-Type: multipart/mixed; boundary=a", body="--a\r\n\r\n" * 5_000),
    b"".join(
        f"Content-Type: multipart/mixed; boundary=b{number}\r\n\r\n--b{number}\r\n".encode() for number in range(1_500)
    ),
    letter("Content-Type: text/plain; charset=" + "x" * 10_000, "Content-Transfer-Encoding: base64", body="=" * 10_000),
    letter("Content-Type: text/plain; charset=unicode_escape", body="\\u" * 100),
    letter("Content-Type: text/plain; charset=idna", body="xn--\udc80".encode("utf-8", "replace").decode() * 100),
]


@pytest.mark.parametrize("octets", HOSTILE_LETTERS, ids=range(len(HOSTILE_LETTERS)))
def test_hostile_letters_come_to_an_end(octets: bytes) -> None:
    script = """require ["body", "date", "vacation", "index", "variables"];
        if anyof (body :text :contains "needle", body :content ["text", "multipart", "message"] :contains "needle",
                  address ["from", "to"] "needle", date "date" "year" "1", date :index 1 "received" "year" "1",
                  header :matches "subject" "*needle*") { discard; }
        vacation "x";"""
    assert short(outcome(script, octets)) in (["keep"], ["error"])
