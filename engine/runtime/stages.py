"""Stages that run: built with their services and settings, opened, called, closed."""

import contextlib
import dis
import functools
import inspect
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeAlias

import trio

from engine.config import Stage
from engine.deadline import Deadline, Watch
from engine.lanes import Course
from engine.links.link import Done, Way
from engine.message import Message
from engine.observe.events import event
from engine.observe.measures import SECONDS, Counter, Histogram
from engine.runtime.verdicts import AMID_CHANGES, as_seen, flaw_of, kind_of, step_of
from engine.scanning.guard import Unreachable
from engine.stage import Spec, StageError
from engine.storage.environment import StorageError
from engine.verdict import Changed, Defer, Quarantine, Reject, Verdict
from engine.wakeup import Wakeup

_THREADS = 40

_MESSAGES = Counter(
    "postroad_stage_messages_total", "Messages that a stage was given, by what it decided.", ("stage", "verdict")
)
_SECONDS = Histogram("postroad_stage_seconds", "Time from a message's coming to a stage to its verdict.", ("stage",))
_FAILURES = Counter(
    "postroad_stage_failures_total", "Messages, and questions at the door, that a stage broke on.", ("stage",)
)
_REFUSALS = Counter(
    "postroad_stage_refusals_total", "What a stage refused or put off while the client waited.", ("stage", "hook")
)

_WAITING = {"SEND", "GET_AWAITABLE", "GET_ANEXT", "YIELD_VALUE"}
"""What the compiler makes of `await`, `async for` and `async with` (the module dis, Python 3.11 to 3.13)."""


def _unheard() -> None:
    """Nobody counts what breaks."""


class RunningStage:
    """A stage in this process. ``call`` never raises: what breaks inside becomes the verdict of ``on_error``."""

    def __init__(self, stage: Stage, services: Mapping[Any, Any]) -> None:
        self.stage = stage
        self.name = stage.spec.name
        self._passed = _MESSAGES.of(self.name, "pass")
        self._took = _SECONDS.of(self.name)
        self._limiter = trio.CapacityLimiter(_THREADS) if stage.spec.synchronous else None
        self._open = False
        self._closing = trio.Event()
        self._closed = trio.Event()
        self.instance = _build(stage.spec, stage.settings, services)
        self._function: Callable[[Message], Any] = self.instance
        # A stage may know better than its code shows, by an attribute of this name.
        self.waits = stage.spec.synchronous or (_waits(stage.spec.target) and getattr(self.instance, "waits", True))
        # It may know the verdict on some messages without waiting: this gives it, or None.
        self._prompt: Callable[[Message], Any] | None = getattr(self.instance, "promptly", None)

    @property
    def opened(self) -> bool:
        """Whether it can be used: not yet, or no longer, else."""
        return self._open and not self._closed.is_set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Open the stage, and close it in the same task once ``close`` is called."""
        try:
            async with contextlib.AsyncExitStack() as stack:
                if hasattr(self.instance, "__aenter__"):
                    await stack.enter_async_context(self.instance)
                elif hasattr(self.instance, "__enter__"):
                    stack.enter_context(self.instance)
                self._open = True
                task_status.started()
                await self._closing.wait()
        except (Exception, SystemExit) as error:
            if self._open:
                event.bug(f"closing the stage {self.name}", error)
            elif isinstance(error, SystemExit):
                raise StageError(f"the stage {self.name} called exit() when it was opened") from error
            else:
                raise
        finally:
            self._closed.set()

    async def close(self) -> None:
        """Let the stage finish and close."""
        self._closing.set()
        await self._closed.wait()

    async def call(self, message: Message, broke: Callable[[], None] = _unheard) -> Verdict | Changed:
        """The stage's verdict on the message. A stage that does not wait (``waits``) never gives up control.

        ``broke`` hears of it when what comes back is the verdict of ``on_error``.
        """
        if self.stage.when is not None and not self.stage.when.holds(message):
            return message
        try:
            if self._limiter is None:
                verdict = await self._function(message)
            else:
                verdict = await trio.to_thread.run_sync(
                    self._function, message, abandon_on_cancel=True, limiter=self._limiter
                )
        except (Exception, SystemExit) as error:
            return self._broken(message, error, broke)
        return self._taken(verdict, message, broke)

    def call_at_once(self, message: Message, broke: Callable[[], None] = _unheard) -> Verdict | Changed | None:
        """The same, where the stage has to wait for nothing to say it; None: it is to be called."""
        if self.stage.when is not None and not self.stage.when.holds(message):
            return message
        try:
            if self._prompt is not None:
                verdict = self._prompt(message)
                if verdict is None:
                    return None
            elif self.waits:
                return None
            else:
                verdict = _driven(self._function(message))
        except (Exception, SystemExit) as error:
            return self._broken(message, error, broke)
        return self._taken(verdict, message, broke)

    def _taken(self, verdict: Any, message: Message, broke: Callable[[], None]) -> Verdict | Changed:
        """What the stage said, if it makes sense."""
        said: Verdict | Changed = verdict
        if said is message:  # it simply goes on, as most do
            return said
        flaw = flaw_of(verdict, message, effect=self.stage.spec.effect)
        if not flaw:
            return as_seen(said, message, self.name)
        event("stage-failed", id=message.id, stage=self.name, error=f"returned {flaw}")
        return self.failed(message, f"returned {flaw}", broke)

    def _broken(self, message: Message, error: BaseException, broke: Callable[[], None]) -> Verdict:
        """What comes of an error that it raised."""
        match error:
            case StorageError():  # the message cannot be read: that is no fault of the stage
                event("stage-failed", id=message.id, stage=self.name, error=str(error))
                return self.failed(message, f"met trouble: {error}", broke)
            case Unreachable():  # nor that what it asks gives no answer
                event("stage-failed", id=message.id, stage=self.name, error=str(error))
                return self.failed(message, f"has no answer: {error}", broke)
        event.bug(f"stage {self.name}", error, id=message.id)
        return self.failed(message, f"raised {type(error).__name__}: {error}", broke)

    def met(self, passage: "Passage", verdict: Verdict | Changed) -> Verdict | Changed | None:
        """Count what it said of a message, as a step of its way. What ends the passage; None: it goes on."""
        asked, now = passage.message, time.perf_counter()
        took, passage.began = now - passage.began, now
        self._took.counts[bisect_left(SECONDS, took)] += 1
        self._took.sum += took
        passage.index += 1
        if verdict is asked:
            self._passed.value += 1
            passage.way.append((self.name, "pass", int(took * 1e6) / 1000))  # ``round`` takes ten times as long
            return None
        _MESSAGES.of(self.name, kind_of(verdict, asked)).value += 1
        passage.way.append(step_of(self.name, verdict, asked, took))
        if isinstance(verdict, Message):
            passage.message = verdict
            return None
        if asked is not passage.given and isinstance(verdict, AMID_CHANGES):
            return Changed(asked, verdict)
        return verdict

    async def hook(self, name: str, *arguments: object, broke: Callable[[], None] = _unheard) -> Reject | Defer | None:
        """What one of the stage's hooks says; one that breaks has no objection, its stage will see the message."""
        try:
            said = getattr(self.instance, name)(*arguments)
            if said is not None and inspect.isawaitable(said):
                with trio.fail_after(min(self.stage.timeout, 60)):
                    said = await said
        except Unreachable as trouble:
            event("stage-failed", stage=self.name, error=str(trouble))
            _FAILURES.of(self.name).value += 1
            broke()
            return None
        except (Exception, SystemExit) as error:
            event.bug(f"{name} of the stage {self.name}", error)
            _FAILURES.of(self.name).value += 1
            broke()
            return None
        if not isinstance(said, Reject | Defer):
            return None
        _REFUSALS.of(self.name, name).value += 1
        return said

    def failed(self, message: Message, how: str, broke: Callable[[], None] = _unheard) -> Verdict:
        """What the operator wants done with a message that this stage could not judge."""
        _FAILURES.of(self.name).value += 1
        broke()
        log = f"the stage {self.name} {how}"
        match self.stage.on_error:
            case "skip":
                return message
            case "reject":
                return Reject("This message cannot be processed here", "5.3.0", log=log)
            case "quarantine":
                return Quarantine(log, self.name)
        return Defer("Local trouble, please try again later", "4.3.0", log=log)


