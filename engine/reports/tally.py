"""Counting, in one process: what is seen is gathered in memory, and written every few seconds by a thread."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic

import trio

from engine.observe.events import event
from engine.reports.counts import GATHERED, Counts, DayCounts, Gathered, today
from engine.reports.rows import P, Published, R, Row, Seen
from engine.storage.environment import StorageError

EVERY = 10.0
"""Seconds between two commits at most, and what a crash loses of the counts: no message waits for one."""


MOST_GATHERED = 10 * GATHERED
"""Rows in memory beyond which no more are counted, where the disk is that slow."""


class Gathering(Generic[P, R]):
    """Counts nothing while it is not ``on``."""

    kind: ClassVar[type[DayCounts[Any, Any]]]

    def __init__(self, path: Path, clock: Callable[[], int] = today) -> None:
        self.on = False
        self._path = path
        self._clock = clock
        self._gathered: Gathered[P, R] = Gathered()
        self._full = trio.Event()

    @cached_property
    def counts(self) -> DayCounts[P, R]:
        """The store, made when it is first wanted. StorageError."""
        return self.kind.open(self._path)

    def count(self, found: Seen[P, R]) -> None:
        """Takes some microseconds, and never fails."""
        rows = len(self._gathered.rows)
        if self.on and rows < MOST_GATHERED:
            self._gathered.add(self._clock(), found)
            if rows >= GATHERED:
                self._full.set()

    async def run(self) -> None:
        """Write now and then, until cancelled."""
        while True:
            with trio.move_on_after(EVERY):
                await self._full.wait()
            self._full = trio.Event()
            taken = self._taken()
            try:
                taken = await self._wanted(taken)
            except Exception as error:  # counting must not stop the mail of this process
                event.bug("counting for reports", error)
            await trio.to_thread.run_sync(self._write, taken)

    async def _wanted(self, gathered: Gathered[P, R]) -> Gathered[P, R]:
        """What of it is to be written."""
        return gathered

    def close(self) -> None:
        """Write what is left."""
        self._write(self._taken())
        if "counts" in self.__dict__:
            self.counts.close()

    def _taken(self) -> Gathered[P, R]:
        taken, self._gathered = self._gathered, Gathered()
        return taken

    def _write(self, gathered: Gathered[P, R]) -> None:
        """What cannot be written is lost: it must not fill the memory."""
        if not gathered.rows:
            return
        try:
            lost = self.counts.write(gathered)
        except StorageError as error:
            event("reports-not-counted", messages=gathered.rows.total(), error=str(error))
        except Exception as error:  # counting must not stop the mail of this process
            event.bug("counting for reports", error)
        else:
            if lost:
                event("reports-not-counted", messages=lost, error="there is no room for more domains or rows")


class Tally(Gathering[Published, Row]):
    """Of messages, for DMARC. A service for stages."""

    kind = Counts
