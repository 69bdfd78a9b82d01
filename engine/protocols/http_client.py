"""The client's side of HTTP/1.1 (RFC 9112), as far as asking a server that one has chosen oneself needs it.

h11 does the same and more, and takes five times the CPU for it: here a message has one request.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

HEAD_LIMIT = 64 * 1024
"""Octets of a status line and its fields."""

BODY_LIMIT = 4 * 1024 * 1024
"""Octets of the body of a response, unless it is said otherwise."""

_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
_STATUS_LINE = re.compile(rb"HTTP/1\.(\d) (\d{3})(?: |$)")
_SIZE = re.compile(rb"[0-9]{1,18}")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;|$)")


class HttpError(Exception):
    """What came is no response that can be read; the text is for the operator."""


@dataclass(frozen=True, slots=True)
class Response:
    """What the server says."""

    status: int
    body: bytes
    kind: str = ""  # of media, in lower case and without parameters


class HttpClient:
    """One connection, with one request at a time, which is no HEAD. HttpError from ``receive``."""

    def __init__(self, limit: int = BODY_LIMIT) -> None:
        self._limit = limit
        self.reusable = True  # whether another request may follow
        self._reset()

    def begin(self, method: str, target: str, fields: Iterable[tuple[str, str]], length: int | None = None) -> bytes:
        """All of a request up to its body of so many octets, if it has one. What is no text in a value is replaced: no
        value adds a field.
        """
        self._reset()
        lines = [f"{method} {target} HTTP/1.1"]
        lines += [f"{name}: {_CONTROLS.sub('?', value)}" for name, value in fields]
        if length is not None:
            lines.append(f"Content-Length: {length}")
        lines.append("\r\n")
        return "\r\n".join(lines).encode()

    def _reset(self) -> None:
        self._held = b""
        self._status = 0  # until the head was read
        self._kind = ""
        self._left: int | None = None  # octets of the body to come; None: as the connection or the chunks end
        self._chunked = False
        self._ends = False  # a chunk is whole, but for its line end
        self._body: list[bytes] = []
        self._size = 0

    @property
    def has_heard(self) -> bool:
        """Whether anything of the response has come."""
        return bool(self._status or self._held)

    def receive(self, octets: bytes) -> Response | None:
        """The response, as soon as it is there as a whole; b"" says that the server has closed."""
        if not octets:
            return self._ended()
        self._held += octets
        while not self._status:
            if not self._read_head():
                return None
        if self._chunked:
            return self._chunks()
        self._take(len(self._held) if self._left is None else min(self._left, len(self._held)))
        return self._response() if self._left == 0 else None

    def _read_head(self) -> bool:
        head, found, rest = self._held.partition(b"\r\n\r\n")
        if not found:
            if len(self._held) > HEAD_LIMIT:
                raise HttpError("its head is too long")
            return False
        self._held = rest
        first, *lines = head.split(b"\r\n")
        match = _STATUS_LINE.match(first)
        if not match:
            raise HttpError(f"no HTTP/1.1: {first[:40]!r}")
        status = int(match[2])
        if status < 200:  # interim, and not the answer (RFC 9110 15.2)
            return bool(rest)
        self._status = status
        self._read_fields(lines, recent=match[1] != b"0")
        return True

    def _read_fields(self, lines: Iterable[bytes], *, recent: bool) -> None:
        sizes: set[bytes] = set()
        options = b""
        for line in lines:
            name, _, value = line.partition(b":")
            match name.lower():
                case b"content-length":
                    sizes.add(value.strip())
                case b"transfer-encoding":
                    if value.strip().lower() != b"chunked":
                        raise HttpError(f"a coding that was not asked for: {value[:40]!r}")
                    self._chunked = True
                case b"content-type":
                    self._kind = value.partition(b";")[0].strip().lower().decode("latin-1")
                case b"connection":
                    options += value.lower() + b","
        self.reusable = b"close" not in options and (recent or b"keep-alive" in options)
        if self._status in (204, 304):
            self._left, self._chunked = 0, False
        elif sizes and not self._chunked:  # RFC 9112 6.3: the coding counts before a length
            self._left = self._length(sizes)

    def _length(self, sizes: set[bytes]) -> int:
        size = sizes.pop()
        if sizes or not _SIZE.fullmatch(size):
            raise HttpError(f"no length: {size[:40]!r}")
        self._bound(int(size))
        return int(size)

    def _take(self, count: int) -> None:
        """Move octets that came into the body."""
        self._body.append(self._held[:count])
        self._held = self._held[count:]
        self._size += count
        self._bound(self._size)
        if self._left is not None:
            self._left -= count

    def _bound(self, size: int) -> None:
        if size > self._limit:
            raise HttpError(f"more than {self._limit} octets")

    def _chunks(self) -> Response | None:
        """RFC 9112 7.1."""
        while True:
            if self._left:  # taken as it comes: what is held would be copied with each piece of it
                self._take(min(self._left, len(self._held)))
                if self._left:
                    return None
                self._ends = True
            if self._ends:
                if len(self._held) < 2:
                    return None
                if not self._held.startswith(b"\r\n"):
                    raise HttpError("a chunk that does not end")
                self._held = self._held[2:]
                self._left, self._ends = None, False
            elif self._left is None:
                line, found, rest = self._held.partition(b"\r\n")
                if not found:
                    self._in_bounds()
                    return None
                match = _CHUNK_SIZE.match(line)
                if not match:
                    raise HttpError(f"no chunk: {line[:40]!r}")
                self._held, self._left = rest, int(match[1], 16)
                self._bound(self._size + self._left)
            else:
                return self._trailer()

    def _trailer(self) -> Response | None:
        """Fields behind the last chunk, which nobody asks for."""
        if self._held.startswith(b"\r\n"):
            self._held = self._held[2:]
            return self._response()
        _, found, rest = self._held.partition(b"\r\n\r\n")
        if not found:
            self._in_bounds()
            return None
        self._held = rest
        return self._response()

    def _in_bounds(self) -> None:
        if len(self._held) > HEAD_LIMIT:
            raise HttpError("a line that is too long")

    def _ended(self) -> Response:
        if not self._status or self._chunked or self._left:
            raise HttpError("it closed the connection before its answer was complete")
        self.reusable = False
        return self._response()

    def _response(self) -> Response:
        self.reusable = self.reusable and not self._held  # what stands behind it belongs to no request of ours
        return Response(self._status, b"".join(self._body), self._kind)
