"""The words that a ManageSieve client sends (RFC 5804 4): octets in, whole commands out."""

import re
from dataclasses import dataclass
from typing import TypeAlias

LINE_LIMIT = 14 * 1024
"""Octets of a line: a SASL response in quotes (RFC 4954 4), and room for a command around it."""

WORDS_LIMIT = 4
"""Of one command; none has more."""

_TAIL = 14
"""Octets at the end of a line that may say that a string follows, its CR counted."""

_LITERAL = re.compile(rb"\{([0-9]{1,10})\+?\}\Z")
_TOKEN = re.compile(rb' *(?:"((?>(?:[^"\\\r\n\0]++|\\["\\])*))"|([A-Za-z][A-Za-z0-9]*)|([0-9]{1,10}))(?= |\Z)')


@dataclass(frozen=True, slots=True)
class TooLong:
    """A string, or a line, that was larger than it may be, and was thrown away as it came."""


Word: TypeAlias = bytes | int | TooLong


class Reader:
    """Gathers commands: a line, and the strings in braces of which each is followed by more of the command.

    No more is kept than what may be said: what is longer is thrown away, but counted, so that nothing of it is taken
    for a command.
    """

    def __init__(self) -> None:
        self._received = bytearray()
        self._words: list[Word] = []  # of the command that is coming in
        self._broken = False
        self._left = 0  # octets of the string in braces that have not come
        self._literal: bytearray | TooLong | None = None

    def receive(self, data: bytes) -> None:
        self._received += data

    def clear(self) -> None:
        """Forget what has come, and was not asked for yet."""
        self._received.clear()

    def next_command(self, literal_limit: int) -> list[Word] | None:
        """The words of a whole command; None until it has come. What is no command is one ``TooLong``."""
        while True:
            if self._literal is not None and not self._read_literal():
                return None
            line = self._next_line()
            if line is None:
                return None
            if self._is_whole(line, literal_limit):
                words, broken = self._words, self._broken
                self._words, self._broken = [], False
                return [TooLong()] if broken else words

    def _next_line(self) -> bytes | None:
        end = self._received.find(b"\n")
        if end < 0:
            if len(self._received) > LINE_LIMIT + 1:  # the last octet may be the CR of its end
                self._broken = True
                del self._received[:-_TAIL]
            return None
        line = bytes(self._received[:end]).removesuffix(b"\r")
        del self._received[: end + 1]
        self._broken |= len(line) > LINE_LIMIT
        return line

    def _is_whole(self, line: bytes, literal_limit: int) -> bool:
        """Takes the words of a line; whether the command ends with it, not with a string in braces that follows."""
        literal = _LITERAL.search(line)
        if not self._broken:
            self._take(line[: literal.start()] if literal else line)
        if literal is None:
            return True
        self._left = int(literal[1])
        self._literal = TooLong() if self._left > literal_limit or self._broken else bytearray()
        return False

    def _take(self, line: bytes) -> None:
        at, end = 0, len(line.rstrip(b" "))
        while at < end:
            match = _TOKEN.match(line, at)
            if match is None or len(self._words) >= WORDS_LIMIT:
                self._broken = True
                return
            quoted, word, number = match.groups()
            if quoted is not None:
                self._words.append(re.sub(rb"\\(.)", rb"\1", quoted))
            else:
                self._words.append(word if number is None else int(number))
            at = match.end()

    def _read_literal(self) -> bool:
        """Takes what has come of a string in braces; whether that is all of it."""
        piece = self._received[: self._left]
        del self._received[: self._left]
        self._left -= len(piece)
        if isinstance(self._literal, bytearray):
            self._literal += piece
        if self._left:
            return False
        if len(self._words) < WORDS_LIMIT:
            self._words.append(bytes(self._literal) if isinstance(self._literal, bytearray) else TooLong())
        else:
            self._broken = True
        self._literal = None
        return True
