"""Counts of mail, by domain and day, until they are reported. All processes add to them; one takes them out.

======== =================================== =================================================================
database key                                 value
======== =================================== =================================================================
domains  day, digest of the domain           MessagePack list: the policy last seen, number of rows, claimed
rows     day, digest of domain, digest of row MessagePack list: the row, how many messages
======== =================================== =================================================================

A day is that of Unix time, in 4 octets; digests have 16. ``claimed``: the report may have gone out, so that it is never
sent again.
"""

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Self, TypeAlias, TypeVar

import lmdb
import msgspec

from engine.reports.rows import Observed, Published, Row
from engine.storage.environment import StorageError, open_environment, translated
from engine.storage.store import Store

T = TypeVar("T")
Transaction: TypeAlias = "lmdb.Transaction[bytes]"

DAY = 86_400

MAP_SIZE = 2**30
"""Octets that the counts may take on disk."""

MOST_DOMAINS = 20_000
"""Domains that are reported about: nobody makes us send without end by making up names in a zone of his own."""

MOST_ROWS = 200_000
"""Rows of all domains."""

ROWS_OF_ONE = 10_000
"""Rows of one domain in a day: its report fits into a message, and it leaves room to others."""

GATHERED = 2_000
"""Rows in memory after which they are written without waiting."""

_DIGEST = 16


class _Domain(msgspec.Struct, array_like=True):
    published: Published
    rows: int = 0
    claimed: bool = False


_DOMAIN = msgspec.msgpack.Decoder(_Domain)
_ROW = msgspec.msgpack.Decoder(tuple[Row, int])
_encode = msgspec.msgpack.Encoder().encode


class Key(NamedTuple):
    """One report that is due."""

    day: int
    digest: bytes

    @property
    def octets(self) -> bytes:
        return self.day.to_bytes(4, "big") + self.digest


class Gathered:
    """What a process has seen and not yet written."""

    def __init__(self) -> None:
        self.published: dict[tuple[int, str], Published] = {}
        self.rows: Counter[tuple[int, str, Row]] = Counter()

    def add(self, day: int, found: Observed) -> None:
        domain = found.published.domain
        self.published[day, domain] = found.published
        self.rows[day, domain, found.row] += 1


