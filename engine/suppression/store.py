"""The suppression list on disk, shared by all processes: read by the stage, filled by what servers say, and by hand.

Two databases with the same keys, tenant NUL entry. Rows: who is on the list. Counts: what was said of whom so far.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn, Self, TypeAlias, TypeVar

import lmdb
import msgspec
import trio

from engine.config import Fill
from engine.directory import Invalid, Unavailable, split
from engine.observe.events import event
from engine.storage.environment import StorageError, open_environment, reason
from engine.storage.store import Store
from engine.suppression.entries import Row

T = TypeVar("T")
Transaction: TypeAlias = "lmdb.Transaction[bytes]"

FOLDER = "suppression"
"""In the data folder."""

MAP_SIZE = 2**34
"""Octets of address space: some hundred million entries."""

BATCH = 10_000
"""Rows of one transaction of an import."""

PAGE = 1000
"""Entries that are read at once."""

SWEEP = 3600.0
"""Seconds between two sweeps."""

_LONGEST = 500  # octets of a key; LMDB takes 511


class _Count(msgspec.Struct, frozen=True, array_like=True):
    """Times that something of this class was said of a recipient, since when, and when that ends to count."""

    which: str
    times: int
    since: float
    until: float


_encode = msgspec.msgpack.Encoder().encode
_row = msgspec.msgpack.Decoder(Row).decode
_count = msgspec.msgpack.Decoder(_Count).decode


LEFT = "unsubscribe"
"""The class of who has left a list."""


class Suppressions(Store):
    """The open list. One object a process, shared by its threads. Every method may raise Unavailable."""

    def __init__(self, environment: lmdb.Environment, clock: Callable[[], float] = time.time) -> None:
        super().__init__(environment)
        self._rows = environment.open_db(b"rows")
        self._counts = environment.open_db(b"counts")
        self._clock = clock

    @classmethod
    def open(cls, data: Path, clock: Callable[[], float] = time.time) -> Self:
        """Open, and make if need be, the list in the data folder."""
        path = data / FOLDER
        try:
            return cls(open_environment(path, map_size=MAP_SIZE, databases=2), clock)
        except StorageError as error:
            raise Unavailable(str(error)) from error
        except lmdb.Error as error:
            raise Unavailable(f"cannot read the suppression list in {path}: {reason(error)}") from error

    def says(self, address: str, tenant: str = "") -> Row | None:
        """What counts for this recipient: the address before its domain, the tenant's own before what is for all."""
        return self._do(lambda txn: self._says(txn, address, tenant), write=False)

    def _says(self, txn: Transaction, address: str, tenant: str) -> Row | None:
        name = split(address)
        if name is None:
            return None
        now = self._clock()
        for whose in dict.fromkeys((tenant, "")):
            for entry in ("@".join(name), name[1]):
                value = txn.get(_key(whose, entry), db=self._rows)
                if value and not _is_over(found := _row(value), now):
                    return found
        return None

    def rows(self, tenant: str | None = None, behind: str = "") -> Iterator[Row]:
        """All rows, or those of one tenant ("": of all), in order; read bit by bit, so that nothing is held open.

        ``behind``: of one tenant those alone that come behind this entry.
        """
        prefix = b"" if tenant is None else _key(tenant, "")
        after = _key(tenant, behind) + b"\0" if tenant is not None and behind else prefix
        while some := self._page(self._rows, prefix, after):
            for key, value in some:
                found = _row(value)
                if not _is_over(found, self._clock()):
                    yield found
                after = key + b"\0"

    def _page(self, database: Any, prefix: bytes, after: bytes) -> list[tuple[bytes, bytes]]:
        """Some entries that begin with the prefix, from a key on."""

        def found(txn: Transaction) -> list[tuple[bytes, bytes]]:
            cursor = txn.cursor(database)
            if not cursor.set_range(after or b"\0"):
                return []
            some = islice(cursor, PAGE)
            return [(bytes(key), bytes(value)) for key, value in some if key.startswith(prefix)]

        return self._do(found, write=False)

    def put(self, rows: Iterable[Row]) -> int:
        """Add them, or put them in the place of those that are there. How many. Invalid."""
        pairs = [(_checked(row), _encode(self._dated(row))) for row in rows]
        self._do(lambda txn: txn.cursor(self._rows).putmulti(pairs))
        return len(pairs)

    def _dated(self, row: Row) -> Row:
        return row if row.since else msgspec.structs.replace(row, since=self._clock())

    def remove(self, entry: str, tenant: str = "") -> bool:
        """Take one away, and forget what was said. Whether it was there."""

        def change(txn: Transaction) -> bool:
            key = _key(tenant, entry)
            txn.delete(key, db=self._counts)
            return bool(txn.delete(key, db=self._rows))

        return self._do(change)

    def heard(self, which: str, address: str, tenant: str, fills: Mapping[str, Fill], note: str = "") -> Row | None:
        """A server, or the recipient, has said something of this class. The row, if that puts it onto the list.

        A complaint or an unsubscription is heard in the same way as a reply.
        """
        fill, name = fills.get(which), split(address)
        if fill is None or not fill.after or name is None:
            return None
        entry = "@".join(name)
        if len(_key(tenant, entry)) > _LONGEST:
            return None
        return self._do(lambda txn: self._heard(txn, entry, tenant, fill, note))

    def leave(self, address: str, fills: Mapping[str, Fill], note: str = "") -> Row | None:
        """Somebody wants no more mail, of whichever tenant. The row; None if it is there already, or not to be."""
        found = self.says(address)
        return None if found and found.which == LEFT else self.heard(LEFT, address, "", fills, note)

    def _heard(self, txn: Transaction, entry: str, tenant: str, fill: Fill, note: str) -> Row | None:
        key, now = _key(tenant, entry), self._clock()
        value = txn.get(key, db=self._counts)
        before = _count(value) if value else None
        if before is None or before.which != fill.name or before.until <= now:
            before = _Count(fill.name, 0, now, now + fill.within)
        times = before.times + 1
        if times < fill.after:
            counted = msgspec.structs.replace(before, times=times)
            txn.put(key, _encode(counted), db=self._counts)
            return None
        row = Row(entry, fill.name, tenant, now, now + fill.keep if fill.keep else 0.0, note[:200])
        txn.put(key, _encode(row), db=self._rows)
        txn.delete(key, db=self._counts)
        return row

    async def run(self) -> NoReturn:
        """Sweep now and then. In one process of the server."""
        while True:
            await trio.sleep(SWEEP)
            try:
                await trio.to_thread.run_sync(self.sweep)
            except Unavailable as error:
                event("suppression-not-swept", error=str(error))

    def sweep(self) -> None:
        """Forget what is over, bit by bit, so that nobody waits for it."""
        now = self._clock()
        self._sweep(self._rows, lambda value: _is_over(_row(value), now))
        self._sweep(self._counts, lambda value: _count(value).until <= now)

    def _sweep(self, database: Any, over: Callable[[bytes], bool]) -> None:
        after = b""
        while some := self._page(database, b"", after):
            gone = [key for key, value in some if over(value)]
            if gone:
                self._do(partial(_delete, database=database, keys=gone, over=over))
            after = some[-1][0] + b"\0"

    def _do(self, what: Callable[[Transaction], T], *, write: bool = True) -> T:
        try:
            return super()._do(what, write=write)
        except StorageError as error:
            raise Unavailable(str(error)) from error


def _delete(txn: Transaction, database: Any, keys: list[bytes], over: Callable[[bytes], bool]) -> None:
    """Those of which that still holds."""
    for key in keys:
        value = txn.get(key, db=database)
        if value is not None and over(value):
            txn.delete(key, db=database)


def _is_over(row: Row, now: float) -> bool:
    return bool(row.until) and row.until <= now


def _key(tenant: str, entry: str) -> bytes:
    return f"{tenant}\0{entry}".encode("utf-8", "surrogatepass")


def _checked(row: Row) -> bytes:
    key = _key(row.tenant, row.entry)
    if len(key) > _LONGEST:
        raise Invalid(f"{row.entry!r} is too long")
    return key
