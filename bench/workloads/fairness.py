"""Fairness: how long mail for healthy small sites takes while some others are bad, and one gets half of all mail."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial

import trio

from bench import Failed
from bench.disks import Disk
from bench.latency import Sent, quantile
from bench.measure import Cell, Run, Trial, Wanted, counted
from bench.servers.base import Server
from bench.servers.postroad import Postroad
from bench.sites import LARGE, Kind, Sites, send, sink
from bench.workloads.base import Choice, Work, holds, matrix, started, trial

SITES = 10_000

_BAD = 0.01
"""The share of the sites that is slow or dead."""

_SIZE = 4096

_SESSIONS = 40

_SECONDS = 60.0
"""Seconds of a run at least: only one message in 200 is for a bad site, and their trouble gathers."""

_PEAK = 4000
"""Messages of the run that tells how fast the server is, all sent at once."""

_AT_ONCE = 1e6
"""Messages a second, which no server reaches."""

_PATIENCE = 60.0
"""Seconds after the last 250 in which all mail for healthy sites must have arrived."""


async def measure(work: Work, sites: Sites, rate: float, count: int) -> Run:
    """``count`` messages, at ``rate`` messages a second."""
    destinations = sites.destinations(count)
    kinds = [sites.kind(site) for site in destinations]
    wanted = {number for number, kind in enumerate(kinds) if kind is Kind.HEALTHY}
    small = [number for number in wanted if destinations[number] != LARGE]
    async with sink(sites) as (port, arrived), started(work, "fairness", next_hop=port) as (running, used):
        sent = await send(sites, running.port, work.cell, rate, count)
        await _all(wanted, arrived)
        last = max(map(arrived.__getitem__, wanted))
        figures = _figures([arrived[number] - sent[number].written for number in small], sent)
        run = Run(len(wanted), last - sent[0].written, figures=figures, **used())
        # Slow sites take their mail in the end; what the others do not take must still be there.
        await holds(running, sum(kind in (Kind.DEAD, Kind.SILENT) for kind in kinds))
    return run


async def _all(wanted: Collection[int], arrived: Collection[int]) -> None:
    with trio.move_on_after(_PATIENCE):
        while not all(number in arrived for number in wanted):
            await trio.sleep(0.1)
        return
    lost = sum(number not in arrived for number in wanted)
    raise Failed(f"{lost} of {len(wanted)} messages for healthy sites have not arrived after {_PATIENCE:.0f} s")


def _figures(times: Sequence[float], sent: Sequence[Sent]) -> dict[str, float]:
    ordered, late = sorted(times), sorted(one.late for one in sent)
    shown = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
    figures = {f"{name}, ms": quantile(ordered, share) * 1000 for name, share in shown.items()}
    return figures | {"late, ms": quantile(late, 0.99) * 1000}


@dataclass(frozen=True, slots=True)
class Fairness:
    """Postroad with healthy sites only, and with some bad ones, at half the speed that it has with healthy ones."""

    sites: int = SITES
    seconds: float = _SECONDS  # of a run at least
    name: str = "fairness"
    title: str = (
        "the open-loop client → server → 10,000 sites, one of which gets half of all mail: from the last octet of "
        "DATA to the arrival at a healthy small site"
    )
    place: int = 11
    usual: bool = False
    room: int = 4096
    picture: str = "p99, ms"

    def cells(self, choice: Choice) -> Sequence[Cell]:
        """One, where no others are asked for. Sessions stay open, as in `latency`."""
        chosen = replace(choice, sizes=choice.sizes or (_SIZE,), sessions=choice.sessions or (_SESSIONS,))
        return list(dict.fromkeys(Cell(cell.size, cell.sessions) for cell in matrix(chosen)))

    async def trials(self, servers: Sequence[Server], cell: Cell, disk: Disk, wanted: Wanted) -> Sequence[Trial]:
        limit = max(120.0, 20 * wanted.seconds)
        healthy, some_bad = Sites(self.sites), Sites(self.sites, max(3, round(self.sites * _BAD)))
        found = []
        for server in servers:
            if isinstance(server, Postroad) and self.name in server.workloads:
                changes = {**server.changes, "stage.relay.allow_networks": ["127.0.0.0/8"]}
                work = Work(replace(server, changes=changes, zones=(healthy.zone(),)), cell, disk, limit)
                rate = (await measure(work, healthy, _AT_ONCE, wanted.count or _PEAK)).rate / 2
                count = counted(rate, max(wanted.seconds, self.seconds))
                name = f"{server.name}, {_BAD:.0%} of the sites bad"
                of_all, of_some = partial(measure, work, healthy, rate), partial(measure, work, some_bad, rate)
                found.append(trial(server, of_all, name=f"{server.name}, all sites healthy", count=count))
                found.append(trial(server, of_some, key=f"{server.key}@bad", name=name, count=count))
        return found


WORKLOAD = Fairness()
