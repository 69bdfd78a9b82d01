"""A guard before what may be slow or dead: a time limit, so many calls at once, a pause while it does not answer."""

import weakref
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import trio

from engine.observe.events import event
from engine.observe.measures import Counter, Gauge, Histogram, Labels

T = TypeVar("T")

FAILURES = 3
"""Calls that fail one after the other before there is a pause: a single one may be chance."""

PAUSE = 5.0
"""Seconds of that pause: a server that is back is found within seconds, and one that is dead costs little."""


_REACHABLE = Gauge("postroad_reachable", "Whether what stages ask answers: 0 while it is left alone.", ("what",))
_SECONDS = Histogram("postroad_asked_seconds", "Time until an answer came.", ("what",))
_FAILED = Counter(
    "postroad_asked_failures_total", "Questions without an answer: `failed`, `busy`, or not asked in a `pause`.",
    ("what", "why"),
)  # fmt: skip


class Unreachable(Exception):
    """What was asked did not answer; the text is for the operator."""


class Guard:
    """Lets calls to ``name`` through. It belongs to one event loop: every worker finds out for itself.

    After ``failures`` calls that failed one after the other, none is let through for ``pause`` seconds. Then one is,
    alone, and what becomes of it decides about the others (a circuit breaker).
    """

    def __init__(
        self, name: str, *, time_limit: float, at_once: int, failures: int = FAILURES, pause: float = PAUSE
    ) -> None:
        self.name = name
        self._time_limit = time_limit
        self._places = trio.CapacityLimiter(at_once)
        self._failures = failures
        self._pause = pause
        self._failed = 0  # one after the other
        self._why = ""
        self._again = 0.0  # trio's clock: from when on one call may try
        self._trying = False
        _guards.add(self)

    @property
    def lets_through(self) -> bool:
        """Whether what is behind it has answered of late."""
        return self._failed < self._failures

    async def call(self, ask: Callable[[], Awaitable[T]]) -> T:
        """What ``ask`` returns. Unreachable when it raises that, when there is no place or no answer within the time
        limit, and at once while there is a pause.
        """
        self._let_through()
        try:
            self._places.acquire_nowait()
        except trio.WouldBlock:
            await self._place()
        try:
            self._let_through()  # others may have failed meanwhile
            return await self._ask(ask)
        finally:
            self._places.release()

    async def _place(self) -> None:
        try:
            with trio.fail_after(self._time_limit):
                await self._places.acquire()
        except trio.TooSlowError:  # which says nothing about its health
            _FAILED.of(self.name, "busy").value += 1
            raise Unreachable(f"{self.name} is busy: no place within {self._time_limit:g} s") from None

    def _let_through(self) -> None:
        if self._failed >= self._failures and (self._trying or trio.current_time() < self._again):
            _FAILED.of(self.name, "pause").value += 1
            raise Unreachable(f"{self.name} is left alone for a while: {self._why}")

    async def _ask(self, ask: Callable[[], Awaitable[T]]) -> T:
        alone = self._failed >= self._failures
        self._trying = self._trying or alone
        began = trio.current_time()
        try:
            with trio.fail_after(self._time_limit):
                answer = await ask()
        except Unreachable as error:
            raise self._failure(str(error)) from error
        except trio.TooSlowError:
            raise self._failure(f"no answer within {self._time_limit:g} s") from None
        finally:
            if alone:
                self._trying = False
        if self._failed >= self._failures:
            event("reachable-again", what=self.name)
        self._failed = 0
        _SECONDS.of(self.name).observe(trio.current_time() - began)
        return answer

    def _failure(self, why: str) -> Unreachable:
        self._failed += 1
        _FAILED.of(self.name, "failed").value += 1
        self._why = why
        if self._failed >= self._failures:
            self._again = trio.current_time() + self._pause
            if self._failed == self._failures:
                event("unreachable", what=self.name, error=why, pause=self._pause)
        return Unreachable(f"{self.name}: {why}")


_guards: "weakref.WeakSet[Guard]" = weakref.WeakSet()


def _states() -> Iterator[tuple[Labels, float]]:
    states: dict[str, bool] = {}
    for guard in _guards:  # of two revisions perhaps
        states[guard.name] = states.get(guard.name, True) and guard.lets_through
    return (((name,), state) for name, state in states.items())


_REACHABLE.reads(_states)
