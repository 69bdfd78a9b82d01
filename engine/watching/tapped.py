"""One tap on a link, in all workers that give messages to it: what passes, and what came of it."""

import contextlib
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import trio
import zmq

from engine.links import wire
from engine.links.publish import heard
from engine.links.request import Asker, Unanswered
from engine.runtime.places import between
from engine.runtime.services import WATCH_SERVICE
from engine.runtime.state import Running, State
from engine.runtime.taps import PASSED
from engine.runtime.watched import LEASE, endpoint_of

PATIENCE = 1.0
"""Seconds that a message is kept back for its verdict, so that both are shown together."""

UNDER_WAY = 10_000
"""Messages that are remembered until their verdict comes; of older ones it is not shown."""

_ANSWER = 3.0
"""Seconds that a worker gets to answer."""

_RENEW = LEASE / 3
_LOOK = 0.2


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be told."""

    link: str
    when: str = ""
    one_of: int = 1
    headers: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """One message at the link. Without an ``answer`` it is still under way; that follows, with ``again``."""

    worker: str
    passed: Mapping[str, Any]
    answer: Mapping[str, Any] | None = None
    again: bool = False

    def as_data(self, link: str) -> dict[str, Any]:
        answer = self.answer or {"verdict": None}
        return {"link": link, "worker": self.worker, **self.passed, **answer, "again": self.again}


@dataclass(slots=True)
class Gathering:
    """Puts what is told of a message together."""

    _waiting: dict[tuple[str, int], tuple[float, Mapping[str, Any]]] = field(default_factory=dict)
    _shown: dict[tuple[str, int], Mapping[str, Any]] = field(default_factory=dict)

    def take(self, worker: str, record: list[Any], now: float) -> Told | None:
        """What a worker said of a message; what there is to show, if anything yet."""
        kind, number, values = record
        key = worker, number
        if kind == PASSED:
            self._waiting[key] = now, values
            return None
        if key in self._waiting:
            return Told(worker, self._waiting.pop(key)[1], values)
        passed = self._shown.pop(key, None)
        return Told(worker, passed, values, again=True) if passed is not None else None

    def late(self, now: float) -> Iterator[Told]:
        """Messages whose verdict takes long."""
        for key, (since, passed) in list(self._waiting.items()):
            if since + PATIENCE > now:
                return
            del self._waiting[key]
            self._shown[key] = passed
            if len(self._shown) > UNDER_WAY:
                del self._shown[next(iter(self._shown))]
            yield Told(key[0], passed)


class Tapping:
    """Listens until cancelled, or until the server has stopped. ``workers``: those whose links are tapped now."""

    def __init__(self, state: State, order: Order, hear: "trio.MemorySendChannel[Told]") -> None:
        self._state = state
        self._order = order
        self._hear = hear
        self._token = secrets.token_hex(8)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._gathering = Gathering()
        self._known: dict[str, int] = {}  # the life of each worker that was asked
        self._counts: dict[str, Counter[str]] = {}
        self._tapped: set[tuple[str, int]] = set()
        self.refusals: list[str] = []

    @property
    def workers(self) -> list[str]:
        return sorted({worker for worker, _ in self._tapped})

    def passed(self, what: str) -> int:
        """How many messages were ``seen``, or ``missed``, as far as the workers have said."""
        return sum(counts[what] for counts in self._counts.values())

    async def run(self, *, task_status: "trio.TaskStatus[None]" = trio.TASK_STATUS_IGNORED) -> None:
        try:
            async with self._hear, trio.open_nursery() as nursery:
                await self._look(nursery)
                task_status.started()
                while await self._look(nursery):
                    for told in self._gathering.late(trio.current_time()):
                        await self._hear.send(told)
                    await trio.sleep(_LOOK)
                nursery.cancel_scope.cancel()
        finally:
            self._context.destroy(linger=0)

    async def _look(self, nursery: trio.Nursery) -> bool:
        """Tap workers that are new; whether there is a server."""
        running = self._state.running()
        if running is None:
            return False
        for worker in self._known.keys() - running.lives.keys():
            del self._known[worker]
        fresh = [(worker, life) for worker, life in running.lives.items() if self._known.get(worker) != life]
        waiting = []
        for worker, life in fresh:
            self._known[worker] = life
            waiting.append(trio.Event())
            nursery.start_soon(self._follow, running, worker, waiting[-1])
        for ready in waiting:
            await ready.wait()
        return True

    async def _follow(self, running: Running, worker: str, ready: trio.Event) -> None:
        """Listen to one life of a worker, once the link begins there. ``ready``: what passes from now on is told."""
        life = running.lives[worker]
        service = between(running.folder, worker, life, WATCH_SERVICE)
        try:
            async with trio.open_nursery() as nursery:
                asker = Asker(self._context)
                nursery.start_soon(asker.serve, service)
                while not await self._ask(asker, worker):
                    ready.set()  # it has no such link now, or has but begun
                    await self._pause(worker, life, nursery.cancel_scope)
                self._tapped.add((worker, life))
                nursery.start_soon(self._renew, asker, worker, life, nursery.cancel_scope)
                await self._listen(endpoint_of(running.folder, worker, life, self._token), worker, ready)
        finally:
            ready.set()
            if (worker, life) in self._tapped:
                self._tapped.discard((worker, life))
                await self._end(service, worker)

    async def _ask(self, asker: Asker, worker: str) -> bool:
        """Ask for the tap, or for it to stay; whether the worker has it."""
        order = self._order
        try:
            with trio.fail_after(_ANSWER):
                counts = await asker.ask("tap", self._token, order.link, order.one_of, order.when, order.headers)
        except (Unanswered, trio.TooSlowError) as error:
            self.refusals.append(f"{worker}: {error or 'no answer'}")
            return False
        if counts is not None:
            self._counts[worker] = Counter(counts)
        return counts is not None

    async def _renew(self, asker: Asker, worker: str, life: int, scope: trio.CancelScope) -> None:
        while True:
            await self._pause(worker, life, scope)
            await self._ask(asker, worker)

    async def _pause(self, worker: str, life: int, scope: trio.CancelScope) -> None:
        """Wait until the worker is to be asked again; all that is about it ends when it has died."""
        await trio.sleep(_RENEW)
        if self._known.get(worker) != life:
            scope.cancel()

    async def _end(self, service: str, worker: str) -> None:
        """Ask for nothing any more. Who cannot say that any more is missed soon."""
        with trio.move_on_after(_ANSWER, shield=True):
            async with trio.open_nursery() as nursery:
                asker = Asker(self._context)
                nursery.start_soon(asker.serve, service)
                with contextlib.suppress(Unanswered):
                    self._counts[worker] = Counter(await asker.ask("untap", self._token) or {})
                nursery.cancel_scope.cancel()

    async def _listen(self, endpoint: str, worker: str, ready: trio.Event) -> None:
        async with aclosing(heard(self._context, endpoint)) as records:
            async for values in records:
                ready.set()  # the first is a greeting, without values
                for packed in values:
                    told = self._gathering.take(worker, wire.unpack(packed), trio.current_time())
                    if told is not None:
                        await self._hear.send(told)
