"""What the workloads under TLS share: how they are measured, their cells, and their ceiling."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from bench import Failed, encrypted
from bench.disks import Disk
from bench.measure import Cell, Run, Trial, Wanted
from bench.servers.base import Server
from bench.workloads.base import CEILING, SIZES, Choice, Work, holds, matrix, started, trial
from bench.workloads.plain import Measure


async def through(work: Work, count: int, workload: str, *, signed: bool) -> Run:
    """Until the sink has taken the last message, by way of a fresh server. Failed when one is not ``signed``."""
    with tempfile.TemporaryDirectory(prefix="keys-") as name:
        Path(name).chmod(0o755)
        keys = encrypted.Keys.made(Path(name))
        async with (
            encrypted.sink(keys) as (port, arrived),
            started(work, workload, next_hop=port, keys=keys, signed=signed) as (running, used),
        ):
            sent = await encrypted.send(
                work.cell, count, running.port, lambda: arrived().messages, limit=work.limit
            )  # fmt: skip
            spent = used()
            if signed and arrived().signed != count:
                raise Failed(f"only {arrived().signed} of {count} messages came with a signature")
            figures = {"taken in, messages/s": count / sent.accepted, "messages a CPU second": count / spent["cpu"]}
            run = Run(count, sent.arrived, figures=figures, **spent)
            await holds(running, 0)
    return run


@dataclass(frozen=True, slots=True)
class UnderTls:
    """A workload with one trial a server, and the ceiling. Sessions stay open."""

    name: str
    title: str
    place: int
    measure: Measure
    sizes: tuple[int, ...] = SIZES
    usual: bool = False
    room: int = 8192
    picture: str = "messages/s"

    def cells(self, choice: Choice) -> Sequence[Cell]:
        chosen = replace(choice, sizes=choice.sizes or self.sizes)
        return list(dict.fromkeys(Cell(cell.size, cell.sessions) for cell in matrix(chosen)))

    async def trials(self, servers: Sequence[Server], cell: Cell, disk: Disk, wanted: Wanted) -> Sequence[Trial]:
        limit = max(120.0, 20 * wanted.seconds)
        able = [server for server in servers if self.name in server.workloads]
        works = {server.key: Work(server, cell, disk, limit) for server in able}
        return [
            Trial(CEILING, "ceiling: the source → the sink, TLS", "", "nothing stored", partial(_ceiling, cell)),
            *(trial(server, partial(self.measure, works[server.key])) for server in able),
        ]


async def _ceiling(cell: Cell, count: int) -> Run:
    with tempfile.TemporaryDirectory(prefix="keys-") as name:
        return await encrypted.ceiling(encrypted.Keys.made(Path(name)), cell, count)
