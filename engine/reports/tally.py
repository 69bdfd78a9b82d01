"""Counting, in one process: what stages see is gathered in memory, and written every few seconds by a thread."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import trio

from engine.observe.events import event
from engine.reports.counts import GATHERED, Counts, Gathered, today
from engine.reports.rows import Observed
from engine.storage.environment import StorageError

EVERY = 10.0
"""Seconds between two commits at most, and what a crash loses of the counts: no message waits for one."""


MOST_GATHERED = 10 * GATHERED
"""Rows in memory beyond which no more are counted, where the disk is that slow."""


class Tally:
    """A service for stages. Counts nothing while it is not ``on``."""

    def __init__(self, path: Path, clock: Callable[[], int] = today) -> None:
        self.on = False
        self._path = path
        self._clock = clock
        self._gathered = Gathered()
        self._full = trio.Event()

    @cached_property
    def counts(self) -> Counts:
        """The store, made when it is first wanted. StorageError."""
        return Counts.open(self._path)

    def count(self, found: Observed) -> None:
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
            await trio.to_thread.run_sync(self._write, self._taken())

    def close(self) -> None:
        """Write what is left."""
        self._write(self._taken())
        if "counts" in self.__dict__:
            self.counts.close()

    def _taken(self) -> Gathered:
        taken, self._gathered = self._gathered, Gathered()
        return taken

    def _write(self, gathered: Gathered) -> None:
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
