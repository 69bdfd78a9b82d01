"""Who owns a folder: a lock in it that the kernel takes back when the owner dies, in whatever way."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.storage.environment import StorageError

_PATIENCE = 5.0
"""Seconds for the owner before us to go: a worker outlives a supervisor that was killed by some milliseconds."""


def held(folder: Path) -> int:
    """Hold ``folder`` for this process alone, until the descriptor that is returned is closed.

    StorageError when another process keeps it: two owners of one store would each believe what the other changes.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    end = time.monotonic() + _PATIENCE
    while (lock := _locked(folder)) is None:
        if time.monotonic() > end:
            raise StorageError(f"{folder} is in use by another process; is Postroad running already?")
        time.sleep(0.02)
    return lock


def _locked(folder: Path) -> int | None:
    lock = os.open(folder / "owner.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock


@contextmanager
def workspace(folder: Path, prefix: str) -> Iterator[Path]:
    """A new folder within ``folder``, gone afterwards. Those of makers who were killed go as well."""
    remove_abandoned(folder, prefix)
    path = Path(tempfile.mkdtemp(prefix=prefix, dir=folder))
    try:
        lock = held(path)
        try:
            yield path
        finally:
            os.close(lock)
    finally:
        shutil.rmtree(path)


def remove_abandoned(folder: Path, prefix: str) -> list[str]:
    """Remove the workspaces in ``folder`` whose makers have died; their names."""
    removed = []
    for path in sorted(folder.glob(f"{prefix}????????")):  # as tempfile names them
        lock = _locked(path)
        if lock is not None:
            shutil.rmtree(path)
            os.close(lock)
            removed.append(path.name)
    return removed
