"""What passes a link: a sample of messages with what the stages behind it decide, for as long as somebody looks on."""

import math
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import trio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from engine.condition import parse_condition
from engine.config import Config
from engine.directory import ADMINISTRATOR, OWNER, Unavailable
from engine.drawing.pipeline import drawn
from engine.observe.events import event
from engine.observe.visible import on_one_line
from engine.operations.reach import Reach
from engine.runtime.state import State
from engine.runtime.taps import DOMAINS
from engine.watching.tapped import Order, Tapping, Told
from engine.web.admin.scope import reach
from engine.web.admin.stories import Stories
from engine.web.bounds import bounded
from engine.web.context import Context, context_of
from engine.web.languages import language_of, translator, worded
from engine.web.pages.account import own
from engine.web.rendering import page
from engine.web.sessions import require
from engine.web.sessions.session import cookie, found
from engine.web.streams import Emit, EventStream

AT_ONCE = 4
"""Taps of one process: a worker bears eight in all."""

LONGEST = 600.0
"""Seconds that one goes on: who wants more says so again."""

SHOWN = 20
"""Messages a second that are shown; nobody reads more."""

SAMPLES = (1, 10, 100, 1000)

_LOOK = 1.0
"""Seconds between two counts."""

_ROLE = 5.0
"""Seconds after which it is looked again whether whoever looks on still may."""

_CONDITION = 1000
"""Characters of a condition."""


@dataclass(slots=True)
class Shown:
    """What one who looks on has been shown."""

    messages: int = 0
    skipped: int = 0  # that were too many at a time
    since: float = 0.0
    of_second: int = 0

    def take(self, now: float) -> bool:
        """Whether there is room for one more in this second."""
        if now - self.since >= 1:
            self.since, self.of_second = now, 0
        self.of_second += 1
        is_room = self.of_second <= SHOWN
        self.messages += is_room
        self.skipped += not is_room
        return is_room


def routes(context: Context) -> Sequence[BaseRoute]:
    places = trio.CapacityLimiter(AT_ONCE)

    @require(ADMINISTRATOR)
    @bounded(seconds=math.inf)
    async def live(request: Request) -> Response:
        order = _order(request, context.config)
        if isinstance(order, str):
            raise HTTPException(400, order)

        async def produce(emit: Emit) -> None:
            try:
                places.acquire_on_behalf_of_nowait(emit)
            except trio.WouldBlock:
                _ = translator(request)
                await emit("ended", _("Too many look on already. Try again later."))
                return
            try:
                await _look_on(request, order, emit)
            finally:
                places.release_on_behalf_of(emit)

        return EventStream(request, produce)

    return [
        Route("/admin/pipeline/link", _show, methods=["GET"]),
        Route("/admin/pipeline/link/live", live, methods=["GET"]),
    ]


@require(ADMINISTRATOR)
async def _show(request: Request) -> Response:
    config = context_of(request).config
    order = _order(request, config) if "name" in request.query_params else None
    why = order if isinstance(order, str) else ""
    return page(
        request,
        "admin/passing.html",
        422 if why else 200,
        links=drawn(config).links,
        samples=SAMPLES,
        name=request.query_params.get("name", ""),
        when=request.query_params.get("when", "")[:_CONDITION],
        sample=order.one_of if isinstance(order, Order) else 1,
        is_on=isinstance(order, Order),
        why=why,
        is_all=reach(request).is_all,
    )


def _order(request: Request, config: Config) -> Order | str:
    """What is asked for; in words, what is wrong with it."""
    _ = translator(request)
    name = request.query_params.get("name", "")
    when = request.query_params.get("when", "").strip()
    sample = request.query_params.get("sample", "1")
    if name not in drawn(config).links:
        return _("There is no such link in the configuration that is in force.")
    if len(when) > _CONDITION:
        return _("This condition is too long.")
    try:
        parse_condition(when or "True")
    except ValueError as error:
        return worded(request, error)
    return Order(name, when, int(sample) if sample in map(str, SAMPLES) else 1)


