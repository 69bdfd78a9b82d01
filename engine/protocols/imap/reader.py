"""Lines and literals as they come in pieces of any size (RFC 9051 2.2, RFC 7888), in bounded memory.

A command whose literals are arguments comes whole, literals and all. At each literal the reader pauses to be told what
becomes of it: ``gather``, ``stream``, ``collect`` or ``skip``. Only CRLF ends a line: what stands behind a bare LF is
never a command.
"""

import re
from collections.abc import Callable
from typing import Final, TypeAlias

from msgspec import Struct

from engine.protocols.imap.append import Literal
from engine.protocols.imap.cursor import LIMITS, Limits

_LITERAL = re.compile(rb"(~?)\{([0-9]{1,20})(\+?)\}\Z")
_LONGEST_HEAD: Final = 24  # octets of what _LITERAL matches
_KEPT: Final = 256  # octets of a line that is too long, for its tag


class Line(Struct, frozen=True):
    """The last of a command; ``octets`` are all since its beginning, or since the last literal that was streamed."""

    octets: bytes


class Pause(Struct, frozen=True):
    """A literal is announced. ``octets`` as in ``Line``, without the announcement."""

    octets: bytes
    literal: Literal


class Part(Struct, frozen=True):
    """Octets of a literal that is streamed."""

    octets: bytes


class Skipped(Struct, frozen=True):
    """The rest of a command has been read past, as ``skip`` asked for."""


class TooLong(Struct, frozen=True):
    """A command with more octets than it may have, read past; ``octets`` are its first."""

    octets: bytes


class RawLine(Struct, frozen=True):
    """The line that ``expect_line`` asked for; None: it was too long."""

    octets: bytes | None


_SKIPPED: Final = Skipped()

Item: TypeAlias = Line | Pause | Part | Skipped | TooLong | RawLine


