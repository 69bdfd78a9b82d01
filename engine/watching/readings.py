"""What two rounds of measures say of the time between them: rates, shares, how long things took."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.drawing.pipeline import Pipeline
from engine.observe.measures import Sample
from engine.observe.quantiles import quantile

HALF, ALMOST_ALL = 0.5, 0.99
"""The quantiles that are shown."""

HANDED_ON = ("delivered", "each")
"""Verdicts of an effect by which at least one recipient has the message."""

REFUSALS = ("reject", "defer")
"""Verdicts by which a message goes no further now."""

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Round:
    """What all workers measured at one time, in seconds of a clock that is never set."""

    time: float
    workers: Mapping[str, Sequence[Sample]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LinkReading:
    """A link: messages a second, and how full it is."""

    name: str
    rate: float = 0.0
    depth: int = 0  # messages that wait for a credit
    out: int = 0  # messages that are with workers
    window: int = 0  # messages that may be, all senders together
    refused: float = 0.0  # messages a second that the stages behind it refused or put off, at the door too

    @property
    def lag(self) -> float:
        """Seconds that what comes now will wait for its credit, at this rate."""
        if self.depth == 0:
            return 0.0
        return self.depth / self.rate if self.rate else math.inf


@dataclass(frozen=True, slots=True)
class StageReading:
    """A stage: messages a second, by verdict, and the time that half of them and almost all took at most."""

    name: str
    rates: Mapping[str, float] = field(default_factory=dict)
    half: float | None = None  # seconds; None: there were none
    almost_all: float | None = None

    @property
    def rate(self) -> float:
        return sum(self.rates.values())

    @property
    def shares(self) -> list[tuple[str, float]]:
        """Verdicts with their share of one, the most frequent first."""
        whole = self.rate
        ordered = sorted(self.rates.items(), key=lambda item: (-item[1], item[0]))
        return [(verdict, rate / whole) for verdict, rate in ordered if rate > 0]


@dataclass(frozen=True, slots=True)
class Reading:
    """All that is watched, at one moment."""

    seconds: float  # between the rounds
    arriving: float = 0.0  # messages a second that were stored
    leaving: float = 0.0  # and that effects have handed on
    queued: Mapping[str, int] = field(default_factory=dict)  # messages by state
    oldest: float | None = None  # seconds
    links: tuple[LinkReading, ...] = ()
    stages: tuple[StageReading, ...] = ()
    lags: Mapping[str, float] = field(default_factory=dict)  # of the workers' event loops, in seconds


def read(earlier: Round, later: Round, pipeline: Pipeline) -> Reading:
    """What there is to be told of the pipeline. What is not measured is nought, or left out."""
    seconds = max(later.time - earlier.time, 1e-9)
    grown = {labels: count / seconds for labels, count in _grown(earlier, later).items()}
    now = _total(later)
    behind = _behind(pipeline)
    links = tuple(_link(name, grown, now, behind.get(name, ())) for name in pipeline.links)
    stages = tuple(_stage(name, grown) for name in _stage_names(pipeline))
    effects = {stage.name for lane in pipeline.lanes for leg in lane.after for stage in leg.stages if stage.effect}
    entries = {lane.queue for lane in pipeline.lanes if lane.queue}
    return Reading(
        seconds=seconds,
        arriving=sum(link.rate for link in links if link.name in entries),
        leaving=sum(stage.rates.get(verdict, 0) for stage in stages if stage.name in effects for verdict in HANDED_ON),
        queued=_by(now, "postroad_queue_messages", "state"),
        oldest=_oldest(later),
        links=links,
        stages=stages,
        lags=_lags(later),
    )


def as_data(reading: Reading) -> dict[str, Any]:
    """The reading for programs."""
    return {
        "seconds": round(reading.seconds, 3),
        "in": round(reading.arriving, 3),
        "out": round(reading.leaving, 3),
        "queue": dict(reading.queued),
        "oldest": reading.oldest,
        "links": [
            {
                "link": link.name, "rate": round(link.rate, 3), "depth": link.depth, "out": link.out,
                "window": link.window, "lag": round(link.lag, 6) if math.isfinite(link.lag) else None,
            }
            for link in reading.links
        ],
        "stages": [
            {
                "stage": stage.name, "rate": round(stage.rate, 3),
                "verdicts": {verdict: round(rate, 3) for verdict, rate in stage.rates.items()},
                "p50": stage.half, "p99": stage.almost_all,
            }
            for stage in reading.stages
        ],
    }  # fmt: skip


_Named = Mapping[tuple[str, Labels], float]


def _grown(earlier: Round, later: Round) -> dict[tuple[str, Labels], float]:
    """By how much each number of each worker has grown, all workers together.

    A worker that is new begins with what it has now: nobody knows how much of that is of this time.
    A number that is smaller than before is that of a worker which was started again, and began at nought.
    """
    grown: dict[tuple[str, Labels], float] = {}
    for worker, samples in later.workers.items():
        if worker not in earlier.workers:
            continue
        before = {(name, labels): value for name, labels, value in earlier.workers[worker]}
        for name, labels, value in samples:
            was = before.get((name, labels), 0)
            grown[name, labels] = grown.get((name, labels), 0) + (value - was if value >= was else value)
    return grown


def _total(round_: Round) -> dict[tuple[str, Labels], float]:
    total: dict[tuple[str, Labels], float] = {}
    for samples in round_.workers.values():
        for name, labels, value in samples:
            total[name, labels] = total.get((name, labels), 0) + value
    return total


def _behind(pipeline: Pipeline) -> dict[str, tuple[str, ...]]:
    """The stages behind each link; not of those that stand behind several, as nobody counts by both."""
    legs = {leg.link: leg for lane in pipeline.lanes for leg in (*lane.before, *lane.after)}
    places = Counter(stage.name for leg in legs.values() for stage in leg.stages)
    return {link: tuple(one.name for one in leg.stages if places[one.name] == 1) for link, leg in legs.items()}


def _link(name: str, grown: _Named, now: _Named, stages: Sequence[str]) -> LinkReading:
    labels = (("link", name),)
    return LinkReading(
        name,
        rate=grown.get(("postroad_link_messages_total", labels), 0),
        depth=int(now.get(("postroad_link_depth", labels), 0)),
        out=int(now.get(("postroad_link_out", labels), 0)),
        window=int(now.get(("postroad_link_window", labels), 0)),
        refused=sum(_refused(stage, grown) for stage in stages),
    )


def _refused(stage: str, grown: _Named) -> float:
    """What a stage refuses or puts off: messages, and what is asked before there is one."""
    return sum(
        value
        for (family, labels), value in grown.items()
        if ("stage", stage) in labels
        and (family == _AT_THE_DOOR or (family == _DECIDED and dict(labels)["verdict"] in REFUSALS))
    )


def _stage(name: str, grown: _Named) -> StageReading:
    mine = [(family, dict(labels), value) for (family, labels), value in grown.items() if ("stage", name) in labels]
    verdicts = [(labels["verdict"], value) for family, labels, value in mine if family == _DECIDED and value]
    buckets = [
        (float(labels["le"]), value) for family, labels, value in mine if family == "postroad_stage_seconds_bucket"
    ]
    return StageReading(name, dict(verdicts), quantile(buckets, HALF), quantile(buckets, ALMOST_ALL))


def _stage_names(pipeline: Pipeline) -> list[str]:
    legs = [leg for lane in pipeline.lanes for leg in (*lane.before, *lane.after)]
    return list(dict.fromkeys(stage.name for leg in legs for stage in leg.stages))


def _by(now: _Named, family: str, label: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for (name, labels), value in now.items():
        if name == family:
            key = dict(labels).get(label, "")
            found[key] = found.get(key, 0) + int(value)
    return dict(sorted(found.items()))


def _oldest(round_: Round) -> float | None:
    ages = [value for samples in round_.workers.values() for name, _, value in samples if name == _OLDEST]
    return max(ages, default=None)


def _lags(round_: Round) -> dict[str, float]:
    return {
        worker: value
        for worker, samples in round_.workers.items()
        for name, _, value in samples
        if name == "postroad_loop_lag_seconds"
    }


_DECIDED = "postroad_stage_messages_total"
_AT_THE_DOOR = "postroad_stage_refusals_total"
_OLDEST = "postroad_queue_oldest_seconds"