def offering(course: Course, stages: Mapping[str, RunningStage], hook: str) -> list[RunningStage]:
    """The stages of a lane that offer a hook, in their order; those that want to be asked last at the end."""
    names = [name for leg in (*course.before, *course.after) for name in leg.stages if name in stages]
    found = [stages[name] for name in names if hook in stages[name].stage.spec.hooks]
    return sorted(found, key=lambda stage: getattr(stage.instance, "asked_last", False))


def _build(spec: Spec, settings: Mapping[str, Any], services: Mapping[Any, Any]) -> Any:
    missing = [kind for kind in spec.services.values() if kind not in services]
    if missing:
        raise StageError(f"the stage {spec.name} asks for {missing[0]!r}, which the engine does not give here")
    given = {name: services[kind] for name, kind in spec.services.items()}
    if inspect.isclass(spec.target):
        return spec.target(**given, **settings)
    return functools.partial(spec.target, **given, **settings)


def _waits(target: Any) -> bool:
    """Whether a coroutine function has any place at which it may wait; those of a kind that we do not know have."""
    function = target.__call__ if inspect.isclass(target) else target
    code = getattr(function, "__code__", None)
    return code is None or any(step.opname in _WAITING for step in dis.get_instructions(code))


def _driven(call: Coroutine[Any, Any, Any]) -> Any:
    """What a stage says that never waits."""
    try:
        call.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("a stage waits that was taken for one that never does")


class Passage:
    """A message on its way through the leg. ``message``: as it is now; ``index``: the stage that is next."""

    __slots__ = ("began", "done", "given", "index", "message", "way")

    def __init__(self, message: Message, start: int, done: Done) -> None:
        self.given = self.message = message
        self.index = start
        self.done = done
        self.way: Way = []
        self.began = time.perf_counter()  # when it came to that stage


