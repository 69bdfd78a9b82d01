"""Stages that run: built with their services and settings, opened, called, closed."""

import contextlib
import functools
import inspect
import math
import time
from collections.abc import Callable, Mapping
from typing import Any, get_args

import trio

from engine.config import Stage
from engine.links.link import Way
from engine.message import Message
from engine.observe.events import event
from engine.stage import Spec, StageError
from engine.verdict import Changed, Defer, Delivered, Discard, Each, Quarantine, Reject, Route, Verdict

_VERDICTS = get_args(Verdict)
_NAMES = {Reject: "reject", Defer: "defer", Discard: "discard", Quarantine: "quarantine", Delivered: "delivered"}
_THREADS = 40


class RunningStage:
    """A stage in this process. ``call`` never raises: what breaks inside becomes the verdict of ``on_error``."""

    def __init__(self, stage: Stage, services: Mapping[Any, Any]) -> None:
        self.stage = stage
        self.name = stage.spec.name
        self._limiter = trio.CapacityLimiter(_THREADS) if stage.spec.synchronous else None
        self._open = False
        self._closing = trio.Event()
        self._closed = trio.Event()
        self.instance = _build(stage.spec, stage.settings, services)
        self._function: Callable[[Message], Any] = self.instance

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

    async def call(self, message: Message) -> Verdict:
        """The stage's verdict on the message, within its time."""
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
            event.bug(f"stage {self.name}", error, id=message.id)
            return self.failed(message, f"raised {type(error).__name__}: {error}")
        flaw = _flaw(verdict, message, effect=self.stage.spec.effect)
        if not flaw:
            return verdict  # type: ignore[no-any-return]
        event("stage-failed", id=message.id, stage=self.name, error=f"returned {flaw}")
        return self.failed(message, f"returned {flaw}")

    async def hook(self, name: str, *arguments: object) -> Reject | Defer | None:
        """What one of the stage's hooks says; one that breaks has no objection, its stage will see the message."""
        try:
            said = getattr(self.instance, name)(*arguments)
            if inspect.isawaitable(said):
                with trio.fail_after(min(self.stage.timeout, 60)):
                    said = await said
        except (Exception, SystemExit) as error:
            event.bug(f"{name} of the stage {self.name}", error)
            return None
        return said if isinstance(said, Reject | Defer) else None

    def failed(self, message: Message, how: str) -> Verdict:
        """What the operator wants done with a message that this stage could not judge."""
        log = f"the stage {self.name} {how}"
        match self.stage.on_error:
            case "skip":
                return message
            case "reject":
                return Reject("This message cannot be processed here", "5.3.0", log=log)
            case "quarantine":
                return Quarantine(log)
        return Defer("Local trouble, please try again later", "4.3.0", log=log)


def _build(spec: Spec, settings: Mapping[str, Any], services: Mapping[Any, Any]) -> Any:
    missing = [kind for kind in spec.services.values() if kind not in services]
    if missing:
        raise StageError(f"the stage {spec.name} asks for {missing[0]!r}, which the engine does not give here")
    given = {name: services[kind] for name, kind in spec.services.items()}
    if inspect.isclass(spec.target):
        return spec.target(**given, **settings)
    return functools.partial(spec.target, **given, **settings)


def _flaw(verdict: object, asked: Message, *, effect: bool) -> str:
    """What is wrong with what a stage returned; empty: nothing. Further on a wrong one would lose or stop the mail."""
    if isinstance(verdict, Each):
        flaws = (_flaw_of_one(found, asked, effect) for found in verdict.verdicts.values())
        return next((f"for one recipient {flaw}" for flaw in flaws if flaw), "")
    return _flaw_of_one(verdict, asked, effect) if not isinstance(verdict, tuple) else _strange(verdict)


