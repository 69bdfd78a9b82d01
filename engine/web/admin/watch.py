"""What the server does now, and did in the last minutes: for all who look at once."""

import contextlib
import time
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple, NoReturn

import trio

from engine.config import Config
from engine.drawing.pipeline import Pipeline, drawn
from engine.watching.readings import Reading, Round, read
from engine.web.collecting import Collected
from engine.web.context import Context
from engine.web.health import reasons, warnings

BUSY, IDLE = 2.0, 10.0
"""Seconds between two looks: while somebody watches, and while nobody does."""

KEPT = 1800.0
"""Seconds of which the throughput is known."""


class Point(NamedTuple):
    """Messages a second at a moment."""

    time: float  # Unix time
    arriving: float
    leaving: float


class Watch:
    """One a process. ``run`` must run beside it, else there is nothing to see."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._before: Round | None = None
        self._watchers = 0
        self._came = trio.Event()
        self._told = trio.Event()
        self._drawn: tuple[Config, Pipeline] | None = None
        self.points: deque[Point] = deque()
        self.reading: Reading | None = None
        self.reasons: list[str] = []
        self.warnings: list[str] = []
        self.answering: tuple[int, int] = 0, 0  # workers that answer, and that there should be

    @property
    def pipeline(self) -> Pipeline:
        """That of the configuration in force."""
        config = self._context.config
        if self._drawn is None or self._drawn[0] is not config:
            self._drawn = config, drawn(config)
        return self._drawn[1]

    async def run(self) -> NoReturn:
        """Look, and look again."""
        while True:
            self.take(await self._context.collected())
            with trio.move_on_after(BUSY if self._watchers else IDLE):
                await self._came.wait()
                await trio.sleep(BUSY)

    def take(self, collected: Collected) -> None:
        """What all workers measure now."""
        now = Round(time.monotonic(), collected.samples)
        if self._before is not None and now.time > self._before.time:
            self.reading = read(self._before, now, self.pipeline)
            self.points.append(Point(time.time(), self.reading.arriving, self.reading.leaving))
        while self.points and self.points[0].time < time.time() - KEPT:
            self.points.popleft()
        self._before, self.reasons, self.warnings = now, reasons(collected), warnings(collected)
        self.answering = len(collected.samples), len(collected.expected)
        self._told.set()
        self._told = trio.Event()

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Somebody watches in the block."""
        self._watchers += 1
        self._came.set()
        self._came = trio.Event()
        try:
            yield
        finally:
            self._watchers -= 1

    async def next(self) -> None:
        """Until there is something new."""
        await self._told.wait()
