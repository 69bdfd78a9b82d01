"""The files of the log, read: all of them, from a moment on, and as they grow."""

import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

AGAIN = 0.2
"""Seconds between two looks at whether the log has grown."""

_TIME = re.compile(rb'\{"time":([0-9.]+),')


def files(path: Path) -> list[Path]:
    """The file at ``path`` and the older ones beside it, the oldest first."""
    older = {int(one.suffix[1:]): one for one in path.parent.glob(f"{path.name}.*") if one.suffix[1:].isdecimal()}
    found = [older[number] for number in sorted(older, reverse=True)]
    return [*found, path] if path.exists() else found


def lines(path: Path, since: float = 0.0, end: int | None = None) -> Iterator[bytes]:
    """All lines from that Unix time on, the oldest first; of the last file those before ``end``. OSError."""
    for one in files(path):
        if one.stat().st_mtime < since:
            continue
        left = end if one == path and end is not None else sys.maxsize
        with one.open("rb") as file:
            for line in file:
                left -= len(line)
                if left < 0:
                    break
                if not since or written(line) >= since:
                    yield line


def written(line: bytes) -> float:
    """The Unix time of a line; 0 where it has none."""
    found = _TIME.match(line)
    return float(found[1]) if found else 0.0


class Tail:
    """Reads what is added to the file from now on, also when another one takes its name."""

    def __init__(self, path: Path) -> None:
        """OSError when there is no such file."""
        self._path = path
        self._file: BinaryIO = path.open("rb")
        self.start = self._file.seek(0, os.SEEK_END)

    def lines(self) -> Iterator[bytes]:
        """Without an end. A line is given once it is whole."""
        rest = b""
        while True:
            turned_over = self._is_another()  # asked before the last of it is read
            for line in self._file:
                rest += line
                if rest.endswith(b"\n"):
                    yield rest
                    rest = b""
            if turned_over:
                self._again()
            else:
                time.sleep(AGAIN)

    def _is_another(self) -> bool:
        mine = os.fstat(self._file.fileno())
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return False  # it is about to come
        return (there.st_ino, there.st_dev) != (mine.st_ino, mine.st_dev)

    def _again(self) -> None:
        new = self._path.open("rb")
        self._file.close()
        self._file = new
