"""An LMDB environment as all our stores open it: synced, in a private folder, never across a fork."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lmdb

MAX_READERS = 2048
"""LMDB's own 126 slots are soon taken by a few worker processes with many threads."""

_ANY_SIZE = 2**36
"""Address space in octets for a store of which only its folder is known: more than any that is copied."""

_UNWRITTEN = 256
"""Pages at the end that LMDB may never have written, for they were freed by the change that took them: seldom one."""


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
        raise StorageError(f"cannot open the store in {path}: {reason(error)}") from error
    if _missing(environment) > _UNWRITTEN:
        environment.close()
        raise StorageError(f"cannot open the store in {path}: its end is missing: {_DAMAGED}")
    if not read_only:
        environment.reader_check()  # slots of processes that were killed would hold old pages for ever
    return environment


def copy_environment(source: Path, target: Path) -> None:
    """Copy the environment in the folder ``source``, as it is at one moment, into the folder ``target``.

    Others may use it meanwhile. StorageError when that cannot be done.
    """
    environment = open_environment(source, map_size=_ANY_SIZE, databases=0, read_only=True)
    try:
        environment.copy(str(target), compact=True)
    except (OSError, lmdb.Error) as error:
        raise StorageError(f"cannot copy the store in {source}: {reason(error)}") from error
    finally:
        environment.close()


def _missing(environment: lmdb.Environment) -> int:
    """Pages that the file lacks at its end. To read one kills the process (SIGBUS)."""
    have = os.stat(Path(environment.path()) / "data.mdb").st_size // environment.stat()["psize"]
    return int(environment.info()["last_pgno"] + 1 - have)


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
    if isinstance(error, lmdb.MapFullError | lmdb.DiskError) or (
        isinstance(error, OSError) and error.errno == errno.ENOSPC
    ):
        return Full(f"cannot write to the store: {reason(error)}")
    if isinstance(error, lmdb.Error):
        return StorageError(f"the store failed: {reason(error)}")
    return error


_DAMAGED = (
    "the file is damaged; stop the server, keep a copy of its data folder, and put a backup in the place: "
    'docs/operating.md, "Something is damaged"'
)
_MEMORY = "no memory for it: is `ulimit -v` set, or map_size larger than this machine can map?"
_REASONS = {
    lmdb.InvalidError: _DAMAGED,
    lmdb.CorruptedError: _DAMAGED,
    lmdb.IncompatibleError: _DAMAGED,
    lmdb.PageNotFoundError: _DAMAGED,
    lmdb.VersionMismatchError: "another version of LMDB made it",
    lmdb.MapFullError: "it has become as large as its map_size; make that larger in pipeline.toml, and restart",
    lmdb.MemoryError: _MEMORY,
}
_SYSTEM_REASONS = {
    errno.EACCES: "permission denied; it must belong to the user who runs Postroad, and commands are for him and root",
    errno.EPERM: "not permitted; commands are for root and the user who runs Postroad",
    errno.ENOSPC: 'the disk is full: docs/operating.md, "The disk is full"',
    errno.EROFS: "Read-only file system; `dmesg` may say why it is mounted so",
    errno.EIO: "the disk fails (Input/output error); `dmesg` may say why",
    errno.EMFILE: "too many open files; raise `ulimit -n`",
    errno.ENOMEM: _MEMORY,
}


def reason(error: BaseException) -> str:
    """Why a store, a file or the system refused, and what to do about it where that is known."""
    known = next((text for kind, text in _REASONS.items() if isinstance(error, kind)), None)
    if known is not None:
        return known
    text = getattr(error, "strerror", None) or str(error)
    number = getattr(error, "errno", None) or next((n for n in _SYSTEM_REASONS if os.strerror(n) in text), 0)
    return _SYSTEM_REASONS.get(number, text)


def plain(error: BaseException) -> str:
    """What to tell an operator where a store or the system is to blame; empty for all else, which is a bug of ours."""
    if isinstance(error, StorageError):
        return str(error)
    if isinstance(error, lmdb.Error):
        return str(translated(error))
    if isinstance(error, OSError):
        return f"{error.filename}: {reason(error)}" if error.filename else reason(error)
    return ""
