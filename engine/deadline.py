"""Deadlines that are moved many times for each time that one passes."""

import math
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

import trio


class Timed(Protocol):
    """What has a time at which it is over."""

    @property
    def due(self) -> float:
        """By the loop's clock; infinity: never."""

    def pass_by(self) -> None:
        """The time is over."""


class Watch:
    """Ends what is over its time. One task for all deadlines: to move one of trio's own costs a message 20 µs."""

    def __init__(self) -> None:
        self.wakes = math.inf
        self.running: set[Timed] = set()
        self.now: Callable[[], float] = trio.current_time
        self._sleep = trio.CancelScope()

    async def run(self) -> None:
        self.now = trio.lowlevel.current_clock().current_time  # two calls less, for what each command asks
        while True:
            self.wakes = min((deadline.due for deadline in self.running), default=math.inf)
            with trio.CancelScope(deadline=self.wakes) as self._sleep:
                await trio.sleep_forever()
            now = trio.current_time()
            for deadline in [deadline for deadline in self.running if deadline.due <= now]:
                deadline.pass_by()

    def wake_at(self, time: float) -> None:
        """Look at the deadlines at ``time`` at the latest."""
        self.wakes = self._sleep.deadline = time


class Deadline:
    """Cancels the block that it stands around when the time that was last allowed is over."""

    __slots__ = ("_scope", "_watch", "due", "passed")

    def __init__(self, watch: Watch) -> None:
        self.due = math.inf
        self.passed = False  # whether the block has been cancelled, though it may not have come to notice
        self._watch = watch
        self._scope = trio.CancelScope()

    def allow(self, seconds: float, latest: float = math.inf) -> None:
        """So much time from now on, but not beyond ``latest``."""
        self.due = due = min(self._watch.now() + seconds, latest)
        if due < self._watch.wakes:
            self._watch.wake_at(due)

    def lift(self) -> None:
        """No limit any more, until the next ``allow``."""
        self.due = math.inf

    @property
    def cut_off(self) -> bool:
        """Whether the block has ended because its time was over."""
        return self._scope.cancelled_caught

    def pass_by(self) -> None:
        """The time is over."""
        self.due = math.inf
        self.passed = True
        self._scope.cancel()

    def __enter__(self) -> Self:
        self.due = math.inf
        self.passed = False
        self._scope = trio.CancelScope()
        self._scope.__enter__()
        self._watch.running.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._watch.running.discard(self)
        return bool(self._scope.__exit__(kind, error, trace))


class Rest:
    """One task's sleep that somebody ends, or its time."""

    __slots__ = ("_task", "_watch", "due")

    def __init__(self, watch: Watch) -> None:
        self.due = math.inf
        self._watch = watch
        self._task: trio.lowlevel.Task | None = None

    async def sleep(self, seconds: float) -> None:
        """Until ``wake``, for so many seconds at most."""
        self._task = trio.lowlevel.current_task()
        watch = self._watch
        self.due = due = watch.now() + seconds
        watch.running.add(self)
        if due < watch.wakes:
            watch.wake_at(due)
        await trio.lowlevel.wait_task_rescheduled(self._abort)

    def wake(self) -> None:
        """End it. Nothing happens where nobody sleeps."""
        if (task := self._gone()) is not None:
            trio.lowlevel.reschedule(task)

    def pass_by(self) -> None:
        """The time is over."""
        self.wake()

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        self._gone()
        return trio.lowlevel.Abort.SUCCEEDED

    def _gone(self) -> trio.lowlevel.Task | None:
        """Nobody sleeps any more; who did."""
        task, self._task = self._task, None
        self._watch.running.discard(self)
        return task
