"""The tables of what is remembered: in LMDB, and in a Valkey or Redis that several nodes share where there is one.

Nothing is synced with a message. All outlives every process; a start of the machine it outlives by a copy that is
made once an hour: what was learnt since then is learnt again.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, Protocol, Self, TypeVar

import lmdb
import trio

from engine.abuse.bells import Bells
from engine.abuse.table import MOST, Changes, Decide, Table
from engine.directory import Unavailable
from engine.observe.events import event
from engine.scanning.guard import Unreachable
from engine.storage.boot import UNKNOWN, this_boot
from engine.storage.environment import StorageError, open_environment, plain, translated
from engine.storage.files import sync
from engine.storage.store import Store

T = TypeVar("T")

MAP_SIZE = 2**30
"""Address space in octets: far more than full tables take."""

COPY = 3600.0
"""Seconds between two copies."""

NAMES = (
    "triplets", "accounts", "contacts", "suspects", "networks", "allowances", "sites", "egress", "connections",
    "replies",
)  # fmt: skip

_MOST = {"sites": 20_000}
"""Entries, where a table is to be smaller than others."""


class Server(Protocol):
    """Where several nodes keep their tables, and by which they wake each other. All may raise Unreachable."""

    async def read(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]: ...

    async def change(self, table: str, keys: Sequence[bytes], decide: Decide[T]) -> tuple[T, Changes]: ...

    async def ring(self, who: str) -> bool: ...

    async def hear(self, who: str, heard: Callable[[], None], wanted: Callable[[], bool]) -> None: ...


class Tables(Store):
    """The open tables. One object a process.

    ``server`` is where they are shared, if anywhere. ``strict``: nothing is done while that is out of reach.
    """

    def __init__(self, folder: Path, environment: lmdb.Environment, clock: Callable[[], float] = time.time) -> None:
        super().__init__(environment)
        self.server: Server | None = None
        self.strict = False
        self.bells = Bells(lambda: self.server)
        self._folder = folder
        self._tables = {
            name: SharedTable(self, Table(environment, name, most=_MOST.get(name, MOST), clock=clock)) for name in NAMES
        }
        self._copied = -1  # the last transaction that the copy has

    @classmethod
    def open(cls, folder: Path, clock: Callable[[], float] = time.time) -> Self:
        """Open the tables within ``folder``, and make them if need be. Unavailable."""
        boot = this_boot()
        path = folder / boot.hex()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with (folder / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not path.exists():
                    _bring_back(folder, path)
            environment = open_environment(path, map_size=MAP_SIZE, databases=len(NAMES), sync=boot == UNKNOWN)
            return cls(folder, environment, clock)
        except (OSError, StorageError, lmdb.Error) as error:
            raise Unavailable(plain(error)) from error

    def __getitem__(self, name: str) -> "SharedTable":
        return self._tables[name]

    async def run(self) -> NoReturn:
        """Sweep and copy now and then. In one process of the server."""
        while True:
            await trio.sleep(COPY)
            try:
                await trio.to_thread.run_sync(self.tidy)
            except (StorageError, OSError) as error:
                event("memory-not-copied", error=str(error))

    def tidy(self) -> None:
        """Forget what has ended, and copy the rest for the next start of the machine. StorageError, OSError."""
        for table in self._tables.values():
            table.local.sweep()
        now = self.changes
        if now != self._copied:
            self._copy()
            self._copied = now

    def _copy(self) -> None:
        new = self._folder / "new"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        try:
            self._environment.copy(str(new), compact=True)
        except lmdb.Error as error:
            raise translated(error) from error
        sync(new / "data.mdb")
        shutil.rmtree(self._folder / "copy", ignore_errors=True)  # between this and the next line there is none
        new.rename(self._folder / "copy")
        sync(self._folder)


def _bring_back(folder: Path, path: Path) -> None:
    """Begin with the copy. What an earlier start of the machine has left may be broken, and goes."""
    for old in folder.iterdir():
        if old.is_dir() and old.name != "copy":
            shutil.rmtree(old, ignore_errors=True)
    if (folder / "copy").exists():
        new = folder / "begun"
        shutil.copytree(folder / "copy", new, ignore=shutil.ignore_patterns("lock.mdb"))
        os.rename(new, path)


class SharedTable:
    """A table, wherever it is. While its server is out of reach, that of this machine goes on.

    Every method may raise StorageError, and Unreachable where the tables are strict.
    """

    def __init__(self, tables: Tables, local: Table) -> None:
        self._tables = tables
        self.local = local

    async def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values of the keys. Gives up control only where the table is shared."""
        if self._tables.server is not None:
            try:
                return await self._tables.server.read(self.local.name, keys)
            except Unreachable:  # which its guard has told
                pass
        return self.local.read(keys)

    async def change(self, keys: Sequence[bytes], decide: Decide[T]) -> T:
        """Apply what ``decide`` says about the values of the keys; its answer.

        What changes on the server changes here too, so that it is known while that is out of reach.
        """
        if self._tables.server is not None:
            try:
                answer, changes = await self._tables.server.change(self.local.name, keys, decide)
            except Unreachable:
                if self._tables.strict:
                    raise
            else:
                await trio.to_thread.run_sync(self.local.apply, changes)
                return answer
        return await trio.to_thread.run_sync(self.local.change, keys, decide)
