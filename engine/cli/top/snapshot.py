"""What a running server says of itself at one moment, and what the kernel says of its processes."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.cli.workers import asked_of_all, measured
from engine.runtime.services import MEASURES_SERVICE, WATCH_SERVICE
from engine.runtime.state import Running, State
from engine.watching.readings import Round

SUPERVISOR = "supervisor"

_PROC = Path("/proc")
_TICK = os.sysconf("SC_CLK_TCK")
_USER_TIME, _SYSTEM_TIME, _STARTED = 11, 12, 19
"""Fields of /proc/PID/stat behind the name in parentheses: the first of these is the third of proc(5)."""


@dataclass(frozen=True, slots=True)
class ProcessFigures:
    """One process: seconds that it has computed, octets of memory that no file backs, seconds of its life."""

    pid: int
    computed: float | None = None
    memory: int | None = None
    age: float | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment. Without ``running`` there was no server."""

    at: float  # Unix time
    round: Round
    running: Running | None = None
    sites: Sequence[Mapping[str, Any]] = ()
    processes: Mapping[str, ProcessFigures] = field(default_factory=dict)  # by worker; SUPERVISOR among them


def take(state: State) -> Snapshot:
    """Ask all workers. One that does not answer within two seconds is left out."""
    running = state.running()
    if running is None:
        return Snapshot(time.time(), Round(time.monotonic()))
    found = Round(time.monotonic(), measured(running))
    sites = asked_of_all(running, MEASURES_SERVICE, "sites")
    said = asked_of_all(running, WATCH_SERVICE, "process")
    pids = {SUPERVISOR: running.pid, **{worker: int(one["pid"]) for worker, one in said.items()}}
    return Snapshot(
        time.time(),
        found,
        running,
        [site for of_worker in sites.values() for site in of_worker],
        {worker: figures(pid) for worker, pid in pids.items()},
    )


def figures(pid: int) -> ProcessFigures:
    """What the kernel says of a process; what it does not tell us is None."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        status = (_PROC / str(pid) / "status").read_text()
        up = float((_PROC / "uptime").read_text().split()[0])
    except (OSError, ValueError):  # it has ended, or is not ours to look at
        return ProcessFigures(pid)
    computed = (int(fields[_USER_TIME]) + int(fields[_SYSTEM_TIME])) / _TICK
    anonymous = [int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("RssAnon:")]
    return ProcessFigures(pid, computed, anonymous[0] if anonymous else None, up - int(fields[_STARTED]) / _TICK)
