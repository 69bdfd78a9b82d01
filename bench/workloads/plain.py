"""Workloads that differ only in what a server does with the mail: all of it is sent at once, and then it is over."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from bench.disks import Disk
from bench.measure import Cell, Run, Trial, Wanted
from bench.servers.base import NUMBERS, Server
from bench.workloads.base import Choice, Work, ceiling, matrix, trial

Measure = Callable[[Work, int], Awaitable[Run]]
"""So many messages through a fresh server."""


@dataclass(frozen=True, slots=True)
class Plain:
    """A workload with the usual cells, one trial a server, and the ceiling."""

    name: str
    title: str
    place: int
    measure: Measure
    usual: bool = True
    room: int = 4096
    picture: str = "messages/s"
    most: int | None = None  # messages in a run

    def cells(self, choice: Choice) -> Sequence[Cell]:
        return matrix(choice)

    async def trials(self, servers: Sequence[Server], cell: Cell, disk: Disk, wanted: Wanted) -> Sequence[Trial]:
        limit = max(120.0, 20 * wanted.seconds)
        able = [server for server in servers if self.name in server.workloads]
        return [
            ceiling(cell),
            *(trial(server, partial(self.measure, Work(server, cell, disk, limit)), most=self.most) for server in able),
        ]


MOST_NUMBERED = NUMBERS - 1
"""Messages in a run with numbered recipients, each of which has a number of its own."""