def _flaw_of_one(verdict: object, asked: Message, effect: bool) -> str:
    if isinstance(verdict, Message):
        return "" if verdict is asked else _flaw_of_message(verdict, asked)
    if isinstance(verdict, tuple):
        return "" if verdict and all(isinstance(route, Route) for route in verdict) else _strange(verdict)
    if isinstance(verdict, Each) or not isinstance(verdict, _VERDICTS):
        return _strange(verdict)
    if isinstance(verdict, Delivered) and not effect:
        return "Delivered, which only an effect may say (`effect = True`)"
    if isinstance(verdict, Defer) and verdict.retry_after is not None:
        seconds = verdict.retry_after
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not math.isfinite(seconds):
            return f"a retry_after of {seconds!r}; it is a number of seconds"
    return ""


def _flaw_of_message(message: Message, asked: Message) -> str:
    if message.id != asked.id or message.content is not asked.content:
        return "another message; change the one it was given, by with_header or with_fact"
    if message.envelope.recipients != asked.envelope.recipients:
        return "other recipients; return Route(lane, to=…) or Each for that"
    old = asked.envelope.facts
    for name, value in message.envelope.facts.items():
        if not (isinstance(name, str) and ((name in old and old[name] is value) or _is_fact(value))):
            return (
                f"the fact {name} = {value!r:.80}; facts are texts, numbers, lists, tables with texts as keys, or None"
            )
    return ""


def _is_fact(value: object) -> bool:
    if isinstance(value, list):
        return all(map(_is_fact, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_fact(inner) for key, inner in value.items())
    if isinstance(value, int):
        return -(2**63) <= value < 2**64  # what MessagePack holds
    return value is None or isinstance(value, str | float)


def _strange(verdict: object) -> str:
    return "nothing (a forgotten `return message`?)" if verdict is None else f"{verdict!r:.80}"


class _Running:
    """One call in progress, so that the time-keeper can see how long it has been."""

    __slots__ = ("began", "limit", "scope")

    def __init__(self, began: float, limit: float, scope: trio.CancelScope) -> None:
        self.began = began
        self.limit = limit
        self.scope = scope


class LegRunner:
    """Runs messages through the stages of a leg. Its ``keep_time`` must run beside it."""

    def __init__(self, stages: list[RunningStage]) -> None:
        self._stages = stages
        self._running: set[_Running] = set()

    async def run(self, message: Message, start: int) -> tuple[Verdict | Changed, int, Way]:
        """Through the leg from stage ``start``, until one does not simply pass the message on."""
        way: Way = []
        done = start
        verdict: Verdict = message
        for stage in self._stages[start:]:
            assert isinstance(verdict, Message)
            asked = verdict
            began = time.perf_counter()
            verdict = await self._call(stage, asked, began)
            way.append((stage.name, _say(verdict, asked), round((time.perf_counter() - began) * 1000, 3)))
            done += 1
            if isinstance(verdict, Each | Route) and asked is not message:
                return Changed(asked, verdict), done, way
            if not isinstance(verdict, Message):
                break
        return verdict, done, way

    async def _call(self, stage: RunningStage, message: Message, began: float) -> Verdict:
        with trio.CancelScope() as scope:
            running = _Running(began, stage.stage.timeout, scope)
            self._running.add(running)
            try:
                return await stage.call(message)
            finally:
                self._running.discard(running)
        how = f"took longer than {stage.stage.timeout:g} s"
        event("stage-failed", id=message.id, stage=stage.name, error=how)
        return stage.failed(message, how)

    async def keep_time(self) -> None:
        """Cancel calls that are over their time. One watch for all costs a call next to nothing."""
        while True:
            await trio.sleep(0.25)
            now = time.perf_counter()
            for running in self._running:
                if now - running.began > running.limit:
                    running.scope.cancel()


def _say(verdict: Verdict, asked: Message) -> str:
    if isinstance(verdict, Message):
        return "pass" if verdict is asked else "changed"
    if isinstance(verdict, Route):
        return f"lane {verdict.lane}"
    if isinstance(verdict, Each):
        return "each"
    name = _NAMES[type(verdict)]
    text = getattr(verdict, "text", "") or getattr(verdict, "reason", "") or getattr(verdict, "reply", "")
    return f"{name}: {text}" if text else name
