"""What there is to draw of a configuration: lanes, their legs, and how mail gets from one lane into another."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.config import READERS, Config, Stage, address_written
from engine.config.lanes import picked_lanes
from engine.lanes import MAIL, QUEUE, Course, Leg
from engine.message import SITE

MAILBOXES = "mailboxes"
"""The home of stages that put messages into mailboxes, and what is drawn behind them."""

NEXT_SERVER = "next server"


@dataclass(frozen=True, slots=True)
class DrawnStage:
    """One stage."""

    name: str
    effect: bool = False  # it acts on the world outside
    theirs: bool = False  # it came from the operator, not with Postroad
    workers: int = 0  # processes of its own
    place: str = MAIL
    when: str = ""
    leads_to: str = ""  # MAILBOXES, NEXT_SERVER, or nothing that we know


@dataclass(frozen=True, slots=True)
class DrawnLeg:
    """Stages that one worker does in one go, behind one link."""

    link: str
    stages: tuple[DrawnStage, ...]


@dataclass(frozen=True, slots=True)
class Branch:
    """Where a lane's mail may go when the lane has ended."""

    lane: str
    rules: tuple[str, ...] = ()  # "to local", in the words of the rules that say so


@dataclass(frozen=True, slots=True)
class DrawnLane:
    """One lane, in the order of its stages."""

    name: str
    listeners: tuple[str, ...] = ()
    source: DrawnStage | None = None
    before: tuple[DrawnLeg, ...] = ()
    queue: str = ""  # the link that leads to `queue`; empty: the lane has none
    after: tuple[DrawnLeg, ...] = ()
    branches: tuple[Branch, ...] = ()

    @property
    def enters(self) -> bool:
        """Whether mail comes in here, and not from another lane."""
        return bool(self.source or self.queue)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """All that is drawn."""

    lanes: tuple[DrawnLane, ...]
    addresses: Mapping[str, str] = field(default_factory=dict)  # of listeners
    readers: tuple[str, ...] = ()  # listeners by which mailboxes are read

    def lane(self, name: str) -> DrawnLane | None:
        return next((lane for lane in self.lanes if lane.name == name), None)

    @property
    def links(self) -> tuple[str, ...]:
        """Names of all links, in the order of the lanes."""
        return tuple(dict.fromkeys(name for lane in self.lanes for name in _links(lane)))


@dataclass(frozen=True, slots=True)
class Notes:
    """What is written into the picture of a server that runs: on links, into stages, into `queue`."""

    links: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    stages: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    queue: tuple[str, ...] = ()


NO_NOTES = Notes()


def drawn(config: Config) -> Pipeline:
    """The pipeline of a configuration."""
    return Pipeline(
        tuple(_lane(config, course) for course in config.courses.values()),
        {name: address_written(host, port) for name, (host, port) in config.listen.items()},
        tuple(name for name in config.listen if name in READERS),
    )


def as_data(pipeline: Pipeline) -> list[dict[str, Any]]:
    """The lanes for programs."""
    return [
        {
            "lane": lane.name,
            "listeners": {name: pipeline.addresses.get(name, "") for name in lane.listeners},
            "source": lane.source.name if lane.source else None,
            "before": [_leg_as_data(leg) for leg in lane.before],
            "queue": lane.queue or None,
            "after": [_leg_as_data(leg) for leg in lane.after],
            "lanes": [{"lane": branch.lane, "rules": list(branch.rules)} for branch in lane.branches],
        }
        for lane in pipeline.lanes
    ]


def _leg_as_data(leg: DrawnLeg) -> dict[str, Any]:
    stages = [
        {"stage": s.name, "effect": s.effect, "place": s.place, "workers": s.workers, "when": s.when or None}
        for s in leg.stages
    ]
    return {"link": leg.link, "stages": stages}


def _links(lane: DrawnLane) -> Iterator[str]:
    yield from (leg.link for leg in lane.before)
    if lane.queue:
        yield lane.queue
    yield from (leg.link for leg in lane.after)


def _lane(config: Config, course: Course) -> DrawnLane:
    names = [name for leg in (*course.before, *course.after) for name in leg.stages]
    return DrawnLane(
        name=course.lane,
        listeners=tuple(name for name in course.listen if name in config.listen),
        source=_stage(config.stages[course.source]) if course.source else None,
        before=_legs(config, course.before),
        queue=f"{course.lane}/{QUEUE}" if course.queued else "",
        after=_legs(config, course.after),
        branches=_branches(config.stages[name] for name in names),
    )


def _legs(config: Config, legs: Iterable[Leg]) -> tuple[DrawnLeg, ...]:
    return tuple(DrawnLeg(leg.name, tuple(_stage(config.stages[name]) for name in leg.stages)) for leg in legs)


def _stage(stage: Stage) -> DrawnStage:
    spec = stage.spec
    leads_to = MAILBOXES if spec.home == MAILBOXES else NEXT_SERVER if spec.partition == SITE else ""
    return DrawnStage(
        name=spec.name,
        effect=spec.effect,
        theirs=spec.use.partition(":")[0].endswith(".py"),
        workers=stage.workers,
        place=stage.place,
        when=stage.when.text if stage.when else "",
        leads_to=leads_to if spec.effect else "",
    )


def _branches(stages: Iterable[Stage]) -> tuple[Branch, ...]:
    found: dict[str, list[str]] = {}
    for stage in stages:
        for lane, rule in picked_lanes(stage):
            rules = found.setdefault(lane, [])
            if rule and rule not in rules:
                rules.append(rule)
    return tuple(Branch(lane, tuple(rules)) for lane, rules in found.items())
