"""Maildirs of the users, and a count of what is put into them: the kernel tells, so that counting reads no folder."""

import contextlib
import ctypes
import os
import shutil
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench import Failed

_CREATED, _MOVED_IN, _OVERFLOW = 0x100, 0x80, 0x4000  # inotify(7): IN_CREATE, IN_MOVED_TO, IN_Q_OVERFLOW
_EVENT = struct.Struct("iIII")  # watch, mask, cookie, length of the name behind it


def made(folder: Path, users: int, owner: str) -> list[Path]:
    """Empty Maildirs u00, u01 … in ``folder`` that belong to the user ``owner``; returns them in that order."""
    found = [folder / f"u{number:02d}" for number in range(users)]
    for maildir in found:
        for name in ("new", "cur", "tmp"):
            (maildir / name).mkdir(parents=True)
            shutil.chown(maildir / name, owner)
        shutil.chown(maildir, owner)
    shutil.chown(folder, owner)
    return found


class Count:
    """Counts messages as they appear in the folders ``new``. Call it often: the kernel's list is short."""

    def __init__(self, maildirs: Sequence[Path]) -> None:
        self._total = 0
        library = ctypes.CDLL(None, use_errno=True)
        self._descriptor = library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        for maildir in maildirs:
            if library.inotify_add_watch(self._descriptor, os.fsencode(maildir / "new"), _CREATED | _MOVED_IN) < 0:
                raise Failed(f"cannot watch {maildir}: {os.strerror(ctypes.get_errno())}")

    def __call__(self) -> int:
        with contextlib.suppress(BlockingIOError):
            while octets := os.read(self._descriptor, 1 << 18):
                self._total += _events(octets)
        return self._total

    def close(self) -> None:
        os.close(self._descriptor)


def _events(octets: bytes) -> int:
    place = count = 0
    while place < len(octets):
        _, mask, _, length = _EVENT.unpack_from(octets, place)
        if mask & _OVERFLOW:
            raise Failed("messages came faster than they could be counted (inotify's list is full)")
        place += _EVENT.size + length
        count += 1
    return count


def fresh(folder: Path, users: int) -> contextlib.AbstractContextManager[Count]:
    """Empty Maildirs in ``folder``, as ``made`` makes them for the user mail, and a count of what comes into them."""
    return counted(made(folder, users, "mail"))


@contextmanager
def counted(maildirs: Sequence[Path]) -> Iterator[Count]:
    """A count of what comes into these Maildirs from now on."""
    count = Count(maildirs)
    try:
        yield count
    finally:
        count.close()
