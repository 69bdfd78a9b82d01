"""A file of any size that is searched, of which little is in memory."""

import os
from collections.abc import Iterator
from pathlib import Path

from engine.exchange.files import descriptor

PIECE = 256 * 1024
"""Octets read at once."""

FIRST = 4096
"""Octets in which something is looked for first: most lines and many messages end in them."""


class Scanned:
    """OSError from every method."""

    def __init__(self, path: Path) -> None:
        self._descriptor = descriptor(path)
        self.size = os.fstat(self._descriptor).st_size

    def close(self) -> None:
        os.close(self._descriptor)

    def read(self, start: int, end: int) -> bytes:
        """At most a piece's octets or so are wanted; what lies behind the end of the file is not there."""
        return os.pread(self._descriptor, max(0, end - start), max(0, start))

    def begins(self, at: int, octets: bytes) -> bool:
        return self.read(at, at + len(octets)) == octets

    def line(self, at: int, longest: int) -> bytes:
        """From there to the end of the line, that included, or its first octets."""
        end = self.find(b"\n", at)
        return self.read(at, min(self.size if end < 0 else end + 1, at + longest))

    def pieces(self, start: int, end: int) -> Iterator[bytes]:
        for at in range(start, end, PIECE):
            yield self.read(at, min(at + PIECE, end))

    def find(self, wanted: bytes, start: int) -> int:
        """Where it is next; less than zero: nowhere."""
        at, window = max(0, start), FIRST
        while at < self.size:
            found = self.read(at, at + window + len(wanted) - 1).find(wanted)
            if found >= 0:
                return at + found
            at, window = at + window, min(4 * window, PIECE)
        return -1

    def skip(self, at: int, octets: bytes) -> int:
        """Behind any number of these octets."""
        while (found := self.read(at, at + 1)) and found in octets:
            at += 1
        return at