_Held: TypeAlias = tuple[RunningStage, Passage]
"""The stage that has a message."""


class _Runner:
    """A task that runs messages one after the other. ``held`` is to be known when the time of the stage is over."""

    __slots__ = ("deadline", "held", "wakeup")

    def __init__(self, watch: Watch) -> None:
        self.wakeup = Wakeup()
        self.deadline = Deadline(watch)
        self.held: _Held | None = None

    def let_go(self) -> None:
        """No stage has a message now."""
        self.held = None
        self.deadline.lift()


class LegRunner:
    """Runs messages through the stages of a leg, at most ``concurrency`` at once. Its ``serve`` must run beside it.

    As long as no stage has to wait for its verdict, a message is done with at once, in whatever task brought it. From
    there on it is run by one of the leg's own tasks, which come into being as they are needed and then stay.
    """

    def __init__(self, stages: list[RunningStage], *, concurrency: int, broke: Callable[[], None] = _unheard) -> None:
        """``broke`` hears each time that a stage could not judge a message."""
        self._stages = stages
        self._broke = broke
        self._concurrency = concurrency
        self._waiting: deque[Passage] = deque()
        self._idle: list[_Runner] = []
        self._runners = 0
        self._coming = 0  # of them, those that were roused and have not looked yet
        self._watch = Watch()
        self._nursery: trio.Nursery | None = None

    def begin(self, message: Message, start: int, done: Done) -> None:
        """Take the message through the leg from stage ``start``, until a stage does not simply pass it on.

        ``done`` gets the verdict, the number of stages that were done with, and the way. That may be fewer than a
        message that is passed on has before it: then it is to be brought again, for the rest.
        """
        passage = Passage(message, start, done)
        try:
            verdict = self._at_once(passage)
        except Exception as error:  # nothing here raises; if it does, that is one message's trouble
            self._broken(passage, error)
            return
        if verdict is None:
            self._waiting.append(passage)
            self._rouse()
        else:
            done(verdict, passage.index, passage.way)

    def _at_once(self, passage: Passage) -> Verdict | Changed | None:
        """Take it as far as nobody has to wait. The verdict; None: the next stage has to."""
        while passage.index < len(self._stages):
            stage = self._stages[passage.index]
            said = stage.call_at_once(passage.message, self._broke)
            if said is None:
                return None
            if (end := stage.met(passage, said)) is not None:
                return end
        return passage.message

    def _rouse(self) -> None:
        """Wake one runner if more waits than are on their way. It wakes the next one when it leaves work behind."""
        if len(self._waiting) <= self._coming:
            return
        if self._idle:
            self._coming += 1
            self._idle.pop().wakeup.wake()
        elif self._nursery is not None and self._runners < self._concurrency:
            self._coming += 1
            self._runners += 1
            self._nursery.start_soon(self._work, _Runner(self._watch))

    async def serve(self) -> None:
        """Run what comes until cancelled, and cancel calls that are over their time."""
        async with trio.open_nursery() as self._nursery:
            self._rouse()
            await self._watch.run()

    async def _work(self, runner: _Runner) -> None:
        self._coming -= 1
        while True:
            with runner.deadline:
                while not runner.deadline.passed:
                    if not self._waiting:
                        self._idle.append(runner)
                        await runner.wakeup.wait()
                        self._coming -= 1
                        continue
                    passage = self._waiting.popleft()
                    self._rouse()
                    await self._run(passage, runner)
                    del passage  # many may be idle after a rush, and none of them keeps its last message
            if runner.held is not None:  # which was cut off
                self._late(runner.held)
                runner.held = None

    async def _run(self, passage: Passage, runner: _Runner) -> None:
        passage.began = time.perf_counter()
        try:
            verdict = await self._through(passage, runner)
        except Exception as error:  # nothing here raises; if it does, that is one message's trouble
            runner.let_go()
            self._broken(passage, error)
        else:
            passage.done(verdict, passage.index, passage.way)

    @staticmethod
    def _broken(passage: Passage, error: Exception) -> None:
        event.bug("leg", error, id=passage.given.id)
        passage.done(Defer("Local trouble, please try again later", log=repr(error)), 0, [])

    async def _through(self, passage: Passage, runner: _Runner) -> Verdict | Changed:
        while passage.index < len(self._stages):
            stage = self._stages[passage.index]
            said = stage.call_at_once(passage.message, self._broke)
            if said is None:
                runner.held = (stage, passage)
                runner.deadline.allow(stage.stage.timeout)
                said = await stage.call(passage.message, self._broke)
                runner.let_go()
            if (end := stage.met(passage, said)) is not None:
                return end
            if runner.deadline.passed:  # it was late, but has said what it had to say
                break
        return passage.message

    def _late(self, held: _Held) -> None:
        stage, passage = held
        how = f"took longer than {stage.stage.timeout:g} s"
        event("stage-failed", id=passage.message.id, stage=stage.name, error=how)
        end = stage.met(passage, stage.failed(passage.message, how, self._broke))
        passage.done(passage.message if end is None else end, passage.index, passage.way)
