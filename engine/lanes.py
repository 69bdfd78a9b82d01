"""Lanes cut into legs: a leg is a run of stages that one worker does in one go, behind one link."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

QUEUE = "queue"
"""The word in a lane where the message is stored and the sender gets its 250."""

MAIL = "mail"
"""The place of every stage that was given no other: the workers that also own the queue's shards."""


@dataclass(frozen=True, slots=True)
class Lane:
    """A named list of stages, as `pipeline.toml` has it."""

    name: str
    stages: tuple[str, ...]
    listen: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Leg:
    """Consecutive stages of one lane in one place. ``name`` is also the name of the link that leads to it."""

    name: str  # "inbound/tag_external+add_footer"
    stages: tuple[str, ...]
    place: str = MAIL
    effect: bool = False
    partition: str = ""


@dataclass(frozen=True, slots=True)
class Course:
    """A lane as the engine runs it: who lets mail in, the legs before `queue`, and the legs after it."""

    lane: str
    source: str = ""
    before: tuple[Leg, ...] = ()
    after: tuple[Leg, ...] = ()
    queued: bool = False  # the lane has a `queue`
    listen: tuple[str, ...] = ()
    straight: bool = False  # no stage behind `queue` needs a message to be stored

    @property
    def goes_on(self) -> bool:
        """Whether mail from the queue can go on here: behind its `queue`, or all of it if none comes in there."""
        return self.queued or not self.source


@dataclass(frozen=True, slots=True)
class Placing:
    """What the cutting of lanes needs to know of a stage."""

    place: str = MAIL
    source: bool = False
    effect: bool = False
    partition: str = ""
    listens: tuple[str, ...] = field(default=())
    straight: bool = False  # may have what is not in the queue yet


def plan(lanes: Sequence[Lane], placing: Mapping[str, Placing]) -> dict[str, Course]:
    """Cut every lane. The lanes must have been checked: known stages, sources first, effects behind `queue`."""
    claimed = {name for lane in lanes for name in lane.listen}
    return {lane.name: _course(lane, placing, claimed) for lane in lanes}


def _course(lane: Lane, placing: Mapping[str, Placing], claimed: set[str]) -> Course:
    stages = list(lane.stages)
    source, listen = "", lane.listen
    if stages and stages[0] != QUEUE and placing[stages[0]].source:
        source = stages.pop(0)
        listen = listen or tuple(name for name in placing[source].listens if name not in claimed)
        claimed.update(listen)
    queued = QUEUE in stages
    cut = stages.index(QUEUE) if queued else 0
    before = stages[:cut]
    after = stages[cut + 1 :] if queued else stages
    return Course(
        lane=lane.name,
        source=source,
        before=_legs(lane.name, before, placing),
        after=_legs(lane.name, after, placing),
        queued=queued,
        listen=listen,
        straight=all(placing[name].straight for name in after),
    )


def _legs(lane: str, stages: Sequence[str], placing: Mapping[str, Placing]) -> tuple[Leg, ...]:
    legs: list[Leg] = []
    for stage in stages:
        at = placing[stage]
        last = legs[-1] if legs else None
        if last and last.place == at.place and not (last.effect or last.partition or at.effect or at.partition):
            legs[-1] = Leg(f"{last.name}+{stage}", (*last.stages, stage), last.place)
        else:
            legs.append(Leg(f"{lane}/{stage}", (stage,), at.place, at.effect, at.partition))
    return tuple(legs)
