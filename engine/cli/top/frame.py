"""All that is shown of one moment, as values: what two snapshots tell."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from engine.cli.top.snapshot import SUPERVISOR, ProcessFigures, Snapshot
from engine.drawing.pipeline import Pipeline
from engine.watching.readings import Reading, as_data, read


@dataclass(frozen=True, slots=True)
class SiteRow:
    """A destination, by one source."""

    site: str
    source: str = ""
    connections: int = 0
    limit: int = 0
    waiting: int = 0
    paused: float = 0.0  # seconds that it is left alone for
    last_reply: str = ""


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A process of the server."""

    name: str
    pid: int | None = None
    cpu: float | None = None  # share of one core
    memory: int | None = None  # octets
    lag: float | None = None  # seconds


@dataclass(frozen=True, slots=True)
class Frame:
    """One moment. Without ``revision`` there was no server."""

    at: float
    reading: Reading
    revision: int = 0
    pid: int = 0
    age: float | None = None
    sites: tuple[SiteRow, ...] = ()
    workers: tuple[WorkerRow, ...] = ()


def frame_of(earlier: Snapshot, later: Snapshot, pipeline: Pipeline) -> Frame:
    reading = read(earlier.round, later.round, pipeline)
    running = later.running
    if running is None:
        return Frame(later.at, reading)
    supervisor = later.processes.get(SUPERVISOR, ProcessFigures(running.pid))
    return Frame(
        at=later.at,
        reading=reading,
        revision=running.revision,
        pid=running.pid,
        age=supervisor.age,
        sites=tuple(_site(dict(site), later.at) for site in later.sites),
        workers=tuple(_workers(earlier, later, reading)),
    )


def as_json(frame: Frame, version: str) -> dict[str, Any]:
    """The frame for programs."""
    return {
        "time": round(frame.at, 3),
        "version": version,
        "revision": frame.revision,
        "pid": frame.pid,
        "uptime": round(frame.age, 1) if frame.age is not None else None,
        **as_data(frame.reading),
        "sites": [asdict(site) for site in frame.sites],
        "workers": [asdict(worker) for worker in frame.workers],
    }


def _site(said: dict[str, Any], now: float) -> SiteRow:
    return SiteRow(
        site=str(said.get("site", "")),
        source=str(said.get("source") or ""),
        connections=int(said.get("connections") or 0),
        limit=int(said.get("limit") or 0),
        waiting=int(said.get("waiting") or 0),
        paused=max(float(said.get("paused_until") or 0) - now, 0.0),
        last_reply=str(said.get("last_reply") or ""),
    )


def _workers(earlier: Snapshot, later: Snapshot, reading: Reading) -> Iterator[WorkerRow]:
    assert later.running is not None
    seconds = max(later.round.time - earlier.round.time, 1e-9)
    for name in (SUPERVISOR, *sorted(later.running.lives, key=_in_order)):
        now, before = later.processes.get(name), earlier.processes.get(name)
        cpu = None
        if now and before and now.pid == before.pid and now.computed is not None and before.computed is not None:
            cpu = (now.computed - before.computed) / seconds
        lag = reading.lags.get(name)
        yield WorkerRow(name, now.pid if now else None, cpu, now.memory if now else None, lag)


def _in_order(name: str) -> tuple[str, int]:
    place, _, number = name.rpartition("-")
    return (place, int(number)) if number.isdigit() else (name, 0)
