"""One message on its way through a rehearsal: the engine's journeys, with nobody who stores or settles anything."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from engine.lanes import Course
from engine.links.link import Done, Way
from engine.message import Message, Recipient
from engine.queue.bounce import ORDINARY, Failure
from engine.queue.content import Aside
from engine.rehearsal.outcome import Step
from engine.runtime.journey import Arrival, Final, Onward, Road
from engine.runtime.stages import LegRunner
from engine.verdict import Changed, Defer, Quarantine, Verdict

Hear: TypeAlias = Callable[[Sequence[Recipient], Final, Message], None]
"""Hears what became of recipients, and how the message was then."""


@dataclass(frozen=True, slots=True)
class _Path:
    """A road to one leg, which is in this process."""

    trail: "Trail"
    lane: str
    runner: LegRunner

    def submit(self, message: Message, done: Done, *, start: int = 0, key: str = "") -> None:  # noqa: ARG002
        def heard(verdict: Verdict | Changed, stopped: int, way: Way) -> None:
            self.trail.met(self.lane, way)
            done(verdict, stopped, way)

        self.runner.begin(message, start, heard)


class Trail:
    """The roads of one message, which note what it meets on them. ``at``: the lane and the stage that spoke last."""

    number = 0

    def __init__(self, courses: Mapping[str, Course], legs: Mapping[str, tuple[str, LegRunner]]) -> None:
        self.courses = courses
        self.links: dict[str, Road] = {name: _Path(self, lane, runner) for name, (lane, runner) in legs.items()}
        self.aside = Aside(Path(), sys.maxsize)  # all that stages make stays in memory
        self.letters = ORDINARY
        self.at = ("", "")
        self.steps: list[Step] = []

    def met(self, lane: str, way: Way) -> None:
        self.steps += [Step(lane, *step[:3]) for step in way]
        self.at = (lane, way[-1][0] if way else "")

    def count(self, what: str, how_many: int = 1) -> None:
        """Nothing has come of anything that could be counted."""

    def entered(self) -> None:
        """Nobody waits for the end of journeys here."""

    def left(self) -> None:
        """Nor counts them."""


class Inward(Arrival):
    """Before `queue`: an arrival that is never stored. ``ready``: what would be, once ``over`` was called."""

    __slots__ = ("_asked", "_hear", "_over")

    def __init__(self, trail: Trail, course: Course, message: Message, hear: Hear, over: Callable[[], None]) -> None:
        self._asked = message
        self._hear = hear
        self._over = over
        super().__init__(trail, course, message, "", lambda _: None)

    @property
    def ready(self) -> list[Message]:
        return self._ready

    def _settled(self, recipients: Sequence[Recipient], verdict: Final, message: Message) -> None:
        if not isinstance(verdict, Quarantine):  # which is parked by what comes behind `queue`
            self._hear(recipients, verdict, message)
        super()._settled(recipients, verdict, message)

    def _decide(self) -> None:
        deferred = next((verdict for _, verdict in self._refused if isinstance(verdict, Defer)), None)
        if deferred is not None:  # of any is a deferral of all: the client comes again with the whole
            for message in self._ready:
                self._hear(message.envelope.recipients, deferred, message)
            self._ready = []
        self._answered = True
        self._over()

    def _finish(self, verdict: Verdict) -> None:
        """An error of ours has stopped it."""
        self._ready = []
        self._answered = True
        if isinstance(verdict, Defer):
            self._hear(self._asked.envelope.recipients, verdict, self._asked)
        self._over()


class Outward(Onward):
    """Behind `queue`."""

    __slots__ = ("_hear", "_open", "_over")

    def __init__(self, trail: Trail, message: Message, lane: str, hear: Hear, over: Callable[[], None]) -> None:
        super().__init__(trail, message)
        self._hear = hear
        self._over = over
        self._open = len(message.recipients)
        self._set_out(message, lane)

    def _became(self, recipient: Recipient, others: Sequence[Recipient]) -> None:  # noqa: ARG002
        self._open += len(others) - 1

    def _tell(self, expansion: Failure) -> None:
        """The sender is told of no list."""

    def _settled(self, recipients: Sequence[Recipient], verdict: Final, message: Message) -> None:
        self._hear(recipients, verdict, message)
        self._open -= len(recipients)
        if self._open == 0:
            self._over()
