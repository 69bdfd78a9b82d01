"""How the destinations do that mail is being sent to now: each worker that sends is asked."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import msgspec
import trio

from engine.links.request import Unanswered
from engine.operations.moments import Moment, moment
from engine.runtime.services import MEASURES_SERVICE

PATIENCE = 2.0
"""Seconds that a worker has to tell of its sites."""


class Site(msgspec.Struct, frozen=True):
    """A destination, by one source: connections, of how many that may be; messages that wait for a turn; until when it
    is left alone; the last reply."""

    site: str
    source: str
    connections: int
    limit: int
    waiting: int
    paused_until: Moment | None
    last_reply: str


async def listed(ask: Callable[..., Awaitable[Any]], workers: Iterable[str]) -> list[Site]:
    """Those of all workers, by name. ``ask`` takes a worker, a service and a question, and ``seconds``: Unanswered."""
    found: list[Site] = []

    async def add(worker: str) -> None:
        try:
            said = await ask(worker, MEASURES_SERVICE, "sites", seconds=PATIENCE)
        except Unanswered:
            return
        found.extend(map(_site, said))

    async with trio.open_nursery() as nursery:
        for worker in workers:
            nursery.start_soon(add, worker)
    return sorted(found, key=lambda one: (one.site, one.source))


def _site(said: Mapping[str, Any]) -> Site:
    return Site(
        str(said.get("site", "")), str(said.get("source") or ""), int(said.get("connections") or 0),
        int(said.get("limit") or 0), int(said.get("waiting") or 0), moment(float(said.get("paused_until") or 0)),
        str(said.get("last_reply") or ""),
    )  # fmt: skip