class Reader:
    """What one client says, parted into ``Item``s."""

    __slots__ = (
        "_buffer", "_gathered", "_left", "_limits", "_line_room", "_literal", "_literal_room", "_literals", "_read",
        "_scanned", "_skipped",
    )  # fmt: skip

    def __init__(self, limits: Limits = LIMITS) -> None:
        self._limits = limits
        self._buffer = bytearray()
        self._scanned = 0  # octets of the buffer that hold no line end
        self._gathered: list[bytes] = []
        self._line_room, self._literal_room = limits.line, limits.literal  # octets that are left
        self._literals = limits.literals  # that are left
        self._literal: Literal | None = None  # the one that is announced
        self._left = 0  # octets of a literal, or the limit of a raw line
        self._skipped: Item = _SKIPPED
        self._read: Callable[[Reader], Item | None] = Reader._line

    def receive(self, data: bytes) -> None:
        self._buffer += data

    def clear(self) -> None:
        """Forgets what has been received: it came before TLS or a compression that is to protect or hold it."""
        self._buffer.clear()
        self._begin()

    def next(self) -> Item | None:
        """None until more is received."""
        return self._read(self)

    @property
    def within(self) -> bool:
        """Whether some of a command has been read, and more of it must come."""
        return self._literal is not None or self._read is not Reader._line or bool(self._gathered)

    # Commands that need no reading.

    def ahead(self, pattern: re.Pattern[bytes], at: int = 0) -> re.Match[bytes] | None:
        """What the pattern finds where a command begins, so many octets ahead; None also amid a command."""
        return None if self.within else pattern.match(self._buffer, at)

    def behind(self, pattern: re.Pattern[bytes], at: int) -> re.Match[bytes] | None:
        """What the pattern finds behind literals whose octets were given out, in a line that is not too long."""
        found = pattern.match(self._buffer, at)
        return found if found is not None and found.end() - at <= self._limits.line else None

    def peek(self, start: int, count: int) -> bytes | None:
        """So many octets from there on, if they have come."""
        end = start + count
        return bytes(memoryview(self._buffer)[start:end]) if end <= len(self._buffer) else None

    def pass_by(self, octets: int) -> None:
        """So many octets, whole commands or literals with what announces them, have been dealt with."""
        del self._buffer[:octets]
        self._scanned = 0

    # What becomes of a literal, at a pause.

    def fits(self, literal: Literal) -> bool:
        """Whether the literal may be gathered: with those before it, it is not too large, nor one too many."""
        return literal.size <= self._literal_room and self._literals > 0

    def gather(self) -> None:
        """The literal is an argument: it will stand in ``octets``, its announcement before it."""
        literal = self._announced()
        self._gathered.append(b"%b{%d+}\r\n" % (b"~" * literal.binary, literal.size))
        self._literal_room -= literal.size
        self._literals -= 1
        self._left = literal.size
        self._read = Reader._argument

    def stream(self) -> None:
        """The literal comes as ``Part``s, as soon as they are there."""
        self._left = self._announced().size
        self._gathered = []
        self._line_room, self._literal_room = self._limits.line, self._limits.literal
        self._literals = self._limits.literals
        self._read = Reader._content

    def collect(self) -> None:
        """The literal comes as one ``Part``, once all of it is there."""
        self.stream()
        self._read = Reader._collected

    def skip(self) -> None:
        """Reads past the rest of the command. A client that waits for ``+`` will not send it (RFC 9051 4.3)."""
        literal, self._literal = self._literal, None
        self._skipped = _SKIPPED
        if literal is None:
            self._read = Reader._skip
        elif literal.synchronizing:
            self._read = Reader._over
        else:
            self._left = literal.size
            self._read = Reader._skip

    def expect_line(self, limit: int) -> None:
        """The next line is no command; ``limit`` is octets without its end."""
        self._left = limit
        self._read = Reader._raw_line

    # What is being read; each uses up octets, and returns an item, or None where there are too few.

    def _begin(self) -> None:
        self._scanned = self._left = 0
        self._gathered = []
        self._line_room, self._literal_room = self._limits.line, self._limits.literal
        self._literals = self._limits.literals
        self._literal = None
        self._skipped = _SKIPPED
        self._read = Reader._line

    def _line(self) -> Item | None:
        end = self._line_end()
        if (len(self._buffer) if end < 0 else end) > self._line_room + (end < 0):  # a CR may be half the line end
            return self._too_long()
        if end < 0:
            return None
        line = self._take_line(end)
        announced = _LITERAL.search(line) if line.endswith(b"}") else None
        if announced is None:
            if not self._gathered:  # as most are: then all is as it was at its beginning
                return Line(line)
            octets = b"".join((*self._gathered, line))
            self._begin()
            return Line(octets)
        self._line_room -= len(line)
        self._gathered.append(line[: announced.start()])
        self._literal = Literal(int(announced[2]), bool(announced[1]), not announced[3])
        return Pause(b"".join(self._gathered), self._literal)

    def _argument(self) -> Item | None:
        if len(self._buffer) < self._left:
            return None
        self._gathered.append(bytes(self._buffer[: self._left]))
        del self._buffer[: self._left]
        self._left = 0
        self._read = Reader._line
        return self._line()

    def _content(self) -> Item | None:
        if not self._left:
            self._read = Reader._line
            self._gathered.append(b"")  # the command is not over
            return self._line()
        part = bytes(memoryview(self._buffer)[: self._left])
        if not part:
            return None
        del self._buffer[: len(part)]
        self._left -= len(part)
        return Part(part)

    def _collected(self) -> Item | None:
        if len(self._buffer) < self._left:
            return None
        part = bytes(memoryview(self._buffer)[: self._left])
        del self._buffer[: self._left]
        self._left = 0
        self._read = Reader._line
        self._gathered.append(b"")  # the command is not over
        return Part(part)

    def _too_long(self) -> Item | None:
        kept = bytes(self._buffer[: min(_KEPT, self._line_room)])
        self._skipped = TooLong(b"".join((*self._gathered, kept))[:_KEPT])
        self._read = Reader._skip
        return self._skip()

    def _skip(self) -> Item | None:
        """Past literals that come unasked, and the lines between them."""
        while True:
            passed = min(self._left, len(self._buffer))
            del self._buffer[:passed]
            self._left -= passed
            if self._left:
                return None
            end = self._line_end()
            if end < 0:
                del self._buffer[: -_LONGEST_HEAD - 1]
                self._scanned = 0
                return None
            announced = _LITERAL.search(self._take_line(end))
            if announced is None or not announced[3]:
                return self._over()
            self._left = int(announced[2])

    def _over(self) -> Item | None:
        item = self._skipped
        self._begin()
        return item

    def _raw_line(self) -> Item | None:
        limit, end = self._left, self._line_end()
        if end < 0:
            # Enough is kept to know that it was too long.
            del self._buffer[limit + 2 : -1]
            self._scanned = min(self._scanned, max(0, len(self._buffer) - 1))
            return None
        line = self._take_line(end)
        self._begin()
        return RawLine(line if len(line) <= limit else None)

    def _line_end(self) -> int:
        end = self._buffer.find(b"\r\n", self._scanned)
        if end < 0:
            self._scanned = max(0, len(self._buffer) - 1)
        return end

    def _take_line(self, end: int) -> bytes:
        line = bytes(memoryview(self._buffer)[:end])
        del self._buffer[: end + 2]
        self._scanned = 0
        return line

    def _announced(self) -> Literal:
        literal, self._literal = self._literal, None
        if literal is None:
            raise RuntimeError("no literal is announced")
        return literal
