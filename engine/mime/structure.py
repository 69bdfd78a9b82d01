"""The tree of the parts of a message, found in one pass over its chunks (RFC 2046 5.1).

Only header sections are kept, and of each only its first HEADER_LIMIT octets.
"""

import re
from collections.abc import Iterable

from engine.mime.content import ENCODINGS, MESSAGE, MESSAGES, OCTETS, TEXT, Content, content
from engine.mime.envelope import envelope
from engine.mime.fields import fields
from engine.mime.parameters import parameter
from engine.mime.part import Part

DEPTH = 50
"""Containers within one another that are opened; a deeper one is a leaf of application/octet-stream."""

PARTS = 2_000
"""Parts that are told apart; all that follows belongs to the last one."""

HEADER_LIMIT = 256 * 1024
"""Octets of a header section that are read; the section itself goes on to its empty line."""

BOUNDARY_LIMIT = 998
"""Octets of a boundary: no line is longer (RFC 5322 2.1.1). RFC 2046 5.1.1 has 70, mailers have had more."""

_EMPTY_LINE = re.compile(rb"\n\r?\n")
_EMPTY_LINE_OR_DELIMITER = re.compile(rb"\n(?:\r?\n|--)")


def structure(chunks: Iterable[bytes]) -> Part:
    """The tree of a message of any octets, given in chunks of any size."""
    scanner = Scanner()
    for chunk in chunks:
        scanner.feed(chunk)
    return scanner.end()


class _Open:
    """A part whose end is not yet known."""

    __slots__ = ("body", "content", "default", "envelope", "is_message", "lines", "parts", "start")

    def __init__(self, start: int, default: Content = TEXT, *, is_message: bool = False) -> None:
        self.start = self.body = start
        self.default = self.content = default
        self.is_message = is_message
        self.lines = 0  # line ends before the body
        self.envelope = b""
        self.parts: list[Part] = []

    def closed(self, end: int, lines: int) -> Part:
        kind = self.content
        if kind.type.lower() == b"multipart" and not self.parts:  # what shows no parts is text, RFC 2045 5.2
            kind = kind._replace(type=TEXT.type, subtype=TEXT.subtype, parameters=TEXT.parameters)
        return Part(
            self.start, self.body, end, lines - self.lines,
            kind.type, kind.subtype, kind.parameters, kind.encoding, tuple(self.parts), self.envelope, kind.details,
        )  # fmt: skip


