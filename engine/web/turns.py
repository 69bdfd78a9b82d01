"""One at a time of each: whoever wants many at once stands in line behind themselves, and keeps nobody waiting."""

from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

import trio


class Turns:
    """Of one process."""

    def __init__(self) -> None:
        self._locks: dict[Hashable, trio.Lock] = {}

    @asynccontextmanager
    async def of(self, what: Hashable) -> AsyncIterator[None]:
        """Ours, until the block ends."""
        lock = self._locks.setdefault(what, trio.Lock())
        try:
            async with lock:
                yield
        finally:
            if not lock.locked():
                self._locks.pop(what, None)

    def __len__(self) -> int:
        """Those that are taken."""
        return len(self._locks)
