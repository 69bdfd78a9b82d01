"""Where mail goes now: for each site its connections, what waits for it in memory and in the queue, its last reply."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import trio

from engine.config import Config
from engine.links.request import Unanswered
from engine.operations import queue
from engine.queue.search import Selection
from engine.runtime.services import MEASURES_SERVICE
from engine.storage.environment import StorageError
from engine.web.admin.looking import looked
from engine.web.context import Context

FRESH = 2.0
"""Seconds for which an answer of the workers holds, for all who look."""

QUEUE_FRESH, QUEUE_SHARE = 10.0, 30
"""Seconds for which a count of the queue holds, and at least so many times as long as counting took."""

MOST = 50
"""Sites that are shown, those with the most mail first."""

_PATIENCE = 2.0


@dataclass(frozen=True, slots=True)
class Site:
    """A destination, by one of our sources."""

    name: str
    source: str
    connections: int
    limit: int
    waiting: int  # messages that wait for a connection
    queued: int  # messages in the queue that are for it, by whatever source
    paused_until: float  # Unix time; 0: nothing holds it up
    last_reply: str


class Standing:
    """One a process."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._turn = trio.Lock()
        self._sites: Sequence[Site] = ()
        self._until = 0.0
        self._queued: Mapping[str, int] = {}
        self._counted_until = 0.0

    async def now(self) -> Sequence[Site]:
        """The busiest sites."""
        async with self._turn:
            if trio.current_time() >= self._until:
                self._sites = await self._asked()
                self._until = trio.current_time() + FRESH
            return self._sites

    async def _asked(self) -> Sequence[Site]:
        told: list[Mapping[str, Any]] = []

        async def ask(worker: str) -> None:
            try:
                told.extend(await self._context.ask(worker, MEASURES_SERVICE, "sites", seconds=_PATIENCE))
            except Unanswered:
                return

        async with trio.open_nursery() as nursery:
            for worker in self._context.workers():
                nursery.start_soon(ask, worker)
        queued = await self._in_queue() if told else {}
        found = [_site(one, queued) for one in told]
        found.sort(key=lambda site: (-site.waiting, -site.queued, -site.connections, site.name, site.source))
        return found[:MOST]

    async def _in_queue(self) -> Mapping[str, int]:
        """Messages by site, counted now and then."""
        if trio.current_time() >= self._counted_until:
            began = trio.current_time()
            try:
                self._queued = await looked(_counted, self._context.config)
            except StorageError:
                self._queued = {}
            took = trio.current_time() - began
            self._counted_until = trio.current_time() + max(QUEUE_FRESH, QUEUE_SHARE * took)
        return self._queued


def _counted(config: Config) -> Mapping[str, int]:
    _, groups = queue.counted_by(config, Selection.told([], time.time()), "site")
    return {one.name: one.messages for one in groups}


def _site(told: Mapping[str, Any], queued: Mapping[str, int]) -> Site:
    name = str(told.get("site") or "")
    return Site(
        name, str(told.get("source") or ""), int(told.get("connections") or 0), int(told.get("limit") or 0),
        int(told.get("waiting") or 0), queued.get(name, 0), float(told.get("paused_until") or 0),
        str(told.get("last_reply") or ""),
    )  # fmt: skip
