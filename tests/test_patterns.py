"""Regular expressions that every Python reads alike: of 3.11, those before 3.11.5 misread some."""

import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
POSSESSIVE = re.compile(r"(?<!\()\)(?:[*+?]|\{\d*,?\d*\})\+")


def literals(path: Path) -> Iterator[tuple[int, str]]:
    """The raw literals of a module, with their lines."""
    with path.open("rb") as source:
        for token in tokenize.tokenize(source.readline):
            if token.type == tokenize.STRING and "r" in token.string.partition(token.string[-1])[0].lower():
                yield token.start[0], token.string


@pytest.mark.parametrize("top", ["engine", "stages", "filters"])
def test_what_is_possessive_is_one_character(top: str) -> None:
    """``(?:ab)*+`` stays where its last try broke off, behind an "a" (CPython gh-106052): write ``(?>(?:ab)*)``."""
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sorted((ROOT / top).rglob("*.py"))
        if POSSESSIVE.search(path.read_text())  # to take a module apart takes long, and hardly any has one
        for line, literal in literals(path)
        if POSSESSIVE.search(literal)
    ]
    assert found == []
