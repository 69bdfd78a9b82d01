"""Backlog: mail is relayed as ever while very much waits for sites that are dead; and how soon after a restart."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial

from bench import usage
from bench.backlog import Backlog
from bench.disks import Disk
from bench.load import send, sink
from bench.measure import Cell, Run, Trial, Wanted
from bench.servers.base import DOMAIN, Server
from bench.servers.postroad import Postroad, zone
from bench.workloads.base import Choice, Work, holds, matrix, started, trial

WAITING = 1_000_000
"""Messages in the queue, where no other number is asked for."""

_SIZE = 4096


async def measure(work: Work, backlog: Backlog | None, count: int) -> Run:
    """Until smtp-sink has taken the last message; what waits must still be there then."""
    if backlog is not None:
        backlog.turn_anew()
        await work.disk.settled()
    folder = None if backlog is None else backlog.data.parent
    async with AsyncExitStack() as stack:
        port, arrived = await stack.enter_async_context(sink())
        running, used = await stack.enter_async_context(started(work, "backlog", kept=folder, next_hop=port))
        anonymous = await stack.enter_async_context(usage.most(running.group.anonymous))
        before = arrived()
        first = await send(work.cell, 1, running.port, lambda: arrived() - before, limit=work.limit)
        sent = await send(work.cell, count, running.port, lambda: arrived() - before - 1, limit=work.limit)
        figures = {
            "ready, s": running.ready,
            "first delivery, s": first.arrived,
            "anonymous memory, MiB": anonymous() / 2**20,
        }
        run = Run(count, sent.arrived, figures=figures, **used())
        await holds(running, backlog.messages if backlog else 0)
    return run


async def kept(disk: Disk, name: str, messages: int) -> Backlog:
    """So many messages in a folder of that name, made for the first round of them."""
    folder = disk.folder / f"{name}-{messages}"
    folder.mkdir(exist_ok=True)
    backlog = Backlog(folder / "var", messages)
    await backlog.make()
    return backlog


def beside(server: Postroad, backlog: Backlog) -> Postroad:
    """The server, which finds the sites that mail waits for."""
    changes = {**server.changes, "stage.relay.allow_networks": ["127.0.0.0/8"]}
    return replace(server, changes=changes, zones=(zone(DOMAIN), backlog.zone()))


@dataclass(frozen=True, slots=True)
class Waiting:
    """Postroad with an empty queue, and with one in which mail waits: the same mail in each round, made once."""

    messages: int = WAITING
    name: str = "backlog"
    title: str = (
        "smtp-source → server → smtp-sink, beside mail that waits for 1,000 sites that refuse connections: "
        "until the last message has arrived"
    )
    place: int = 10
    usual: bool = False
    room: int = 8192
    picture: str = "messages/s"

    def cells(self, choice: Choice) -> Sequence[Cell]:
        """One, where no others are asked for."""
        chosen = replace(choice, sizes=choice.sizes or (_SIZE,), full=False)
        return [replace(cell, backlog=self.messages) for cell in matrix(chosen)]

    async def trials(self, servers: Sequence[Server], cell: Cell, disk: Disk, wanted: Wanted) -> Sequence[Trial]:
        limit = max(120.0, 20 * wanted.seconds)
        backlog = await kept(disk, self.name, cell.backlog)
        found = []
        for server in servers:
            if isinstance(server, Postroad) and self.name in server.workloads:
                work = Work(beside(server, backlog), cell, disk, limit)
                name = f"{server.name}, {cell.backlog:,} waiting"
                found.append(trial(server, partial(measure, work, None), name=f"{server.name}, nothing waiting"))
                found.append(trial(server, partial(measure, work, backlog), key=f"{server.key}@backlog", name=name))
        return found


WORKLOAD = Waiting()