class Counts(Store):
    """The open store. One object a process, shared by its threads. Every method may raise StorageError."""

    def __init__(self, environment: lmdb.Environment) -> None:
        super().__init__(environment)
        self._domains, self._rows = (environment.open_db(name) for name in (b"domains", b"rows"))

    @classmethod
    def open(cls, path: Path, map_size: int = MAP_SIZE) -> Self:
        """Open, and make if need be, the store in the folder ``path``."""
        return cls(open_environment(path, map_size=map_size, databases=2))

    def write(self, gathered: Gathered) -> int:
        """Add what a process has gathered, in one commit; the messages for which there was no room."""
        return self._run(self._write, gathered)

    def due(self, today: int) -> list[Key]:
        """The reports about days before ``today``, the oldest day first."""
        return self._run(lambda txn: list(self._due(txn, today)), write=False)

    def read(self, key: Key) -> tuple[Published, list[tuple[Row, int]]] | None:
        """What a report is to say; None where there is nothing, or where it may have been sent."""
        return self._run(self._read, key, write=False)

    def claim(self, key: Key) -> None:
        """From now on the report counts as sent. Synced when this returns."""
        self._run(self._set_claimed, key, True)

    def unclaim(self, key: Key) -> None:
        """It was not sent, for certain."""
        self._run(self._set_claimed, key, False)

    def drop(self, key: Key) -> None:
        """Forget what the report says."""
        self._run(self._drop, key)

    def claimed(self) -> list[tuple[Key, str]]:
        """What was claimed and not dropped, by a process that died: with the domains."""
        return self._run(lambda txn: list(self._claimed(txn)), write=False)

    # Transactions

    def _run(self, work: Callable[..., T], *args: object, write: bool = True) -> T:
        try:
            with self._environment.begin(write=write) as txn:
                return work(txn, *args)
        except lmdb.Error as error:
            failure = translated(error)
            raise failure if isinstance(failure, StorageError) else StorageError(str(error)) from error

    def _write(self, txn: Transaction, gathered: Gathered) -> int:
        entries: dict[bytes, _Domain] = {}
        for (day, domain), published in gathered.published.items():
            key = _key(day, domain)
            entry = self._entry(txn, key)
            if entry is None and txn.stat(self._domains)["entries"] + len(entries) >= MOST_DOMAINS:
                continue
            entries[key] = entry or _Domain(published)
            entries[key].published = published
        lost = 0
        room = MOST_ROWS - txn.stat(self._rows)["entries"]
        for (day, domain, row), count in gathered.rows.items():
            entry = entries.get(_key(day, domain))
            if entry is None:
                lost += count
                continue
            key = _key(day, domain) + _digest(_encode(row))
            before = txn.get(key, db=self._rows)
            if before is None and (room <= 0 or entry.rows >= ROWS_OF_ONE):
                lost += count
                continue
            if before is None:
                room -= 1
                entry.rows += 1
            txn.put(key, _encode((row, count + (_ROW.decode(before)[1] if before else 0))), db=self._rows)
        for key, entry in entries.items():
            if entry.rows:
                txn.put(key, _encode(entry), db=self._domains)
        return lost

    def _entry(self, txn: Transaction, key: bytes) -> _Domain | None:
        value = txn.get(key, db=self._domains)
        return _DOMAIN.decode(value) if value else None

    def _due(self, txn: Transaction, today: int) -> Iterator[Key]:
        for octets in txn.cursor(self._domains).iternext(keys=True, values=False):
            key = Key(int.from_bytes(octets[:4], "big"), bytes(octets[4:]))
            if key.day >= today:
                return
            yield key

    def _read(self, txn: Transaction, key: Key) -> tuple[Published, list[tuple[Row, int]]] | None:
        entry = self._entry(txn, key.octets)
        if entry is None or entry.claimed:
            return None
        return entry.published, [_ROW.decode(value) for _, value in self._rows_of(txn, key)]

    def _rows_of(self, txn: Transaction, key: Key) -> Iterator[tuple[bytes, bytes]]:
        cursor = txn.cursor(self._rows)
        if cursor.set_range(key.octets):
            for octets, value in cursor:
                if not octets.startswith(key.octets):
                    return
                yield bytes(octets), value

    def _set_claimed(self, txn: Transaction, key: Key, claimed: bool) -> None:
        entry = self._entry(txn, key.octets)
        if entry is not None:
            entry.claimed = claimed
            txn.put(key.octets, _encode(entry), db=self._domains)

    def _claimed(self, txn: Transaction) -> Iterator[tuple[Key, str]]:
        for octets, value in txn.cursor(self._domains):
            entry = _DOMAIN.decode(value)
            if entry.claimed:
                yield Key(int.from_bytes(octets[:4], "big"), bytes(octets[4:])), entry.published.domain

    def _drop(self, txn: Transaction, key: Key) -> None:
        for octets in [octets for octets, _ in self._rows_of(txn, key)]:
            txn.delete(octets, db=self._rows)
        txn.delete(key.octets, db=self._domains)


def today(now: float | None = None) -> int:
    """The day of a Unix time in seconds, in UTC."""
    return int((time.time() if now is None else now) // DAY)


def date(day: int) -> str:
    """A day as 2026-01-31."""
    return datetime.fromtimestamp(day * DAY, UTC).date().isoformat()


def _key(day: int, domain: str) -> bytes:
    return day.to_bytes(4, "big") + _digest(domain.encode("utf-8", "surrogatepass"))


def _digest(octets: bytes) -> bytes:
    return hashlib.blake2b(octets, digest_size=_DIGEST).digest()
