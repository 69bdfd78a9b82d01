"""A configuration that is open for rehearsals: its stages run in this process, and messages are taken through them."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import trio

from engine.config import Config
from engine.message import Message, Recipient
from engine.rehearsal.difference import Change, changes
from engine.rehearsal.outcome import Fate, Outcome, fate_of
from engine.rehearsal.scratch import scratch
from engine.rehearsal.services import Surroundings, Understudy
from engine.rehearsal.sources import Asked
from engine.rehearsal.stages import RehearsedStage
from engine.rehearsal.trail import Hear, Inward, Outward, Trail
from engine.runtime.journey import Final, restricted
from engine.runtime.stages import LegRunner, offering
from engine.stage import StageError
from engine.verdict import Defer, Reject
from engine.wakeup import Answer

AT_ONCE = 64
"""Messages of a leg at the same time: others are asked by some stages, and are not to be overrun."""

_FOR_PEOPLE, _FOR_SERVERS = {"submission", "submissions"}, {"smtp"}
"""Listeners: for those who log in, and for all others."""


class Rehearsal:
    """Taken by ``rehearsal``. Any number of messages may be under way in it."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.stages: dict[str, RehearsedStage] = {}
        self._legs: dict[str, tuple[str, LegRunner]] = {}

    @property
    def absent(self) -> list[str]:
        """Stages that do not run, as they ask others."""
        return [name for name, stage in self.stages.items() if stage.absent]

    async def open(self, nursery: trio.Nursery, services: dict[Any, Any], *, offline: bool) -> None:
        """Open all stages but those that let mail in. Raises what a stage raises."""
        if not any(course.queued for course in self.config.courses.values()):
            raise StageError(f"{self.config.path}: no lane has a `queue`, so no mail comes in")
        for course in self.config.courses.values():
            for leg in (*course.before, *course.after):
                found = [await self._opened(nursery, name, services, offline) for name in leg.stages]
                runner = LegRunner(list(found), concurrency=AT_ONCE)
                self._legs[leg.name] = (course.lane, runner)
                nursery.start_soon(runner.serve)

    async def _opened(
        self, nursery: trio.Nursery, name: str, services: dict[Any, Any], offline: bool
    ) -> RehearsedStage:
        if name not in self.stages:
            stage = RehearsedStage(self.config.stages[name], services, offline=offline)
            if not stage.absent:
                await nursery.start(stage.run)
            self.stages[name] = stage
        return self.stages[name]

    async def close(self) -> None:
        for stage in self.stages.values():
            if not stage.absent:
                await stage.close()

    async def run(self, asked: Asked) -> Outcome:
        """What would become of the message. An error of a stage is a verdict, as on a server."""
        message, fates = asked.message, list[Fate]()
        trail = Trail(self.config.courses, self._legs)

        def hear(recipients: Sequence[Recipient], verdict: Final, ended: Message) -> None:
            fates.extend(fate_of(recipient, verdict, ended, message, trail.at) for recipient in recipients)

        lane = self._lane(asked)
        for one in [message] if asked.behind_queue else await self._stored(trail, lane, message, hear):
            await _over(partial(Outward, trail, one, lane, hear))
        return Outcome(tuple(sorted(fates, key=lambda fate: fate.recipient)), tuple(trail.steps))

    async def _stored(self, trail: Trail, lane: str, message: Message, hear: Hear) -> list[Message]:
        """What of it would come to `queue`."""
        taken = await self._let_in(trail, lane, message, hear)
        if not taken:
            return []
        course = self.config.courses[lane]
        inward: Inward = await _over(partial(Inward, trail, course, restricted(message, taken), hear))
        return inward.ready

    async def _let_in(self, trail: Trail, lane: str, message: Message, hear: Hear) -> list[Recipient]:
        """The recipients to whom no stage objects at the door, before DATA. What began here came through no door."""
        session, sender = message.session, message.sender
        everyone = list(message.envelope.recipients)
        if not session.peer:
            return everyone
        for hook, arguments in (("at_connect", (session,)), ("at_sender", (session, sender))):
            if refusal := await self._objection(trail, lane, hook, *arguments):
                hear(everyone, refusal, message)
                return []
        taken = []
        for recipient in everyone:
            refusal = await self._objection(trail, lane, "at_recipient", session, sender, recipient.address)
            if refusal is None:
                taken.append(recipient)
            else:
                hear([recipient], refusal, message)
        return taken

    async def _objection(self, trail: Trail, lane: str, hook: str, *arguments: Any) -> Reject | Defer | None:
        present = {name: stage for name, stage in self.stages.items() if not stage.absent}
        for stage in offering(self.config.courses[lane], present, hook):
            began = time.perf_counter()
            refusal = await stage.hook(hook, *arguments)
            if refusal is not None:
                kind = "reject" if isinstance(refusal, Reject) else "defer"
                took = round((time.perf_counter() - began) * 1000, 3)
                trail.met(lane, [(stage.name, f"{kind} {hook}: {refusal.text}", took)])
                return refusal
        return None

    def _lane(self, asked: Asked) -> str:
        """The lane that it comes in by: where there is none of that name any that queues, as the owner of a queue does.

        Where none is named, that of the listener at which such mail comes in.
        """
        queued = [course for course in self.config.courses.values() if course.queued]
        if not asked.lane:
            wanted = _FOR_PEOPLE if asked.message.session.login else _FOR_SERVERS
            queued.sort(key=lambda course: not wanted & set(course.listen))
        return next((course for course in queued if course.lane == asked.lane), queued[0]).lane


async def _over(begin: Callable[[Callable[[], None]], Any]) -> Any:
    """The journey, once it is over."""
    answer = Answer()
    journey = begin(lambda: answer.give(None))
    await answer.wait()
    return journey


@asynccontextmanager
async def rehearsal(config: Config, surroundings: Surroundings) -> AsyncIterator[Rehearsal]:
    """Open a configuration. OSError, StorageError, ConfigError, Unavailable, StageError, and what stages raise."""
    found = Rehearsal(config)
    with scratch(surroundings.data) as folder, closing(Understudy(config, folder, surroundings)) as understudy:
        services = understudy.opened()
        async with trio.open_nursery() as nursery:
            await found.open(nursery, services, offline=surroundings.offline)
            try:
                yield found
            finally:
                with trio.CancelScope(shield=True), trio.move_on_after(10):
                    await found.close()
                nursery.cancel_scope.cancel()


@dataclass(frozen=True, slots=True)
class Comparison:
    """A message under two configurations."""

    asked: Asked
    before: Outcome
    after: Outcome
    changes: tuple[Change, ...]


async def compared(old: Rehearsal, new: Rehearsal, asked: Asked) -> Comparison:
    """What the two disagree about. What is another thing each time, such as a time or an id, is no disagreement.

    That is found out by taking the message through ``old`` once more, after ``new``: time goes one way, so what has
    changed for the new one because of it, has changed for the old one too.
    """
    before, after = await old.run(asked), await new.run(asked)
    found = changes(before, after)
    if found:
        unsteady = {change.about for change in changes(before, await old.run(asked))}
        found = [change for change in found if change.about not in unsteady]
    return Comparison(asked, before, after, tuple(found))
