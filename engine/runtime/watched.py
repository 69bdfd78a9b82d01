"""What a worker lets those do who watch it: tap its links, for as long as they keep saying that they are there."""

import os
from dataclasses import dataclass
from typing import Any

import trio

from engine.condition import parse_condition
from engine.links.publish import Publisher
from engine.links.request import Function, answer_requests
from engine.observe.events import event
from engine.runtime.places import between
from engine.runtime.revision import Here
from engine.runtime.services import WATCH_SERVICE
from engine.runtime.taps import Listened, Wanted

LEASE = 6.0
"""Seconds after which a tap ends whose listener has not asked for it again."""

MOST = 8
"""Taps of one worker at once."""


@dataclass(frozen=True, slots=True)
class _Open:
    tap: Listened
    scope: trio.CancelScope


def endpoint_of(folder: str, worker: str, life: int, token: str) -> str:
    """Where a worker says what a tap sees."""
    return between(folder, worker, life, f"tap {token}")


class Watched:
    """Answers who watches this worker."""

    def __init__(self, here: Here) -> None:
        self._here = here
        self._open: dict[str, _Open] = {}
        self._nursery: trio.Nursery

    async def run(self) -> None:
        """Answer until cancelled."""
        here = self._here
        endpoint = between(here.folder, here.process.name, here.life, WATCH_SERVICE)
        answers: dict[str, Function] = {"tap": self._tap, "untap": self._untap, "process": self._process}
        async with trio.open_nursery() as self._nursery:
            self._nursery.start_soon(answer_requests, here.context, endpoint, answers)

    async def _tap(self, token: str, link: str, one_of: int, when: str, headers: bool) -> dict[str, int] | None:
        """Tap a link, or keep it tapped: what has passed so far. None: the link does not begin here."""
        if (known := self._open.get(token)) is not None:
            known.scope.deadline = trio.current_time() + LEASE
            return _counts(known.tap)
        if not self._here.taps.knows(link):
            return None
        if len(self._open) >= MOST:
            raise ValueError(f"{MOST} taps are open in this worker already")
        wanted = Wanted(max(one_of, 1), parse_condition(when) if when else None, headers)
        here = self._here
        publisher = Publisher(here.context, endpoint_of(here.folder, here.process.name, here.life, token))
        opened = _Open(Listened(wanted, publisher.tell), trio.CancelScope(deadline=trio.current_time() + LEASE))
        self._open[token] = opened
        self._nursery.start_soon(self._publish, token, link, opened, publisher)
        event("tap-opened", link=link, when=when or None, one_of=wanted.one_of, headers=headers)
        return _counts(opened.tap)

    async def _publish(self, token: str, link: str, opened: _Open, publisher: Publisher) -> None:
        taps = self._here.taps.on(link)
        taps.append(opened.tap)
        try:
            with opened.scope:
                await publisher.serve()
        finally:
            taps.remove(opened.tap)
            del self._open[token]
            event("tap-ended", link=link, seen=opened.tap.seen, missed=opened.tap.missed)

    async def _untap(self, token: str) -> dict[str, int] | None:
        """End a tap: what has passed. None: there is none."""
        known = self._open.get(token)
        if known is None:
            return None
        known.scope.cancel()
        return _counts(known.tap)

    async def _process(self) -> dict[str, Any]:
        return {"pid": os.getpid(), "taps": len(self._open)}


def _counts(tap: Listened) -> dict[str, int]:
    return {"seen": tap.seen, "missed": tap.missed}
