"""What a server says, as it comes in pieces of any size, in bounded memory (RFC 9051 2.2.2).

The server is somebody else's, and may say anything: lines, literals, lists and numbers have limits, and beyond them the
connection is of no use any more. A large literal is not gathered: it comes as ``Part``s while its response goes on.
"""

import re
from typing import Final, NamedTuple, TypeAlias

from msgspec import Struct


class ImapError(Exception):
    """What came is no IMAP, or more of it than is taken; the text is for the operator."""


class Limits(NamedTuple):
    """What one response may have."""

    line: int = 256 * 1024  # octets of its lines together
    held: int = 128 * 1024  # a literal with more octets comes in parts
    literals: int = 16
    largest: int = 2**32  # octets of a literal, whatever becomes of it
    depth: int = 16  # parentheses within one another


LIMITS: Final = Limits()


class Streamed(Struct, frozen=True):
    """In place of a literal that has come in parts."""

    size: int


Token: TypeAlias = "str | bytes | Streamed | tuple[Token, ...] | None"
"""An atom, a string, a literal that came in parts, a list, or NIL."""


class Large(Struct, frozen=True):
    """A literal of so many octets begins, which comes in parts."""

    size: int


class Part(Struct, frozen=True):
    """Octets of it."""

    octets: bytes


class Untagged(Struct, frozen=True):
    """A response with data."""

    words: tuple[Token, ...]


class Status(Struct, frozen=True):
    """How a command ended, or how the connection does. ``tag``: "*" when it is about no command."""

    tag: str
    kind: str  # OK, NO, BAD, BYE, PREAUTH
    code: str = ""  # in capitals, without brackets
    about: str = ""  # what stands behind the code
    text: str = ""


class Continue(Struct, frozen=True):
    """The server waits for more of the command."""

    text: bytes


Item: TypeAlias = Large | Part | Untagged | Status | Continue

_ANNOUNCED = re.compile(rb"~?\{([0-9]{1,20})\}\Z")
_TOKEN = re.compile(rb'([()])| |"((?>(?:[^"\\\r\n]++|\\.)*))"|((?>(?:[^ ()"\[{\r\n]|\[[^\]\r\n]*+\]?|\{)+))')
_ESCAPED = re.compile(rb"\\(.)")
_STATUS = re.compile(rb"([!-~]{1,40}) (OK|NO|BAD|BYE|PREAUTH)(?: (.*))?", re.IGNORECASE | re.DOTALL)
_CODE = re.compile(rb"\[([!-Z^-~]{1,60})(?: ([^\]]*))?\] ?(.*)", re.DOTALL)
_SAID: Final = 500  # octets of a text for people that are kept


class Answers:
    """What one server says, parted into ``Item``s. ``next`` raises ImapError."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self._limits = limits
        self._buffer = bytearray()
        self._begin()

    def receive(self, octets: bytes) -> None:
        self._buffer += octets

    @property
    def is_clear(self) -> bool:
        """Whether all that has come has been given out."""
        return not self._buffer and not self._pieces

    def next(self) -> Item | None:
        """None until more is received."""
        while True:
            if self._left and ((item := self._literal()) is not None or self._left):
                return item
            line = self._line()
            if line is None:
                return None
            announced = _ANNOUNCED.search(line) if line.endswith(b"}") else None
            if announced is None:
                self._pieces.append(line)
                pieces = self._pieces
                self._begin()
                return _item(pieces, self._limits.depth)
            self._pieces.append(line[: announced.start()])
            if (large := self._announce(int(announced[1]))) is not None:
                return large

    def _begin(self) -> None:
        self._pieces: list[bytes | Streamed | _Literal] = []
        self._room, self._literals = self._limits.line, self._limits.literals
        self._scanned = self._left = 0
        self._streams = False

    def _announce(self, size: int) -> Large | None:
        self._literals -= 1
        if size > self._limits.largest or self._literals < 0:
            raise ImapError(f"the server announces a literal of {size} octets, or one literal too many")
        self._left = size
        self._streams = size > self._limits.held
        if self._streams:
            self._pieces.append(Streamed(size))
            return Large(size)
        if not size:
            self._pieces.append(_Literal(b""))
        return None

    def _literal(self) -> Item | None:
        """A part of what is streamed; None when too little has come, or when what was gathered is whole."""
        if not self._streams:
            if len(self._buffer) >= self._left:
                self._pieces.append(_Literal(bytes(memoryview(self._buffer)[: self._left])))
                del self._buffer[: self._left]
                self._left = 0
            return None
        octets = bytes(memoryview(self._buffer)[: self._left])
        del self._buffer[: len(octets)]
        self._left -= len(octets)
        return Part(octets) if octets else None

    def _line(self) -> bytes | None:
        end = self._buffer.find(b"\r\n", self._scanned)
        if (len(self._buffer) if end < 0 else end) > self._room + (end < 0):  # a CR may be half the line end
            raise ImapError(f"a response of more than {self._limits.line} octets")
        if end < 0:
            self._scanned = max(0, len(self._buffer) - 1)
            return None
        line = bytes(memoryview(self._buffer)[:end])
        del self._buffer[: end + 2]
        self._scanned = 0
        self._room -= end
        return line


class _Literal(bytes):
    """A literal that was gathered, to be told from a line."""


def _item(pieces: list[bytes | Streamed | _Literal], depth: int) -> Item:
    first = pieces[0]
    assert isinstance(first, bytes)
    if first.startswith(b"+"):
        return Continue(first[1:].strip())
    if (status := _STATUS.fullmatch(first)) and len(pieces) == 1:
        return _status(status)
    if not first.startswith(b"* "):
        raise ImapError(f"no response of IMAP: {first[:60]!r}")
    pieces[0] = first[2:]
    return Untagged(tokens(pieces, depth))


def _status(found: "re.Match[bytes]") -> Status:
    tag, kind, text = found[1].decode(), found[2].decode().upper(), found[3] or b""
    code = _CODE.fullmatch(text)
    if code is None:
        return Status(tag, kind, text=_text(text))
    return Status(tag, kind, code[1].decode().upper(), (code[2] or b"").decode("latin-1"), _text(code[3]))


def _text(octets: bytes) -> str:
    return octets[:_SAID].decode(errors="replace")


def tokens(pieces: "list[bytes | Streamed | _Literal]", depth: int = LIMITS.depth) -> tuple[Token, ...]:
    """The words of a response, whose literals stand between its lines. ImapError."""
    stack: list[list[Token]] = [[]]
    for piece in pieces:
        if isinstance(piece, Streamed | _Literal):
            stack[-1].append(piece if isinstance(piece, Streamed) else bytes(piece))
            continue
        place = 0
        while place < len(piece):
            found = _TOKEN.match(piece, place)
            if found is None:
                raise ImapError(f"no response of IMAP: {piece[place : place + 60]!r}")
            place = found.end()
            _take(stack, found, depth)
    if len(stack) != 1:
        raise ImapError("a list that does not end")
    return tuple(stack[0])


def _take(stack: list[list[Token]], found: "re.Match[bytes]", depth: int) -> None:
    if found[1] == b"(":
        if len(stack) > depth:
            raise ImapError("lists too deep in one another")
        stack.append([])
    elif found[1] == b")":
        if len(stack) == 1:
            raise ImapError("a list ends that has not begun")
        done = tuple(stack.pop())
        stack[-1].append(done)
    elif found[2] is not None:
        stack[-1].append(_ESCAPED.sub(rb"\1", found[2]))
    elif found[3] is not None:
        stack[-1].append(None if found[3].upper() == b"NIL" else found[3].decode("latin-1"))
