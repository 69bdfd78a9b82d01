"""Who owns a store: a lock on its folder that the kernel takes back when the owner dies, in whatever way."""

import fcntl
import os
import time
from pathlib import Path

from engine.storage.environment import StorageError

_PATIENCE = 5.0
"""Seconds for the owner before us to go: a worker outlives a supervisor that was killed by some milliseconds."""


def held(folder: Path) -> int:
    """Hold ``folder`` for this process alone, until the descriptor that is returned is closed.

    StorageError when another process keeps it: two owners of one store would each believe what the other changes.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(folder / "owner.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if time.monotonic() > end:
                os.close(lock)
                raise StorageError(f"{folder} is in use by another process; is Postroad running already?") from error
            time.sleep(0.02)
        else:
            return lock
