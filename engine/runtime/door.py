"""The door: what a source stage gets from the engine to let mail in."""

import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from engine.config import Config
from engine.lanes import Course
from engine.message import ON_TRIAL, Message, MessageId, Session
from engine.observe.events import event
from engine.queue.incoming import ContentWriter
from engine.queue.store import content_folder
from engine.runtime.journey import Arrival, Roads
from engine.runtime.separate import SeparateArrival
from engine.runtime.stages import RunningStage
from engine.storage.room import Room
from engine.verdict import Defer, Reject, Verdict
from engine.wakeup import Answer

_SAY_AGAIN = 60.0
"""Seconds after which it is said again that clients are turned away: each of them would be a flood."""


class Revised(Roads, Protocol):
    """The revision in force, with the stages that want a word before DATA."""

    @property
    def config(self) -> Config: ...

    @property
    def on_trial(self) -> bool: ...

    def broke(self) -> None: ...

    def hooks(self, lane: str, hook: str) -> list[RunningStage]: ...


class Door:
    """Lets messages into one lane, under whatever revision of the configuration is in force at that moment."""

    def __init__(self, lane: str, current: Callable[[], Revised]) -> None:
        self._lane = lane
        self._current = current
        self._room = Room()
        self._said = -_SAY_AGAIN

    async def submit(self, message: Message, *, separately: bool = False) -> Verdict:
        """Take the message through the lane to `queue`.

        Delivered when it is stored and synced: only then may the client hear 250. Discard, Reject, Defer otherwise.
        ``separately``: the client can be told of each recipient, by an ``Each`` of these.
        Cancelling the wait does not stop the message.
        """
        revision = self._current()
        if revision.on_trial:
            message = message.with_fact(ON_TRIAL, revision.number)
        answer = Answer()
        kind = SeparateArrival if separately else Arrival
        kind(revision, self._course(revision), message, revision.config.server.hostname, answer.give)
        verdict: Verdict = await answer.wait()  # type: ignore[assignment]
        if isinstance(verdict, Reject):
            await self._tell(message.session, verdict, is_content=True)
        return verdict

    def content(self, identity: MessageId) -> ContentWriter:
        """Where the content of the message with that id goes while it arrives."""
        config = self._current().config
        return ContentWriter(content_folder(config.server.data), identity, config.queue.inline)

    def has_room(self) -> bool:
        """Whether the disk has more left than `[queue] reserve`. Who is turned away for that shows in the log."""
        config = self._current().config
        reserve, data = config.queue.reserve, config.server.data
        if self._room.above(reserve, data):
            return True
        if (now := time.monotonic()) - self._said > _SAY_AGAIN:
            self._said = now
            event("no-room", folder=str(data), free=self._room.free, reserve=int(reserve))
        return False

    def at_connect(self, session: Session) -> Awaitable[Reject | Defer | None]:
        return self._ask("at_connect", session)

    def at_sender(self, session: Session, sender: str) -> Awaitable[Reject | Defer | None]:
        return self._ask("at_sender", session, sender)

    async def at_recipient(self, session: Session, sender: str, recipient: str) -> Reject | Defer | None:
        refusal = await self._ask("at_recipient", session, sender, recipient)
        if isinstance(refusal, Reject):
            await self._tell(session, refusal, is_content=False)
        return refusal

    async def _ask(self, hook: str, *arguments: object) -> Reject | Defer | None:
        revision = self._current()
        for stage in revision.hooks(self._course(revision).lane, hook):
            refusal = await stage.hook(hook, *arguments, broke=revision.broke)
            if refusal is not None:
                revision.count("turned away")
                return refusal
        return None

    async def _tell(self, session: Session, refusal: Reject, *, is_content: bool) -> None:
        revision = self._current()
        for stage in revision.hooks(self._course(revision).lane, "at_refusal"):
            await stage.hook("at_refusal", session, refusal, is_content, broke=revision.broke)

    def _course(self, revision: Revised) -> Course:
        """The door's lane. Was that renamed while a connection was open, then one that mail comes in by."""
        found = revision.courses.get(self._lane)
        return found or next(course for course in revision.courses.values() if course.source)
