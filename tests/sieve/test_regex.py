"""POSIX extended regular expressions: what matches, what the groups are, and whether Python sees a match there too."""

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.regex import compiled


def spend(_work: int) -> None: ...


def groups(pattern: str, text: str, *, casemap: bool = False) -> list[str] | None:
    expression = compiled(pattern, casemap=casemap, limit=1000)
    found = expression.groups(text, spend)
    assert expression.matches(text, spend) is (found is not None)
    return found


MATCHING = [
    ("abc", "xabcx", ["abc"]),
    ("", "abc", [""]),
    ("^abc$", "abc", ["abc"]),
    ("^bc", "abc", None),
    ("ab$", "abc", None),
    ("a^b", "a^b", None),
    ("a|bc|d", "xbcx", ["bc"]),
    ("(a|ab)(c|bcd)", "abcd", ["abcd", "a", "bcd"]),
    ("a|ab|abc", "abcd", ["abc"]),
    ("x*", "aaa", [""]),
    ("a+b?", "caab", ["aab"]),
    ("(ab)*c", "ababc", ["ababc", "ab"]),
    ("(a)|(b)", "b", ["b", "", "b"]),
    ("a{3}", "aaaa", ["aaa"]),
    ("a{2,3}", "aaaa", ["aaa"]),
    ("a{2,}", "aaaa", ["aaaa"]),
    ("a{0}b", "ab", ["b"]),
    ("(a{1,2}){2}", "aaa", ["aaa", "a"]),
    ("[abc]+", "xbcax", ["bca"]),
    ("[^abc]+", "abxyc", ["xy"]),
    ("[]a]+", "x]a]", ["]a]"]),
    ("[^]a]", "]ab", ["b"]),
    ("[a-]+", "x-a-", ["-a-"]),
    ("[a-c-]+", "b-c", ["b-c"]),
    ("[[:digit:][:upper:]]+", "ab12CD", ["12CD"]),
    ("[[:space:]]", "a b", [" "]),
    ("[[.-.]]", "a-b", ["-"]),
    ("[[=a=]]", "ba", ["a"]),
    (r"\.\*\(", "a.*(", [".*("]),
    (r"\w+@\w+", "to joe_1@x", ["joe_1@x"]),
    (r"\D+", "12ab", ["ab"]),
    (".", "\n", ["\n"]),
    ("ü.", "müß", ["üß"]),
    ("(|a)b", "ab", ["ab", "a"]),
    ("()", "x", ["", ""]),
    ("((a)b)c", "abc", ["abc", "ab", "a"]),
    ("a**", "aa", ["aa"]),
]


@pytest.mark.parametrize(("pattern", "text", "wanted"), MATCHING)
def test_what_matches(pattern: str, text: str, wanted: list[str] | None) -> None:
    assert groups(pattern, text) == wanted


@pytest.mark.parametrize(
    ("pattern", "text", "wanted"),
    [("abc", "ABC", ["ABC"]), ("[a-c]+", "xABx", ["AB"]), ("[^a]", "A", None), ("Ü", "ü", ["ü"]), ("[A-Z]", "q", ["q"]),
     ("[[:upper:]]", "q", ["q"])],
)  # fmt: skip
def test_letters_in_either_case(pattern: str, text: str, wanted: list[str] | None) -> None:
    assert groups(pattern, text, casemap=True) == wanted


WRONG = [
    ("(", "`(` without `)`"),
    (")", "`)` without `(`"),
    ("a)", "`)` without `(`"),
    ("[a", "`[` without `]`"),
    ("[]", "`[` without `]`"),
    ("*a", "nothing stands before `*` that it could repeat"),
    ("a|+", "nothing stands before `+` that it could repeat"),
    ("a{", "`{` begins no bound, such as {2} or {2,5}; write `\\{` for the character"),
    ("a{3,2}", "`{3,2}` is no bound up to 255"),
    ("a{256}", "`{256}` is no bound up to 255"),
    ("[z-a]", "`z-a` is no range"),
    ("[[:alfa:]]", "`[:alfa:]` is no class of characters"),
    ("a\\", "nothing stands behind the last `\\`"),
    ("\\q", "`\\q` has no meaning"),
    ("[[.ab.]]", "a collating element is one character here"),
    ("(" * 60 + ")" * 60, "too many groups within one another"),
    ("(a{255}){255}", "the expression is too large"),
]


@pytest.mark.parametrize(("pattern", "told"), WRONG)
def test_what_is_no_expression(pattern: str, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        compiled(pattern, casemap=False, limit=1000)


def test_what_is_learnt_is_forgotten() -> None:
    text = "".join(map(chr, range(256, 20_256)))
    expression = compiled("[^a]+b", casemap=False, limit=1000)
    assert not expression.matches(text, spend)
    assert expression.matches(f"{text}b", spend)
    assert sum(len(state.after) for state in expression._states.values()) <= 5_001


# No repetition of a repetition, which Python takes for something else.
ATOMS = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", "^", "$"])
EXPRESSIONS = st.recursive(
    st.tuples(ATOMS, st.sampled_from(["", "", "*", "+", "?", "{2}", "{1,2}"])).map(
        lambda pair: pair[0] if pair[0] in "^$" else "".join(pair)
    ),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3).map("".join)
        | st.lists(inner, min_size=1, max_size=3).map("|".join).map("({})".format)
        | st.tuples(inner.map("({})".format), st.sampled_from(["*", "+", "?"])).map("".join)
    ),
    max_leaves=6,
)


@given(EXPRESSIONS, st.text("abc", max_size=8))
def test_python_finds_a_match_where_we_do(pattern: str, text: str) -> None:
    found, theirs = groups(pattern, text), re.search(pattern, text)
    assert (found is None) is (theirs is None)
    if found is not None and theirs is not None:
        assert len(found[0]) >= len(theirs[0]) or "|" in pattern or "?" in pattern or "*" in pattern or "{" in pattern
        assert len(found) == len(theirs.groups()) + 1


@given(st.text("ab(|)*+?.^$[]{1,2}\\-:", max_size=12), st.text("ab", max_size=4), st.booleans())
def test_any_text_is_an_expression_or_says_why_not(pattern: str, text: str, casemap: bool) -> None:
    with contextlib.suppress(ValueError):
        groups(pattern, text, casemap=casemap)