class Scanner:
    """Takes chunks of any size by `feed`; `end` gives the tree. ``header`` is the message's own header section."""

    def __init__(self) -> None:
        self.header = b""
        # A line begins behind a line end. One that is not there stands before the first line, at offset -1.
        self._rest, self._at, self._place = b"\n", -1, 0  # what is kept, its offset, and where in it to go on
        self._lines, self._counted = -1, 0  # line ends before the place in the rest up to which they are counted
        self._section: list[bytes] | None = []  # of the header that is being read, line end before it included
        self._section_size = 0
        self._in_delimiter = False
        self._stack = [_Open(0, is_message=True)]
        self._parts = 1
        self._boundaries: list[tuple[bytes, int]] = []  # that may come, outermost first, with their level in the stack
        self._by_length: list[tuple[int, dict[bytes, int]]] = []  # the same, longest first
        self._longest = self._shortest = 0
        self._heads: set[bytes] = set()  # their first octets

    def feed(self, chunk: bytes) -> None:
        data = self._rest + chunk
        self._scan(data, is_last=False)
        done = max(self._place - 1, 0)  # the CR before a line end belongs to a delimiter
        self._count(data, done)
        self._rest = data[done:]
        self._at, self._place, self._counted = self._at + done, self._place - done, self._counted - done

    def end(self) -> Part:
        data = self._rest
        self._scan(data, is_last=True)
        if self._in_delimiter:
            self._begin_section(len(data) - 1, self._at + len(data))
        while self._section is not None:
            self._end_section(data, len(data))
        self._close(1, self._at + len(data), self._count(data, len(data)))
        return self._stack[0].closed(self._at + len(data), self._lines)

    def _count(self, data: bytes, place: int) -> int:
        """Line ends up to there; places only ever grow."""
        if place > self._counted:
            self._lines += data.count(b"\n", self._counted, place)
            self._counted = place
        return self._lines

    def _scan(self, data: bytes, *, is_last: bool) -> None:
        """Go on in the data as far as can be told without what comes after it."""
        while True:
            if self._in_delimiter:
                line = data.find(b"\n", self._place)
                if line < 0:
                    self._place = len(data)
                    return
                self._begin_section(line, self._at + line + 1)
                self._in_delimiter = False
            elif self._section is not None:
                if not self._scan_section(data, is_last=is_last):
                    return
            elif not self._by_length:
                self._place = len(data)
                return
            elif not self._scan_body(data, is_last=is_last):
                return

    def _scan_section(self, data: bytes, *, is_last: bool) -> bool:
        start = self._place
        pattern = _EMPTY_LINE_OR_DELIMITER if self._by_length else _EMPTY_LINE
        while found := pattern.search(data, start):
            if not found[0].endswith(b"-"):
                self._end_section(data, found.end())
                return True
            start = found.start()
            level = self._delimiter(data, start, is_last=is_last)
            if level is None:
                self._take(data, start)
                return False
            if level:
                while self._section is not None:
                    self._end_section(data, start + 1)
                self._delimit(data, start, level)
                return True
            start += 1
        self._take(data, max(start, len(data) - 2))
        return False

    def _scan_body(self, data: bytes, *, is_last: bool) -> bool:
        start = self._place
        while (start := data.find(b"\n--", start)) >= 0:
            level = self._delimiter(data, start, is_last=is_last)
            if level is None:
                self._place = start
                return False
            if level:
                self._delimit(data, start, level)
                return True
            start += 1
        self._place = max(self._place, len(data) - 2)
        return False

    def _delimiter(self, data: bytes, line: int, *, is_last: bool) -> int | None:
        """The level of the multipart whose boundary the line begins with, 0 for none, None if that can not be told.

        The longest boundary counts, of equal ones the innermost; what follows on the line does not (RFC 2046 5.1.1).
        """
        start = line + 3
        if not is_last and len(data) < start + self._longest + 2 and data.find(b"\n", start) < 0:
            return None
        if self._by_length and data[start : start + self._shortest] in self._heads:
            for length, levels in self._by_length:
                level = levels.get(data[start : start + length])
                if level is not None:
                    return level
        return 0

    def _delimit(self, data: bytes, line: int, level: int) -> None:
        """End the parts in that multipart, and it itself if the delimiter is the last, or begin the next part."""
        end = line - 1 if data[line - 1 : line] == b"\r" else line
        self._close(level, self._at + end, self._count(data, line))
        while self._boundaries[-1][1] > level:
            self._boundaries.pop()
        after = line + 3 + len(self._boundaries[-1][0])
        self._place = after
        if data.startswith(b"--", after):
            self._boundaries.pop()
        else:
            self._in_delimiter = True
            is_digest = self._stack[-1].content.subtype.lower() == b"digest"
            self._open(_Open(self._at + after, MESSAGE if is_digest else TEXT))
        self._index()

    def _open(self, part: _Open) -> None:
        self._stack.append(part)
        self._parts += 1
        if self._parts >= PARTS:
            self._boundaries.clear()

    def _index(self) -> None:
        lengths: dict[int, dict[bytes, int]] = {}
        for boundary, level in self._boundaries:
            lengths.setdefault(len(boundary), {})[boundary] = level
        self._by_length = sorted(lengths.items(), reverse=True)
        self._longest, self._shortest = (max(lengths), min(lengths)) if lengths else (0, 0)
        self._heads = {boundary[: self._shortest] for boundary, _ in self._boundaries}

    def _begin_section(self, line: int, start: int) -> None:
        """A header section begins behind the line end at that place."""
        self._section, self._section_size, self._place = [], 0, line
        self._stack[-1].start = start

    def _take(self, data: bytes, place: int) -> None:
        """What stands before the place belongs to the section."""
        if place > self._place and self._section is not None:
            if self._section_size <= HEADER_LIMIT:
                self._section.append(data[self._place : place])
                self._section_size += place - self._place
            self._place = place

    def _end_section(self, data: bytes, body: int) -> None:
        """The section has ended; go on in the body."""
        self._take(data, body)
        pieces = self._section or []
        self._section, self._place = None, max(body - 1, 0)
        section = (pieces[0] if len(pieces) == 1 else b"".join(pieces))[1 : HEADER_LIMIT + 1]
        part = self._stack[-1]
        part.body = self._at + body
        part.lines = self._count(data, body)
        found = fields(section)
        part.content = content(found, part.default)
        if part.is_message:
            part.envelope = envelope(found)
        if len(self._stack) == 1:
            self.header = section
        kind = part.content.type.lower()
        if kind == b"multipart":
            self._enter_multipart(part)
        elif kind == b"message" and (kind, part.content.subtype.lower()) in MESSAGES:
            self._enter_message(part, body)

    def _enter_multipart(self, part: _Open) -> None:
        boundary = parameter(part.content.parameters, b"boundary").rstrip()
        if self._is_full():
            part.content = part.content._replace(type=OCTETS.type, subtype=OCTETS.subtype)
        elif 0 < len(boundary) <= BOUNDARY_LIMIT:
            self._boundaries.append((boundary, len(self._stack)))
            self._index()

    def _enter_message(self, part: _Open, body: int) -> None:
        if self._is_full() or part.content.encoding.lower() not in ENCODINGS:
            part.content = part.content._replace(type=OCTETS.type, subtype=OCTETS.subtype)
            return
        self._open(_Open(part.body, is_message=True))
        self._index()
        self._begin_section(body - 1, part.body)

    def _is_full(self) -> bool:
        return len(self._stack) > DEPTH or self._parts >= PARTS

    def _close(self, level: int, end: int, lines: int) -> None:
        """Close what is open above that level."""
        while len(self._stack) > level:
            part = self._stack.pop()
            if part.body > end:  # the empty line that ends its header is that of the delimiter as well
                end, lines = part.body, part.lines
            self._stack[-1].parts.append(part.closed(end, lines))
