"""Message content: where it ends, its stuffed dots, its size, and line breaks that are none."""

from io import IncrementalNewlineDecoder

TERMINATOR = b"\r\n.\r\n"
"""The only end of content under DATA (RFC 5321 4.1.1.4). Its first CRLF belongs to the content."""

DOT = b"\r\n."

_CLEAN = (None, "\r\n")  # what the newlines of a decoder are while nothing stands alone


class Breaks:
    """Whether every line break of octets that come in parts is CRLF, and no CR or LF stands alone (RFC 5321 2.3.8).

    The standard library's text decoding notes all kinds of breaks in one pass, also those that a part ends within:
    1.6 µs for 4 KiB, where to count CR, LF and CRLF takes 5 to 7, ``replace`` 8, and a regex 11 to 45.
    """

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen = IncrementalNewlineDecoder(None, translate=False)

    def add(self, data: bytes, *, final: bool = False) -> None:
        """Look at one more part. Until the ``final`` one a CR at its end may still get its LF."""
        self._seen.decode(data.decode("latin-1"), final)

    @property
    def clean(self) -> bool:
        return self._seen.newlines in _CLEAN


def unstuffed(lines: bytes) -> bytes:
    """Lines without the dot that the client put before them (RFC 5321 4.5.2); only a dot after a CRLF is one."""
    return lines.replace(DOT, b"\r\n")


class Tally:
    """What is known of one content so far: its size in octets, and whether it must be refused."""

    __slots__ = ("_breaks", "_limit", "_strict", "size")

    def __init__(self, limit: int, *, strict: bool) -> None:
        self._limit = limit
        self._strict = strict
        self.clear()

    def clear(self) -> None:
        self.size = 0
        self._breaks = Breaks()

    def add(self, data: bytes) -> None:
        self.size += len(data)
        if self._strict and self.size <= self._limit:
            self._breaks.add(data)

    @property
    def too_large(self) -> bool:
        return self.size > self._limit

    @property
    def good(self) -> bool:
        """So far nothing is wrong; a CR that still waits for its LF is no fault yet."""
        return self.size <= self._limit and self._breaks.clean

    def finish(self) -> bool:
        """The content is whole; whether it may be kept."""
        self._breaks.add(b"", final=True)
        return self.good
