"""A copy of what stages remember, for one rehearsal: they may write into it, and it goes when the rehearsal ends."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from engine.storage.environment import Full, copy_environment, free_space

LEFT_OUT = frozenset(
    {"queue", "content", "mailbox", "index", "bounces", "webhooks", "reports", "quarantine", "history", "revisions"}
)
"""Folders with mail, and with what is told of it: no stage before an effect changes them, and they are large."""

_PREFIX = "rehearsal-"
_STORE, _LOCK = "data.mdb", "lock.mdb"


@contextmanager
def scratch(data: Path) -> Iterator[Path]:
    """A folder that looks like ``data`` to stages. It lies in it, for it holds keys and digests of passwords too.

    OSError, StorageError; Full where the disk has no room for it.
    """
    there = data.is_dir()
    if there:
        _sweep(data)
    with tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{os.getpid()}-", dir=data if there else None) as name:
        folder = Path(name)
        if there:
            _check_room(data)
            for entry in _remembered(data):
                _copy(entry, folder / entry.name)
        yield folder


def _sweep(data: Path) -> None:
    """Remove what rehearsals left behind that were killed."""
    for path in data.glob(f"{_PREFIX}*-*"):
        pid = path.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdigit() and not Path("/proc", pid).exists():
            shutil.rmtree(path, ignore_errors=True)


def _check_room(data: Path) -> None:
    wanted = sum(map(_size, _remembered(data)))
    if wanted > free_space(data):
        raise Full(f"{data} has no room for a copy of what stages remember: {wanted:,} octets")


def _remembered(data: Path) -> "Iterator[os.DirEntry[str]]":
    return (one for one in _entries(data) if one.name not in LEFT_OUT and not one.name.startswith(_PREFIX))


def _size(entry: "os.DirEntry[str]") -> int:
    """Octets on the disk: a store of LMDB may have holes."""
    if entry.is_dir(follow_symlinks=False):
        return sum(map(_size, _entries(Path(entry.path))))
    return entry.stat(follow_symlinks=False).st_blocks * 512


def _copy(entry: "os.DirEntry[str]", target: Path) -> None:
    # Links are not followed: what they lead to may be nothing of ours.
    if entry.is_dir(follow_symlinks=False):
        target.mkdir(mode=0o700)
        for inner in _entries(Path(entry.path)):
            _copy(inner, target / inner.name)
    elif entry.name == _STORE:
        copy_environment(Path(entry.path).parent, target.parent)
    elif entry.name != _LOCK and entry.is_file(follow_symlinks=False):
        with suppress(FileNotFoundError):  # it has gone meanwhile
            shutil.copy(entry.path, target, follow_symlinks=False)


def _entries(folder: Path) -> "list[os.DirEntry[str]]":
    with suppress(FileNotFoundError), os.scandir(folder) as found:
        return list(found)
    return []
