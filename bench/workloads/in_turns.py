"""Workloads in which Postroad is measured beside itself: as it is, and in other ways, in turns."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from bench.disks import Disk
from bench.measure import Cell, Trial, Wanted
from bench.servers.base import Server
from bench.servers.postroad import Postroad
from bench.workloads.base import Choice, Work, matrix

_SIZE = 4096


@dataclass(frozen=True, slots=True)
class InTurns:
    """``ways``: the trials of one Postroad, the first of them as it is."""

    name: str
    title: str
    ways: Callable[[Postroad, Work], Iterable[Trial]]
    place: int = 13
    usual: bool = False
    room: int = 4096
    picture: str = "messages/s"

    def cells(self, choice: Choice) -> Sequence[Cell]:
        """Messages of 4 KiB, where no others are asked for."""
        return matrix(replace(choice, sizes=choice.sizes or (_SIZE,)))

    async def trials(self, servers: Sequence[Server], cell: Cell, disk: Disk, wanted: Wanted) -> Sequence[Trial]:
        limit = max(120.0, 20 * wanted.seconds)
        able = [server for server in servers if isinstance(server, Postroad) and self.name in server.workloads]
        return [one for server in able for one in self.ways(server, Work(server, cell, disk, limit))]
