"""Latency: how long a sender waits for its 250 when the server has half the work that it can do, not all of it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from bench import Failed
from bench.disks import Disk
from bench.latency import open_loop
from bench.load import sink
from bench.measure import LONG, PROBE, Cell, Run, Trial, Wanted, counted, leaves
from bench.servers.base import Server
from bench.workloads import accept
from bench.workloads.base import CEILING, Choice, Work, matrix, started, trial

BESIDE = "postfix-tuned"
"""At half of this one's speed Postroad is measured too, so that both have the same work."""

_SECONDS = 10.0
"""Seconds of a run at least: the slowest message in a thousand is to be seen some times."""

_PEAK = 3.0
"""Seconds of the run that tells a server's speed."""


async def measure(work: Work, rate: float, count: int) -> Run:
    """About ``count`` messages, at ``rate`` messages a second."""
    async with started(work, "accept") as (running, used):
        run = await _timed(running.port, work.cell, rate, count)
        return Run(run.messages, run.seconds, figures=run.figures, **used())


async def floor(cell: Cell, rate: float, count: int) -> Run:
    """The same with smtp-sink, which stores nothing: what the client and the kernel take."""
    async with sink() as (port, _):
        return await _timed(port, cell, rate, count)


async def _timed(port: int, cell: Cell, rate: float, count: int) -> Run:
    found = await open_loop(port, cell, rate, count / rate)
    quantiles = {"p50": found.p50, "p99": found.p99, "p99.9": found.p999, "most": found.most, "late": found.late}
    return Run(
        found.messages, found.messages / found.rate, figures={f"{n}, ms": q * 1000 for n, q in quantiles.items()}
    )


async def peak(work: Work, wanted: Wanted) -> float:
    """Messages a second when all is sent at once: the better of two runs, the lengths of which are found first."""
    count, best = wanted.count or PROBE, 0.0
    for seconds in (0.0,) if wanted.count else (2 * LONG, _PEAK, 0.0):
        run = await accept.measure(work, count)
        best = max(best, run.rate)
        count = wanted.count or counted(run.rate, seconds)
    return best


@dataclass(frozen=True, slots=True)
class Latency:
    """Each server at half its own speed, and Postroad at half the speed of ``BESIDE``."""

    name: str = "latency"
    title: str = (
        "the open-loop client → the queue, each server at half its own speed: from the last octet of DATA to the 250"
    )
    place: int = 5
    usual: bool = True
    room: int = 4096
    picture: str = "p99, ms"

    def cells(self, choice: Choice) -> Sequence[Cell]:
        """Sessions stay open: senders that come and go would be measured by what a connection costs."""
        return list(dict.fromkeys(Cell(cell.size, cell.sessions) for cell in matrix(choice)))

    async def trials(self, servers: Sequence[Server], cell: Cell, disk: Disk, wanted: Wanted) -> Sequence[Trial]:
        limit = max(120.0, 20 * wanted.seconds)
        works = {server.key: Work(server, cell, disk, limit) for server in servers if "accept" in server.workloads}
        rates: dict[str, float] = {}
        broken: dict[str, str] = {}
        for key, work in works.items():
            try:
                rates[key] = await peak(work, wanted) / 2
            except* Failed as group:
                broken[key] = f"its speed cannot be told: {next(iter(leaves(group)))}"

        def at(key: str, rate: float, label: str, name: str) -> Trial:
            return trial(
                works[key].server, partial(measure, works[key], rate), key=label, name=name,
                count=counted(rate, max(wanted.seconds, _SECONDS)),
            )  # fmt: skip

        found = []
        for key, work in works.items():
            if key in broken:
                found.append(trial(work.server, _raising(broken[key]), count=1))
            else:
                found.append(at(key, rates[key], key, work.server.name))
            if key == "postroad" and key in rates and BESIDE in rates:
                beside = f"{work.server.name} at the rate of {works[BESIDE].server.name}"
                found.append(at(key, rates[BESIDE], f"{key}@{BESIDE}", beside))
        most = max(rates.values(), default=100.0)
        name = "floor: the client → smtp-sink"
        count = counted(most, max(wanted.seconds, _SECONDS))
        return [Trial(CEILING, name, "", "nothing stored", partial(floor, cell, most), count), *found]


def _raising(reason: str) -> Callable[[int], Awaitable[Run]]:
    async def run(_: int) -> Run:
        raise Failed(reason)

    return run


WORKLOAD = Latency()
