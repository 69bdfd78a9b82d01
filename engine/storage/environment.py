"""An LMDB environment as all our stores open it: synced, in a private folder, never across a fork."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lmdb

MAX_READERS = 2048
"""LMDB's own 126 slots are soon taken by a few worker processes with many threads."""


class StorageError(Exception):
    """A store cannot be opened or written; the text says which, why, and what to do."""


class Full(StorageError):
    """No room: the disk is full, or the environment has reached its map size."""


def open_environment(
    path: Path, *, map_size: int, databases: int, read_only: bool = False, sync: bool = True
) -> lmdb.Environment:
    """Open (and make, mode 0700) the environment at ``path``. StorageError when that cannot be done.

    ``map_size`` is address space in octets, not disk: large from the start, because resizing a shared map is unsafe.
    Without ``sync`` nothing is lost when a process dies, but when the machine does all may be broken: it is to be
    opened by no later start of it.
    """
    try:
        if not read_only:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        environment = lmdb.open(
            str(path),
            map_size=map_size,
            max_dbs=databases,
            max_readers=MAX_READERS,
            max_spare_txns=16,
            mode=0o600,
            readonly=read_only,
            create=not read_only,
            sync=sync,
        )
    except (OSError, lmdb.Error) as error:
        raise StorageError(f"cannot open the store in {path}: {_reason(error)}") from error
    if not read_only:
        environment.reader_check()  # slots of processes that were killed would hold old pages for ever
    return environment


def forget(txn: "lmdb.Transaction[bytes]", database: Any, over: Callable[[bytes], bool]) -> None:
    """Delete the entries of whose values that holds."""
    gone = [bytes(key) for key, value in txn.cursor(database) if over(value)]
    for key in gone:
        txn.delete(key, db=database)


def free_space(path: Path) -> int:
    """Octets that an unprivileged process may still write on the file system of ``path``."""
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize


def translated(error: BaseException) -> BaseException:
    """Our own error for one of LMDB's or the kernel's that says there is no room; any other unchanged."""
    if isinstance(error, lmdb.MapFullError | lmdb.DiskError) or (isinstance(error, OSError) and error.errno == 28):
        return Full(f"no room in the store: {_reason(error)}")
    if isinstance(error, lmdb.Error):
        return StorageError(f"the store failed: {_reason(error)}")
    return error


def _reason(error: BaseException) -> str:
    if isinstance(error, PermissionError) or "Permission denied" in str(error):
        return "permission denied; give its owner, the user who runs Postroad, read and write access"
    return getattr(error, "strerror", None) or str(error)
