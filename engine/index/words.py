"""The words of a text as the full-text index keeps them, and how what is searched for is put together from them.

A word is a run of letters and digits in one case. Text that has no spaces, such as Chinese, or what is no language at
all makes long ones: they are kept as pieces that overlap, so that any STEP letters stand together in one of them.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from engine.mime.search import folded

LONGEST, STEP = 64, 32
"""Letters of a piece, and from the start of one to the start of the next."""

MOST_WORDS = 100_000
"""Different words of one message; of text with more, such as a table of numbers, the rest is not kept."""

HELD = 64 * 1024
"""Characters that are held back until it is known where a word ends."""

_WORD = re.compile(r"\w+")
_LAST_SPACE = re.compile(r"\s(?=\S*\Z)")


class Words:
    """Takes text in pieces, and gathers the words in it."""

    def __init__(self) -> None:
        self.found: set[str] = set()
        self.whole = True  # whether all words have been taken
        self._rest = ""

    def feed(self, piece: str) -> None:
        text = self._rest + piece
        space = _LAST_SPACE.search(text, max(0, len(text) - HELD))  # marks belong to the letter before them
        end = space.end() if space else 0 if len(text) < HELD else len(text)
        self._rest = text[end:]
        self._take(text[:end])

    def end(self) -> frozenset[str]:
        self._take(self._rest)
        self._rest = ""
        return frozenset(self.found)

    def _take(self, text: str) -> None:
        if len(self.found) > MOST_WORDS:
            self.whole = self.whole and not text
            return
        for word in set(_WORD.findall(folded(text))):
            self.found.update(pieces(word))


def pieces(word: str) -> Iterable[str]:
    if len(word) <= LONGEST:
        return (word,)
    return (word[start : start + LONGEST] for start in range(0, len(word) - STEP, STEP))


class Term(NamedTuple):
    """A word that must be there, or only a part of one."""

    word: str
    begins: bool  # whether a word must begin here
    ends: bool

    @property
    def is_word(self) -> bool:
        return self.begins and self.ends

    def fits(self, word: str) -> bool:
        if self.is_word:
            return word == self.word
        if self.begins:
            return word.startswith(self.word)
        return word.endswith(self.word) if self.ends else self.word in word


class Terms(NamedTuple):
    """What must all be in a message that has the text, and whether that is enough."""

    terms: tuple[Term, ...]
    exact: bool


def terms(text: str) -> Terms:
    """Of a text that is searched for. No terms: words say nothing of it."""
    text = folded(text)
    found: list[Term] = []
    for match in _WORD.finditer(text):
        begins, ends, word = match.start() > 0, match.end() < len(text), match[0]
        if len(word) <= STEP:
            found.append(Term(word, begins, ends))
        else:
            found += [Term(word[start : start + STEP], False, False) for start in range(0, len(word), STEP)]
    return Terms(tuple(found), len(found) == 1 and found[0].word == text)
