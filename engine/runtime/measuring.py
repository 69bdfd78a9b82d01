"""What a worker says of itself when it is asked: all its measures, and the words that go with them."""

import heapq
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from typing import Any

import trio

from engine.links.link import Link
from engine.links.request import answer_requests
from engine.observe import process
from engine.observe.measures import Counter, Gauge, Labels, measures
from engine.outbound.stage import Outbound
from engine.outbound.standing import Standing
from engine.runtime.places import between
from engine.runtime.revision import Here, Revision
from engine.runtime.services import MEASURES_SERVICE

_DEPTH = Gauge("postroad_link_depth", "Messages that wait for a credit of a link.", ("link",))
_OUT = Gauge("postroad_link_out", "Messages that are with the workers at the far end of a link.", ("link",))
_WINDOW = Gauge("postroad_link_window", "Messages that a link lets each worker have at once.", ("link",))
_LAG = Gauge(
    "postroad_loop_lag_seconds", "How late the event loop came to a task at worst, in the last 15 seconds or more."
)
_CONNECTIONS = Gauge("postroad_site_connections", "Connections that are open to a site.", ("site", "source"))
_LIMIT = Gauge("postroad_site_connections_limit", "How many there may be.", ("site", "source"))
_WAITING = Gauge(
    "postroad_site_waiting", "Messages that wait in memory for a connection to a site.", ("site", "source")
)
_PAUSED = Gauge("postroad_site_paused_seconds", "Until the next message may leave for a site.", ("site", "source"))
_SITES = Gauge("postroad_sites", "Sites that mail waits for or that are connected to.")
_REVISION = Gauge("postroad_revision", "Number of the configuration in force.")
_RESTARTS = Counter("postroad_worker_restarts_total", "How often the worker came back after it had died.")

BUSIEST = 200
"""Sites that are told of: the others are only counted."""

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
    """Answers who asks this worker. ``revisions``: all that it has now, the newest last."""

    def __init__(self, here: Here, revisions: Callable[[], Iterable[Revision]], number: Callable[[], int]) -> None:
        """``number``: of the revision in force, 0 before the first one is."""
        self._here = here
        self._revisions = revisions
        self._lag = Lag()
        _DEPTH.reads(lambda: (((link.name,), link.depth) for link in self._links()))
        _OUT.reads(lambda: (((link.name,), link.away) for link in self._links()))
        _WINDOW.reads(self._windows)
        _LAG.reads(self._lag.read)
        _CONNECTIONS.reads(self._site(lambda site: site.connections))
        _LIMIT.reads(self._site(lambda site: site.limit))
        _WAITING.reads(self._site(lambda site: site.waiting))
        _PAUSED.reads(self._site(lambda site: site.paused_for))
        _SITES.reads(lambda: [((), sum(sending.ways for sending in self._sendings()))])
        _REVISION.reads(lambda: [((), number())])
        _RESTARTS.of().value = here.life - 1
        process.measure()

    async def run(self) -> None:
        """Measure and answer until cancelled."""
        here = self._here
        endpoint = between(here.folder, here.process.name, here.life, MEASURES_SERVICE)
        answers = {"measures": self._measures, "families": self._families, "sites": self._sites}
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._lag.run)
            nursery.start_soon(answer_requests, here.context, endpoint, answers)

    async def _measures(self) -> list[Any]:
        return measures.samples()

    async def _families(self) -> dict[str, Any]:
        return dict(measures.families())

    async def _sites(self) -> list[dict[str, Any]]:
        """The busiest sites, with what is no number as well."""
        return [_told(site) for site in self._busiest()]

    def _links(self) -> Iterator[Link]:
        for revision in self._revisions():
            yield from revision.links.values()

    def _windows(self) -> Iterator[tuple[Labels, float]]:
        newest = {link.name: link.window for link in self._links()}  # of two revisions, the later one's
        return (((name,), window) for name, window in newest.items())

    def _site(self, number: Callable[[Standing], float]) -> Callable[[], Iterator[tuple[Labels, float]]]:
        return lambda: (((site.site, site.source), number(site)) for site in self._busiest())

    def _busiest(self) -> list[Standing]:
        found = [site for sending in self._sendings() for site in sending.sites(BUSIEST)]
        return heapq.nlargest(BUSIEST, found, key=lambda site: (site.waiting, site.connections))

    def _sendings(self) -> list[Outbound]:
        """The stages that hand mail on, each once: one that lives on is in two revisions."""
        found = {id(stage): stage for revision in self._revisions() for stage in revision.stages.values()}
        return [stage.instance for stage in found.values() if stage.opened and isinstance(stage.instance, Outbound)]


def _told(site: Standing) -> dict[str, Any]:
    """``paused_until`` is a Unix time, 0 where nothing holds it up."""
    found = asdict(site)
    pause = found.pop("paused_for")
    return {**found, "paused_until": time.time() + pause if pause else 0.0}
