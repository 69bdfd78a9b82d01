"""What a workload gives, and what they share: a fresh server in a fresh folder, and what it uses."""

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, Protocol

import trio

from bench import Failed, load, usage
from bench.disks import Disk
from bench.measure import Cell, Run, Trial, Wanted
from bench.servers.base import Running, Server, Task

SIZES = (4096, 65536)
SESSIONS = (20, 100)

CEILING = "ceiling"
"""The key of the trial with no server in it."""

_PATIENCE = 30.0
"""Seconds after a run in which a store must come to hold what it should: it does that beside the last 250."""


@dataclass(frozen=True, slots=True)
class Work:
    """A server, what it is sent, and where its data is."""

    server: Server
    cell: Cell
    disk: Disk
    limit: float  # seconds that a run may take


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen on the command line of a cell's parts; empty: the workload's own choice."""

    sizes: tuple[int, ...] = ()
    sessions: tuple[int, ...] = ()
    reuse: tuple[bool, ...] = ()
    stored: tuple[int, ...] = ()
    full: bool = False  # every cell, where the choice is the workload's


class Workload(Protocol):
    """One kind of work, and how servers are measured at it."""

    @property
    def name(self) -> str:
        """As given on the command line: "accept"."""

    @property
    def title(self) -> str:
        """One line that says what happens between which two moments."""

    @property
    def place(self) -> int:
        """Where it stands among the others."""

    @property
    def usual(self) -> bool:
        """Whether it is measured when none is named."""

    @property
    def room(self) -> int:
        """MiB that the disk must have."""

    @property
    def picture(self) -> str:
        """What the bars of the picture show: "messages/s", or the name of one of ``Run.figures``."""

    def cells(self, choice: Choice) -> Sequence[Cell]:
        """What to measure, in order."""

    async def trials(self, servers: Sequence[Server], cell: Cell, disk: Disk, wanted: Wanted) -> Sequence[Trial]:
        """Who has a turn in each round: of the servers those that can, and the ceiling where there is one.

        ``Run.figures`` of their runs become columns of their own, by their names in the order they come.
        """


def matrix(choice: Choice) -> list[Cell]:
    """The cells of sizes, sessions and reuse; not ``full``: both sizes with 100 sessions that are reused."""
    sizes = choice.sizes or SIZES
    sessions = choice.sessions or (SESSIONS if choice.full else SESSIONS[-1:])
    reuse = choice.reuse or ((True, False) if choice.full else (True,))
    return [Cell(*parts) for parts in product(sizes, sessions, reuse)]


@asynccontextmanager
async def started(
    work: Work, workload: str, *, kept: Path | None = None, **more: Any
) -> AsyncIterator[tuple[Running, Callable[[], Mapping[str, Any]]]]:
    """A server in a fresh folder, and a function that says what it has used since: ``Run``'s cpu and memory.

    ``kept``: a folder with data in it to start on, which stays.
    """
    with nullcontext(kept) if kept else fresh(work) as folder:
        task = Task(workload, folder, environment=work.disk.environment, **more)
        async with work.server.start(task) as running, used(running) as figures:
            yield running, figures
    await work.disk.settled()


@contextmanager
def fresh(work: Work) -> Iterator[Path]:
    """A folder on its disk, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix=f"{work.server.key}-", dir=work.disk.folder) as name:
        Path(name).chmod(0o755)  # most servers drop their rights
        yield Path(name)


@asynccontextmanager
async def used(running: Running) -> AsyncIterator[Callable[[], Mapping[str, Any]]]:
    """A function that says what a running server has used since the block was entered: ``Run``'s cpu and memory."""
    before = running.group.cpu()
    async with usage.most(running.group.memory) as memory:
        yield lambda: {"cpu": running.group.cpu() - before, "memory": memory()}


async def holds(running: Running, count: int) -> None:
    """Failed when the server's queue does not come to hold so many messages; one that cannot be asked is believed."""
    if running.queued is None:
        return
    with trio.move_on_after(_PATIENCE):
        while running.queued() != count:
            await trio.sleep(0.05)
        return
    raise Failed(f"{running.queued()} messages are in the queue, where {count} should be")


def trial(server: Server, run: Callable[[int], Awaitable[Run]], *, key: str = "", name: str = "", **more: Any) -> Trial:
    """The server's turns. One that has several in a round needs a key and a name for each."""
    return Trial(key or server.key, name or server.name, server.version(), server.durability, run, **more)


def ceiling(cell: Cell) -> Trial:
    """The turns of smtp-source straight into smtp-sink."""
    return Trial(CEILING, "ceiling: smtp-source → smtp-sink", "", "nothing stored", partial(load.ceiling, cell))
