"""Journeys under way: links whose far ends are functions, and a desk in place of the queue's owner."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine import Defer, Delivered, Message, Route, Verdict
from engine.lanes import Course, Leg
from engine.queue.bounce import ORDINARY, Letters
from engine.queue.content import Aside
from engine.queue.delivery import Delivery, Unstored
from engine.queue.lines import domain_of
from engine.queue.store import Record
from engine.runtime.journey import Arrival, Departure
from engine.verdict import Changed

NOWHERE = Aside(Path("nowhere"), 2**40)
"""Nothing is so large that it goes there."""

Said = Verdict | Changed | tuple[Route, ...]
Stage = Callable[[Message], Said]


class Line:
    """A link whose far end is a function. It answers at once, or when it is told to."""

    def __init__(self, stage: Stage, stages: int = 1) -> None:
        self.stage = stage
        self.stages = stages
        self.seen: list[Message] = []
        self.later: list[Callable[[], None]] | None = None

    def submit(self, about: Message, done, *, start: int = 0, key: str = "") -> None:
        self.seen.append(about)

        def answer() -> None:
            done(self.stage(about), self.stages, [("stage", "said", 1.0)])

        if self.later is None:
            answer()
        else:
            self.later.append(answer)

    @property
    def recipients(self) -> list[tuple[str, ...]]:
        return [one.recipients for one in self.seen]


@dataclass
class Map:
    """Courses and links, and how many journeys are under way."""

    courses: dict[str, Course]
    links: dict[str, Line]
    aside: Aside = NOWHERE
    number: int = 1
    letters: Letters = ORDINARY
    inside: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    def count(self, what: str, how_many: int = 1) -> None:
        self.counts[what] += how_many

    def entered(self) -> None:
        self.inside += 1

    def left(self) -> None:
        self.inside -= 1


def stored(_: Message) -> Verdict:
    return Delivered("stored")


def through(about: Message) -> Verdict:
    return about


def arrive(
    about: Message, *stages: Stage, queue: Stage = stored, kind: type[Arrival] = Arrival, aside: Aside = NOWHERE
) -> tuple[list[Verdict], Map]:
    legs = tuple(Leg(f"in/{number}", (str(number),)) for number in range(len(stages)))
    roads = Map({"in": Course("in", before=legs, queued=True)}, {}, aside)
    roads.links = {leg.name: Line(stage) for leg, stage in zip(legs, stages, strict=True)} | {"in/queue": Line(queue)}
    answers: list[Verdict] = []
    kind(roads, roads.courses["in"], about, "mx.test", answers.append)
    return answers, roads


@dataclass
class Desk:
    """Stands for the queue's owner: takes what it is told."""

    settled: list[Delivery] = field(default_factory=list)
    told: list[int] = field(default_factory=list)
    kept: list[bool] = field(default_factory=list)  # whether it is so for all mail of the domain
    trouble: Defer | None = None  # why nothing can be stored

    def settle(self, delivery: Delivery) -> None:
        self.settled.append(delivery)

    def progress(self, delivery: Delivery) -> None:
        self.told.append(len(delivery.outcomes))

    def keep(self, delivery: Delivery, then: Callable[[], None], *, others: bool = False) -> None:
        self.kept.append(others)
        if self.trouble is None:
            delivery.unstored = None
        elif delivery.unstored is not None:
            delivery.unstored.trouble = self.trouble
        then()


@dataclass
class Trip:
    """What came of one departure."""

    desk: Desk
    roads: Map
    delivery: Delivery

    @property
    def outcomes(self) -> dict[str, Verdict]:
        assert self.desk.settled == [self.delivery]
        assert self.roads.inside == 0
        assert len(self.delivery.outcomes) == len({r.address for r, _ in self.delivery.outcomes})
        return {recipient.address: verdict for recipient, verdict in self.delivery.outcomes}


def depart(
    about: Message,
    start: str,
    lanes: dict[str, Stage],
    aside: Aside = NOWHERE,
    *,
    straight: Sequence[str] = (),
    trouble: Defer | None = None,
) -> Trip:
    """``straight``: lanes in which a message need not be stored. If any is, this one is not stored yet."""
    courses, links = {}, {}
    for lane, stage in lanes.items():
        courses[lane] = Course(lane, after=(Leg(f"{lane}/stage", ("stage",)),), straight=lane in straight)
        links[f"{lane}/stage"] = Line(stage)
    roads = Map(courses, links, aside)
    record = Record(about.id, about.envelope, start, about.content.size)
    unstored = Unstored([].append, about.content, 0.0) if straight else None
    to = list(about.envelope.recipients)
    delivery = Delivery(record, about, to, domain_of(to), unstored=unstored)
    trip = Trip(Desk(trouble=trouble), roads, delivery)
    Departure(roads, trip.desk, trip.delivery, start)
    return trip
