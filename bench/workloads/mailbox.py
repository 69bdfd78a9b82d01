"""Mailbox: all that mail programs do with a mailbox of 10,000 and of 200,000 messages, line by line."""

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import trio

from bench import Failed
from bench.disks import Disk
from bench.mailbox import client, stock
from bench.mailbox.lines import LINES, Bench, Line, measured, picked
from bench.mailbox.stock import Stock
from bench.measure import Cell, Run, Trial, Wanted
from bench.servers.base import Server, Task, written
from bench.workloads.base import Choice, Work, trial, used
from engine.index.progress import progress
from engine.mailbox import Mailboxes

MESSAGES = (10_000, 200_000)
"""In the large mailbox."""

STORES = os.environ.get("POSTROAD_STORES", "")
"""A folder in which filled mailboxes are kept: to fill 200,000 messages takes longer than to measure."""

_IDLE = 1000
"""Sessions in IDLE."""

_CALM = 5.0
"""Seconds after which memory is looked at: Dovecot's sessions have all gone to sleep then."""

_CLIENTS = 2

_LINES = 4.0
"""Part of the seconds that a run is to take that a line takes: there are more lines, and most are over sooner."""


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Mailbox:
    """Each server that mail is read from. There is no ceiling: smtp-source and smtp-sink do not read."""

    lines: Sequence[Line] = LINES
    idle: int = _IDLE
    calm: float = _CALM
    folders: int = 200
    small: int = 100
    name: str = "mailbox"
    title: str = (
        "all that mail programs do with mailboxes: one with 10,000 or 200,000 messages of 10 KiB on the average, one "
        "with 200 folders, and 100 small ones"
    )
    place: int = 12
    usual: bool = False
    room: int = 16384
    picture: str = ""

    def cells(self, choice: Choice) -> Sequence[Cell]:
        """One for each size of the large mailbox."""
        return [Cell(stored=count) for count in choice.stored or MESSAGES]

    async def trials(self, servers: Sequence[Server], cell: Cell, disk: Disk, wanted: Wanted) -> Sequence[Trial]:
        limit = max(1800.0, 100 * wanted.seconds)
        where = _kept(disk)
        made = Stock(cell.stored, folders=self.folders, small=self.small)
        lines = picked(self.lines, wanted.lines)
        found = []
        for server in servers:
            if self.name in server.workloads:
                folder = where / f"mailbox-{cell.stored}-{server.key}"
                work = Work(server, cell, disk, limit)
                run = partial(self._measure, work, folder, made, lines, seconds=wanted.seconds / _LINES)
                found.append(trial(server, run, count=cell.stored))
        return [replace(one, durability="synced before OK") for one in found]

    async def _measure(
        self, work: Work, folder: Path, made: Stock, lines: Sequence[Line], count: int, *, seconds: float
    ) -> Run:
        """The lines, one after the other. The mailboxes are filled before the first time, and left as they were."""
        if not stock.is_filled(folder, made):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            folder.chmod(0o755)  # most servers drop their rights
            await _fill(work, folder, made)
            await work.disk.settled()
        task = Task(self.name, folder, environment=work.disk.environment)
        async with AsyncExitStack() as stack:
            running = await stack.enter_async_context(work.server.start(task))
            clients = [await stack.enter_async_context(client.started()) for _ in range(_CLIENTS)]
            figures = await stack.enter_async_context(used(running))
            bench = Bench(running, folder, made, stock.passwords_in(folder), clients, seconds, self.idle, self.calm)
            started = time.perf_counter()
            parts = await measured(bench, lines)
            return Run(count, time.perf_counter() - started, parts=parts, **figures())


def _kept(disk: Disk) -> Path:
    """Where the filled mailboxes lie: a folder that outlives the call, if one is named, else the disk under test."""
    if not STORES:
        return disk.folder
    if Path(STORES).stat().st_dev != disk.folder.stat().st_dev:
        raise Failed(f"{STORES}, which POSTROAD_STORES names, is not on the disk under test: {disk.file_system}")
    return Path(STORES)


async def _fill(work: Work, folder: Path, made: Stock) -> None:
    if work.server.key == "postroad":
        passwords, sizes = await stock.fill_store(folder / "var", made)
    else:
        passwords = made.passwords
        lines = (
            f"{user}:{{SHA256.HEX}}{hashlib.sha256(password.encode()).hexdigest()}\n"
            for user, password in passwords.items()
        )
        written(folder / "users", "".join(lines))
        (folder / "mail").mkdir(exist_ok=True)
        shutil.chown(folder / "mail", "mail")
        async with work.server.start(Task("mailbox", folder)) as running:
            assert running.imap is not None
            sizes = await _in_thread(stock.fill_by_imap, running.imap, made)
    async with work.server.start(Task("mailbox", folder)) as running:
        if running.imap is not None:
            await _in_thread(stock.prime, running.imap, passwords)
        if work.server.key == "postroad":
            await _until_indexed(folder / "var")
    stock.filled(folder, made, passwords, sizes)


async def _until_indexed(data: Path) -> None:
    """Wait for the index, which is built in the background: no mail program comes upon 200,000 new messages."""
    with closing(Mailboxes.open(data / "mailbox")) as mailboxes:
        while True:
            found = await _in_thread(progress, mailboxes, data / "index", None)
            if found.known >= found.messages:
                return
            await trio.sleep(0.2)


async def _in_thread(function: Callable[..., T], *arguments: Any) -> T:
    return await trio.to_thread.run_sync(partial(function, *arguments), abandon_on_cancel=True)


WORKLOAD = Mailbox()
