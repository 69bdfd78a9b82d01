"""What a worker says of itself when it is asked: all its measures, and the words that go with them."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import trio

from engine.links.link import Link
from engine.links.request import answer_requests
from engine.observe.measures import Gauge, Labels, measures
from engine.runtime.places import between
from engine.runtime.revision import Here
from engine.runtime.services import MEASURES_SERVICE

_DEPTH = Gauge("postroad_link_depth", "Messages that wait for a credit of a link.", ("link",))
_OUT = Gauge("postroad_link_out", "Messages that are with the workers at the far end of a link.", ("link",))
_WINDOW = Gauge("postroad_link_window", "Messages that a link lets each worker have at once.", ("link",))
_LAG = Gauge(
    "postroad_loop_lag_seconds", "How late the event loop came to a task at worst, in the last 15 seconds or more."
)

_LOOK = 0.2
"""Seconds between two looks at how late the loop is: often enough to meet what lasts, too rarely to cost anything."""

_SPAN = 15.0
"""Seconds that the worst is told for, at least: a usual interval of those who ask."""


class Lag:
    """How late the event loop comes to a task that wants to run at a certain time."""

    def __init__(self) -> None:
        self._worst = self._before = 0.0

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            began = trio.current_time()
            while trio.current_time() < began + _SPAN:
                due = trio.current_time() + _LOOK
                await trio.sleep_until(due)
                self._worst = max(self._worst, trio.current_time() - due)
            self._before, self._worst = self._worst, 0.0

    def read(self) -> Iterator[tuple[Labels, float]]:
        """The worst of this span, and of the one before."""
        yield (), max(self._worst, self._before)


class Measuring:
    """Answers who asks this worker. ``links``: all that it has now, of whatever revision."""

    def __init__(self, here: Here, links: Callable[[], Iterable[Link]]) -> None:
        self._here = here
        self._links = links
        self._lag = Lag()
        _DEPTH.reads(lambda: (((link.name,), link.depth) for link in links()))
        _OUT.reads(lambda: (((link.name,), link.away) for link in links()))
        _WINDOW.reads(self._windows)
        _LAG.reads(self._lag.read)

    async def run(self) -> None:
        """Measure and answer until cancelled."""
        here = self._here
        endpoint = between(here.folder, here.process.name, here.life, MEASURES_SERVICE)
        answers = {"measures": self._measures, "families": self._families}
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._lag.run)
            nursery.start_soon(answer_requests, here.context, endpoint, answers)

    def _windows(self) -> Iterator[tuple[Labels, float]]:
        newest = {link.name: link.window for link in self._links()}  # of two revisions, the later one's
        return (((name,), window) for name, window in newest.items())

    async def _measures(self) -> list[Any]:
        return measures.samples()

    async def _families(self) -> dict[str, Any]:
        return dict(measures.families())
