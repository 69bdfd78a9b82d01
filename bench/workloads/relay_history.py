"""What the history costs: mail is relayed with it and without it, in turns."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from bench.disks import Disk
from bench.measure import Cell, Trial, Wanted
from bench.servers.base import Server
from bench.servers.postroad import Postroad
from bench.workloads.base import Choice, Work, matrix, trial
from bench.workloads.relay import measure

_SIZE = 4096


@dataclass(frozen=True, slots=True)
class Noting:
    """Postroad as it is shipped, and with `[history] level = "off"`."""

    name: str = "relay-history"
    title: str = "smtp-source → server → smtp-sink, with the history and without it: until the last message has arrived"
    place: int = 13
    usual: bool = False
    room: int = 4096
    picture: str = "messages/s"

    def cells(self, choice: Choice) -> Sequence[Cell]:
        """Messages of 4 KiB, where no others are asked for."""
        return matrix(replace(choice, sizes=choice.sizes or (_SIZE,)))

    async def trials(self, servers: Sequence[Server], cell: Cell, disk: Disk, wanted: Wanted) -> Sequence[Trial]:
        limit = max(120.0, 20 * wanted.seconds)
        found = []
        for server in servers:
            if isinstance(server, Postroad) and self.name in server.workloads:
                without = replace(server, changes={**server.changes, "history.level": "off"})
                found.append(trial(server, partial(measure, Work(server, cell, disk, limit))))
                work, key = Work(without, cell, disk, limit), f"{server.key}@no-history"
                found.append(trial(without, partial(measure, work), key=key, name=f"{server.name}, no history"))
        return found


WORKLOAD = Noting()
