"""Looks at what all workers measure, and writes the figures: in one process of the server, beside the mail."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

import trio

from engine.figures.gathering import Gathering, Mark
from engine.figures.store import HOUR, MINUTE, FigureStore
from engine.observe.events import event
from engine.observe.measures import Sample
from engine.storage.environment import StorageError

LOOK = 10.0
"""Seconds between two looks: what is lost of the counts of a worker that dies, and how fine the queue is seen."""

SAY_AGAIN = 3600.0
"""Seconds after which it is said again that figures cannot be written."""

Look = Callable[[], Awaitable[Mapping[str, Sequence[Sample]]]]


class Recorder:
    """One in the whole server. ``look`` asks the workers; ``keep``: seconds for which hours are kept; 0: nothing is."""

    def __init__(self, store: Callable[[], FigureStore], look: Look, keep: Callable[[], float]) -> None:
        self._store = store
        self._look = look
        self._keep = keep
        self._gathering: Gathering | None = None
        self._said = -SAY_AGAIN

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await trio.sleep(LOOK - time.time() % LOOK)  # so that the last look of a minute is at its end
            try:
                await self.once(time.time())
            except StorageError as error:
                if (now := trio.current_time()) - self._said > SAY_AGAIN:
                    self._said = now
                    event("figures-failed", error=str(error))
            except Exception as error:  # charts must not end the process that shows them
                event.bug("figures", error)

    async def once(self, now: float) -> None:
        """One look at a Unix time; with the first of a minute, the one before it is written. StorageError."""
        if not self._keep():
            self._gathering = None
            return
        if self._gathering is None:
            self._gathering = Gathering(*await trio.to_thread.run_sync(self._marks))
        gathering = self._gathering
        gathering.look(now, await self._look())
        if now // MINUTE != gathering.since // MINUTE:
            begin = gathering.since
            taken, hours = gathering.taken(now), int(self._keep() // HOUR) + 1
            self._gathering = None  # where it cannot be written, the marks on disk say how to go on
            await trio.to_thread.run_sync(lambda: self._store().add(begin, now, taken, gathering.marks, hours))
            self._gathering = gathering

    def _marks(self) -> tuple[Mapping[str, Mark], float]:
        return self._store().marks()
