"""The grammar of conditions: what was read is printed so that it is read again, and means what it says."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.condition import Known, Vocabulary, understood
from engine.condition.meaning import folded, pattern
from engine.condition.reading import DEPTH, read
from engine.condition.tree import All, Comparison, Constant, Either, Listing, Name, Node, Not, conjuncts, names
from engine.units import Duration, Size
from tests.support.conditions import globbed, plainly

LETTERS = st.text(st.sampled_from("aAbB.*?@ßİK\\\"'\n"), max_size=4)
VALUES = st.one_of(
    st.sampled_from([True, False, None]),
    st.integers(-3, 3),
    st.floats(-3, 3),
    LETTERS,
    st.integers(0, 3).map(Size),
    st.integers(0, 3).map(Duration),
)
CONSTANTS = VALUES.map(Constant)
NAMES = st.sampled_from(["one", "two.three", "four[0]", "many"]).map(Name)
OPERANDS = st.recursive(
    CONSTANTS | NAMES, lambda inner: st.lists(inner, max_size=3).map(lambda some: Listing(tuple(some))), max_leaves=4
)
COMPARISONS = st.one_of(
    st.builds(Comparison, st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "in", "not in"]), OPERANDS, OPERANDS),
    st.builds(Comparison, st.just("like"), NAMES, LETTERS.map(Constant)),
)


def _joined(kind: type[All] | type[Either], inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    return st.lists(inner, min_size=2, max_size=3).map(lambda parts: kind(tuple(parts)))


CONDITIONS: st.SearchStrategy[Node] = st.recursive(
    COMPARISONS | NAMES | CONSTANTS,
    lambda inner: inner.map(Not) | _joined(All, inner) | _joined(Either, inner),
    max_leaves=6,
)
SUBJECTS = st.fixed_dictionaries(
    {"one": VALUES, "two.three": LETTERS, "four[0]": st.integers(-3, 3), "many": st.lists(LETTERS, max_size=3)}
)
WORDS: Vocabulary[dict[str, Any]] = Vocabulary(
    {"many": Known("text", lambda subject: subject["many"], several=True)}, lambda subject, name: subject.get(name)
)


@given(CONDITIONS)
def test_what_is_printed_is_read_as_the_same(node: Node) -> None:
    assert read(str(node)) == node
    assert str(read(str(node))) == str(node)


@given(CONDITIONS, SUBJECTS)
def test_it_means_what_it_says(node: Node, subject: dict[str, Any]) -> None:
    try:
        condition = understood(str(node), WORDS)
    except ValueError:  # of another kind: told when it is read
        return
    assert condition.holds(subject) == bool(plainly(node, subject, {"many"}))


@given(st.text("ab*?.", max_size=8), st.text("ab.\n", max_size=8))
def test_a_pattern_means_what_it_says(wanted: str, text: str) -> None:
    assert (pattern(wanted).fullmatch(text) is not None) == globbed(wanted, text)


@given(st.text())
def test_texts_are_equal_to_ascii_only_if_they_are_ascii(text: str) -> None:
    assert folded(text).isascii() == text.isascii()


WORDINESS = st.sampled_from([*"ab01 .,()[]\"'=<>!-\\", "==", " and ", " or ", " not ", " in ", " like "])


@given(st.lists(WORDINESS, max_size=12))
def test_nonsense_is_told_with_a_column(words: list[str]) -> None:
    told = ""
    try:
        node = read("".join(words))
    except ValueError as error:
        told = str(error)
    assert re.search(r" at column \d+$", told) if told else read(str(node)) == node


def test_what_must_hold_and_what_is_named() -> None:
    node = read("a == 1 and (b == 2 and not c) and (d or e in [f])")
    assert list(map(str, conjuncts(node))) == ["a == 1", "b == 2", "not c", "d or e in [f]"]
    assert [name.name for name in names(node)] == ["a", "b", "c", "d", "e", "f"]
    assert conjuncts(None) == ()


@pytest.mark.parametrize("deep", ["({})", "not {}", "[{}]"])
def test_as_deep_as_may_be(deep: str) -> None:
    text = "a"
    for _ in range(DEPTH):
        text = deep.format(text)
    read(text)
    with pytest.raises(ValueError, match="nested too deeply"):
        read(deep.format(text))
