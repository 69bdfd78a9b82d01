"""A place where one task sleeps until anyone has something for it."""

import outcome
import trio


class Wakeup:
    """Like an event that resets itself, for one sleeper; a wake-up that comes early is not lost."""

    __slots__ = ("_set", "_task")

    def __init__(self) -> None:
        self._set = False
        self._task: trio.lowlevel.Task | None = None

    def wake(self) -> None:
        task = self._task
        if task is not None:
            self._task = None
            trio.lowlevel.reschedule(task)
        else:
            self._set = True

    async def wait(self) -> None:
        """Sleep until ``wake``; return at once if it was called since the last return."""
        if self._set:
            await trio.lowlevel.checkpoint_if_cancelled()
            self._set = False
            return
        self._task = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(self._abort)

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        self._task = None
        return trio.lowlevel.Abort.SUCCEEDED


class Answer:
    """One value that one task waits for and another place gives, at most once."""

    __slots__ = ("_task", "_value")

    def __init__(self) -> None:
        self._value: outcome.Outcome[object] | None = None
        self._task: trio.lowlevel.Task | None = None

    def give(self, value: object) -> None:
        self._value = outcome.Value(value)
        if self._task is not None:
            trio.lowlevel.reschedule(self._task, self._value)
            self._task = None

    async def wait(self) -> object:
        if self._value is not None:
            return self._value.unwrap()
        self._task = trio.lowlevel.current_task()
        return await trio.lowlevel.wait_task_rescheduled(self._abort)

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        self._task = None
        return trio.lowlevel.Abort.SUCCEEDED
