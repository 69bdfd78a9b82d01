"""Many phrases looked for in one text at once, in time linear in the text, whatever the text.

All phrases are joined into one automaton (Aho and Corasick 1975), through which a text goes once.
"""

import sys
from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

GAP = 80
"""Characters that ``*`` in a phrase stands for at most."""


class _Piece(NamedTuple):
    """A piece of a phrase between its asterisks."""

    phrase: int
    number: int
    length: int
    last: bool
    begins_word: bool  # so that "sent" is not found in "absent"


class _Node:
    """What of the pieces has been read so far."""

    __slots__ = ("after", "ends", "fallback")

    def __init__(self) -> None:
        self.after: dict[str, _Node] = {}
        self.fallback: _Node = self
        self.ends: tuple[_Piece, ...] = ()


class Phrases:
    """Phrases in lower case. Each begins at the beginning of a word; ``*`` in it stands for up to GAP characters."""

    def __init__(self, phrases: Sequence[str]) -> None:
        self._root = _Node()
        for index, phrase in enumerate(phrases):
            pieces = [piece for piece in phrase.split("*") if piece]
            for number, piece in enumerate(pieces):
                begins_word = piece[0].isascii() and piece[0].isalnum() and not number
                last = number == len(pieces) - 1
                self._add(piece, _Piece(index, number, len(piece), last, begins_word))
        self._join()

    def _add(self, text: str, piece: _Piece) -> None:
        node = self._root
        for character in text:
            node = node.after.setdefault(sys.intern(character), _Node())
        node.ends += (piece,)

    def _join(self) -> None:
        """Let each node know where to go on when its own way ends: no character is read twice."""
        waiting: deque[_Node] = deque()
        for child in self._root.after.values():
            child.fallback = self._root
            waiting.append(child)
        while waiting:
            node = waiting.popleft()
            for character, child in node.after.items():
                child.fallback = _after(node.fallback, character, self._root)
                child.ends += child.fallback.ends
                waiting.append(child)

    def found(self, text: str) -> Iterable[int]:
        """The numbers of the phrases that the text has."""
        met: set[int] = set()
        parts: dict[tuple[int, int], int] = {}  # where a piece of a phrase ended last, if those before it stand before
        root = node = self._root
        for place, character in enumerate(text, 1):
            after = node.after.get(character)
            node = _after(node.fallback, character, root) if after is None else after
            for piece in node.ends:
                start = place - piece.length
                if piece.begins_word and start and text[start - 1].isalnum():
                    continue
                if piece.number and not 0 <= start - parts.get((piece.phrase, piece.number - 1), place) <= GAP:
                    continue
                if piece.last:
                    met.add(piece.phrase)
                else:
                    parts[piece.phrase, piece.number] = place
        return met


def _after(node: _Node, character: str, root: _Node) -> _Node:
    while True:
        after = node.after.get(character)
        if after is not None:
            return after
        if node is root:
            return root
        node = node.fallback
