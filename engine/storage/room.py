"""Room on a disk: whether a store may still grow, looked up at most once a second."""

import time
from pathlib import Path

from engine.storage.environment import free_space

STALE = 1.0
"""Seconds for which an answer holds: the reserve is there to outlast what comes in meanwhile."""


class Room:
    """Remembers the free space of one place for all who ask before every message."""

    def __init__(self) -> None:
        self._looked = -STALE
        self.free = 0  # octets, when it was last looked

    def above(self, reserve: int, path: Path) -> bool:
        """Whether more than ``reserve`` octets are free where ``path`` is, or will be. OSError when nobody can tell."""
        now = time.monotonic()
        if now - self._looked > STALE:
            self.free = free_space(path if path.exists() else path.parent)
            self._looked = now
        return self.free > reserve
