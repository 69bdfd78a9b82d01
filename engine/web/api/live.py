"""Operations about how the server does, now: links, stages, sites, workers, and whether it is ready."""

import math
from collections.abc import Sequence
from typing import Annotated

import msgspec
import trio
from msgspec import Meta

from engine.drawing.pipeline import drawn
from engine.operations import sites
from engine.operations.sites import Site
from engine.runtime.state import State
from engine.watching.readings import LinkReading, Reading, Round, StageReading, read
from engine.web.api.operation import Asked, Call, Operation
from engine.web.health import reasons, warnings


class Span(Asked, frozen=True):
    seconds: Annotated[int, Meta(ge=1, le=30, description="That rates are of: so long the answer takes.")] = 1


class Health(msgspec.Struct, frozen=True):
    """Whether the server is ready for mail; else why not. ``warnings``: what will be wrong, if nothing is done."""

    ready: bool
    reasons: list[str]
    warnings: list[str]
    revision: int


class Link(msgspec.Struct, frozen=True):
    """A link: messages a second, how many wait for a credit, how many are with workers, of how many that may be.

    ``lag``: seconds that what comes now will wait at this rate; null: nobody knows."""

    name: str
    rate: float
    depth: int
    out: int
    window: int
    lag: float | None


class LinkRow(msgspec.Struct, frozen=True):
    """A link, as `postroad tap` names it: the lane that it is in, and the stages that one worker does behind it in one
    go; or `queue`, where mail is stored."""

    name: str
    lane: str
    stages: list[str]


class Stage(msgspec.Struct, frozen=True):
    """A stage: messages a second by verdict; seconds that half of them, and 99 %, took at most; null: none came."""

    name: str
    rate: float
    verdicts: dict[str, float]
    p50: float | None
    p99: float | None


class Measures(msgspec.Struct, frozen=True):
    """How mail passes. ``arriving``, ``leaving``: messages a second that were stored, and that were handed on.

    ``queue``: messages by state. ``oldest``: seconds; null: there is none. ``lags``: of the event loops, in seconds."""

    seconds: float
    arriving: float
    leaving: float
    queue: dict[str, int]
    oldest: float | None
    links: list[Link]
    stages: list[Stage]
    lags: dict[str, float]


class Worker(msgspec.Struct, frozen=True):
    """A process of the server: whether it answers, and which revision it has in force."""

    name: str
    answers: bool
    revision: int | None


async def show_health(call: Call) -> Health:
    """Say whether the server is ready for mail, and if not, why."""
    collected = await call.context.collected()
    found = reasons(collected)
    running = await call.blocking(State(call.config.server.data).running)
    return Health(not found, found, warnings(collected), running.revision if running else 0)


async def show_measures(call: Call, *, query: Span) -> Measures:
    """Measure links and stages for some time: rates, depths, how long things take."""
    earlier = await _round(call)
    await trio.sleep(query.seconds)
    return _measures(read(earlier, await _round(call), drawn(call.config)))


async def _round(call: Call) -> Round:
    collected = await call.context.collected()
    return Round(trio.current_time(), collected.samples)


def _measures(reading: Reading) -> Measures:
    return Measures(
        reading.seconds, reading.arriving, reading.leaving, dict(reading.queued), reading.oldest,
        list(map(_link, reading.links)), list(map(_stage, reading.stages)), dict(reading.lags),
    )  # fmt: skip


def _link(one: LinkReading) -> Link:
    lag = one.lag if math.isfinite(one.lag) else None
    return Link(one.name, one.rate, one.depth, one.out, one.window, lag)


def _stage(one: StageReading) -> Stage:
    return Stage(one.name, one.rate, dict(one.rates), one.half, one.almost_all)


async def list_links(call: Call) -> list[LinkRow]:
    """List the links of the configuration in force, in the order of its lanes."""
    found: dict[str, LinkRow] = {}
    for lane in drawn(call.config).lanes:
        legs = [(leg.link, [stage.name for stage in leg.stages]) for leg in (*lane.before, *lane.after)]
        queue = [(lane.queue, ["queue"])] if lane.queue else []
        for name, stages in (*legs[: len(lane.before)], *queue, *legs[len(lane.before) :]):
            found.setdefault(name, LinkRow(name, lane.name, stages))
    return list(found.values())


async def list_sites(call: Call) -> list[Site]:
    """List the destinations that mail is being sent to now."""
    return await sites.listed(call.context.ask, call.context.workers())


async def list_workers(call: Call) -> list[Worker]:
    """List the processes of the server."""
    collected = await call.context.collected()
    revisions = {worker: int(value) for worker, _, value in collected.values("postroad_revision")}
    names: Sequence[str] = sorted({*collected.expected, *collected.samples})
    return [Worker(name, name in collected.samples, revisions.get(name)) for name in names]


ROWS = (
    Operation("GET", "/measures", "measures:read", show_measures),
    Operation("GET", "/measures/health", "measures:read", show_health),
    Operation("GET", "/measures/links", "measures:read", list_links),
    Operation("GET", "/measures/sites", "measures:read", list_sites),
    Operation("GET", "/measures/workers", "measures:read", list_workers),
)
