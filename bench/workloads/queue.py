"""Queue: how long an operator waits for answers about very much mail that waits, and about a message on its way."""

import shlex
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio

from bench import Failed
from bench.backlog import ORIGIN, Backlog
from bench.disks import Disk
from bench.load import send, sink
from bench.measure import Cell, Part, Run, Trial, Wanted
from bench.servers.base import DOMAIN, Server
from bench.servers.postroad import ROOT, Postroad
from bench.workloads.backlog import WAITING, beside, kept
from bench.workloads.base import Choice, Work, started, trial

LIMIT = 1.0
"""Seconds that an answer may take."""

_SIZE = 4096
_TOGETHER = 500
"""Messages that smtp-source sends, before it is started again."""

ASKED = (
    f"queue list --count 'domain == \"d0007.{ORIGIN}\"'",
    "queue list --count 'age > 12h and attempts >= 3'",
    "queue list --count 'reply like \"*refused*\"'",
    "queue list --limit 100",
    "queue list --limit 100 --sort age",
    f"queue list 'line == \"d0007.{ORIGIN}\"'",
    "queue top",
    "queue top --by reply",
    f"queue hold --dry-run 'domain == \"d0007.{ORIGIN}\"'",
    f"explain u@{DOMAIN}",
)
"""Nothing of it changes what waits, so that each round begins with the same."""


async def measure(work: Work, backlog: Backlog, _count: int, *, busy: bool) -> Run:
    """Each question once. ``busy``: while smtp-source sends as fast as it can, and all of it is relayed."""
    backlog.turn_anew()
    await work.disk.settled()
    folder = backlog.data.parent
    async with AsyncExitStack() as stack:
        port, _ = await stack.enter_async_context(sink())
        running, used = await stack.enter_async_context(started(work, "queue", kept=folder, next_hop=port))
        await send(work.cell, 1, running.port, limit=work.limit)  # about which one can ask
        nursery = await stack.enter_async_context(trio.open_nursery())
        if busy:
            nursery.start_soon(_keep_sending, work, running.port)
        began = trio.current_time()
        parts = {line: Part(await _answer(folder, line, work.limit), most=LIMIT) for line in ASKED}
        nursery.cancel_scope.cancel()
        return Run(len(ASKED), trio.current_time() - began, parts=parts, **used())


async def _keep_sending(work: Work, port: int) -> None:
    while True:
        await send(work.cell, _TOGETHER, port)


async def _answer(folder: Path, line: str, limit: float) -> float:
    """Seconds that a command takes, with the start of its process."""
    command = [sys.executable, "-m", "engine", "--config", str(folder / "pipeline.toml"), *shlex.split(line)]
    began = trio.current_time()
    with trio.move_on_after(limit):
        done = await trio.run_process(command, cwd=ROOT, check=False, capture_stdout=True, capture_stderr=True)
        if done.returncode:
            raise Failed(f"{line}: {done.stderr.decode(errors='replace').strip()[-300:]}")
        return trio.current_time() - began
    raise Failed(f"{line}: no answer within {limit:.0f} s")


@dataclass(frozen=True, slots=True)
class Asked:
    """Postroad beside which nothing else happens, and one that relays as fast as it can."""

    messages: int = WAITING
    name: str = "queue"
    title: str = "an operator's command → its answer, in seconds, about a queue of very much mail"
    place: int = 14
    usual: bool = False
    room: int = 8192
    picture: str = ""

    def cells(self, choice: Choice) -> Sequence[Cell]:
        """One."""
        return [Cell(_SIZE, (choice.sessions or (20,))[0], backlog=self.messages)]

    async def trials(self, servers: Sequence[Server], cell: Cell, disk: Disk, wanted: Wanted) -> Sequence[Trial]:
        limit = max(120.0, 20 * wanted.seconds)
        backlog = await kept(disk, self.name, cell.backlog)
        found = []
        for server in servers:
            if isinstance(server, Postroad) and self.name in server.workloads:
                work = Work(beside(server, backlog), cell, disk, limit)
                found.append(trial(server, partial(measure, work, backlog, busy=False)))
                busy, name = partial(measure, work, backlog, busy=True), f"{server.name}, relaying"
                found.append(trial(server, busy, key=f"{server.key}@busy", name=name))
        return found


WORKLOAD = Asked()