async def _look_on(request: Request, order: Order, emit: Emit) -> None:
    """Show what passes, until the reader is gone, may not look on any more, or has done so for long."""
    _ = translator(request)
    shown = Shown()
    hear, told = trio.open_memory_channel[Told](0)
    tapping = Tapping(State(context_of(request).config.server.data), order, hear)
    why = _("The server has stopped.")
    async with _noted(request, order, shown), trio.open_nursery() as nursery:
        await nursery.start(tapping.run)
        if tapping.workers:
            await emit("begun", tapping.workers)
            nursery.start_soon(_count, request, tapping, shown, emit)
            with trio.move_on_after(LONGEST) as time_left:
                if not await _show_each(request, told, shown, emit):
                    why = _("You may not do this.")
            if time_left.cancelled_caught:
                why = _("That was long enough. Look on again if you want to see more.")
        else:
            why = "; ".join(worded(request, one) for one in tapping.refusals) or _("No worker has this link now.")
        nursery.cancel_scope.cancel()
    await emit("ended", why)


@asynccontextmanager
async def _noted(request: Request, order: Order, shown: Shown) -> AsyncIterator[None]:
    """Have it in the log who looks on, at what, and how much that was."""
    who = {"link": order.link, "by": own(request).account.address, "peer": context_of(request).peer(request)}
    event("web-tap-opened", when=order.when or None, one_of=order.one_of, **who)
    try:
        yield
    finally:
        event("web-tap-ended", shown=shown.messages, **who)


async def _show_each(request: Request, told: "trio.MemoryReceiveChannel[Told]", shown: Shown, emit: Emit) -> bool:
    """False: whoever looks on may not any more."""
    whose, until = reach(request), trio.current_time() + _ROLE
    verdict = Stories(translator(request), language_of(request)).verdict
    async for one in told:
        if trio.current_time() > until:
            if not await _still_may(request, whose):
                return False
            until = trio.current_time() + _ROLE
        if (whose.is_all or await trio.to_thread.run_sync(_is_within, whose, one.passed)) and shown.take(time.time()):
            await emit("message", _row(one, verdict))
    return True


async def _still_may(request: Request, whose: Reach) -> bool:
    """Whether the roles are those with which it began."""
    session = await found(context_of(request), request.cookies.get(cookie(request), ""), used=False)
    if session is None:
        return False
    return whose.domains == (None if OWNER in session.roles.given else session.roles.domains(ADMINISTRATOR))


def _is_within(whose: Reach, passed: Mapping[str, Any]) -> bool:
    """Whether they may know of the message: by all of its recipients."""
    domains = passed["domains"]
    try:
        return 0 < len(domains) <= DOMAINS and whose.has(passed["login"], domains)
    except Unavailable:  # whether a domain is ours cannot be said now
        return False


async def _count(request: Request, tapping: Tapping, shown: Shown, emit: Emit) -> None:
    """Say how many there were, again and again: so it is noticed when the reader has left. Who administers some domains
    alone is not told of the mail of others."""
    is_all = reach(request).is_all
    while True:
        counts = {"shown": shown.messages, "skipped": shown.skipped}
        if is_all:
            counts |= {"seen": tapping.passed("seen"), "missed": tapping.passed("missed")}
        await emit("count", counts)
        await trio.sleep(_LOOK)


def _row(told: Told, verdict: Callable[[str], str]) -> dict[str, Any]:
    """One message, as the page shows it; ``verdict`` puts one into words. What strangers wrote is made visible."""
    passed, answer = told.passed, told.answer
    return {
        "id": passed["id"],
        "time": passed["time"],
        "from": on_one_line(passed["from"]) or "<>",
        "to": list(map(on_one_line, passed["to"])),
        "more": max(passed["recipients"] - len(passed["to"]), 0),
        "size": passed["size"],
        "verdict": verdict(on_one_line(answer["verdict"])) if answer else "",
        "ms": answer["ms"] if answer else None,
        "way": [[stage, verdict(on_one_line(words)), took] for stage, words, took in answer["way"]] if answer else [],
        "facts": {name: on_one_line(str(value)) for name, value in answer["facts"].items()} if answer else {},
        "again": told.again,
    }
