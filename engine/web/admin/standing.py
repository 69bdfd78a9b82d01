"""Where mail goes now: for each site its connections, what waits for it in memory and in the queue, its last reply."""

import time
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import trio

from engine.config import Config
from engine.operations import queue, sites
from engine.operations.sites import Site
from engine.queue.search import Selection
from engine.storage.environment import StorageError
from engine.web.admin.looking import looked
from engine.web.context import Context

FRESH = 2.0
"""Seconds for which an answer of the workers holds, for all who look."""

QUEUE_FRESH, QUEUE_SHARE = 10.0, 30
"""Seconds for which a count of the queue holds, and at least so many times as long as counting took."""

MOST = 50
"""Sites that are shown, those with the most mail first."""

Busy: TypeAlias = tuple[Site, int]
"""A destination by one of our sources, and the messages in the queue that are for it, by whatever source."""


class Standing:
    """One a process."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._turn = trio.Lock()
        self._sites: Sequence[Busy] = ()
        self._until = 0.0
        self._queued: Mapping[str, int] = {}
        self._counted_until = 0.0

    async def now(self) -> Sequence[Busy]:
        """The busiest sites."""
        async with self._turn:
            if trio.current_time() >= self._until:
                self._sites = await self._asked()
                self._until = trio.current_time() + FRESH
            return self._sites

    async def _asked(self) -> Sequence[Busy]:
        told = await sites.listed(self._context.ask, self._context.workers())
        queued = await self._in_queue() if told else {}
        found = [(one, queued.get(one.site, 0)) for one in told]
        found.sort(key=lambda busy: (-busy[0].waiting, -busy[1], -busy[0].connections))
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
