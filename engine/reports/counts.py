"""Counts of mail, or of sessions, by domain and day, until they are reported. All processes add; one takes out.

======== =================================== =================================================================
database key                                 value
======== =================================== =================================================================
domains  day, digest of the domain           MessagePack list: what it said last, number of rows, claimed, their octets
rows     day, digest of domain, digest of row MessagePack list: the row, how many
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
from typing import Any, ClassVar, Generic, NamedTuple, Self, TypeAlias, TypeVar

import lmdb
import msgspec

from engine.reports.rows import P, Published, R, Row, Seen
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

OCTETS_OF_ONE = 16 * 2**20
"""Octets of these rows, of which strangers have written much."""

SPARE = 200
"""Rows that there may be beyond these limits, for what is left of those that have no room."""

GATHERED = 2_000
"""Rows in memory after which they are written without waiting."""

_DIGEST = 16


class _Domain(msgspec.Struct, array_like=True):
    published: msgspec.Raw
    rows: int = 0
    claimed: bool = False
    octets: int = 0


_DOMAIN = msgspec.msgpack.Decoder(_Domain)
_COUNTED = msgspec.msgpack.Decoder(tuple[msgspec.Raw, int])
_encode = msgspec.msgpack.Encoder().encode


class Key(NamedTuple):
    """One report that is due."""

    day: int
    digest: bytes

    @property
    def octets(self) -> bytes:
        return self.day.to_bytes(4, "big") + self.digest


class Gathered(Generic[P, R]):
    """What a process has seen and not yet written."""

    def __init__(self) -> None:
        self.published: dict[tuple[int, str], P] = {}
        self.rows: Counter[tuple[int, str, R]] = Counter()

    def add(self, day: int, found: Seen[P, R]) -> None:
        domain = found.published.domain
        self.published[day, domain] = found.published
        self.rows[day, domain, found.row] += 1


class DayCounts(Store, Generic[P, R]):
    """The open store. One object a process, shared by its threads. Every method may raise StorageError."""

    published: ClassVar[msgspec.msgpack.Decoder[Any]]
    row: ClassVar[msgspec.msgpack.Decoder[Any]]

    def __init__(self, environment: lmdb.Environment) -> None:
        super().__init__(environment)
        self._domains, self._rows = (environment.open_db(name) for name in (b"domains", b"rows"))

    def plain(self, row: R) -> R:
        """What is left of a row that has no room: the row itself, where that is nothing less."""
        return row

    @classmethod
    def open(cls, path: Path, map_size: int = MAP_SIZE) -> Self:
        """Open, and make if need be, the store in the folder ``path``."""
        return cls(open_environment(path, map_size=map_size, databases=2))

    def write(self, gathered: Gathered[P, R]) -> int:
        """Add what a process has gathered, in one commit; how much of it had no room."""
        return self._run(self._write, gathered)

    def due(self, today: int) -> list[Key]:
        """The reports about days before ``today``, the oldest day first."""
        return self._run(lambda txn: list(self._due(txn, today)), write=False)

    def read(self, key: Key) -> tuple[P, list[tuple[R, int]]] | None:
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

    def _write(self, txn: Transaction, gathered: Gathered[P, R]) -> int:
        entries = self._entries(txn, gathered)
        lost = 0
        for (day, domain, row), count in gathered.rows.items():
            key = _key(day, domain)
            entry = entries.get(key)
            if entry is None or not self._count(txn, key, entry, row, count):
                lost += count
        for key, entry in entries.items():
            if entry.rows:
                txn.put(key, _encode(entry), db=self._domains)
        return lost

    def _entries(self, txn: Transaction, gathered: Gathered[P, R]) -> dict[bytes, _Domain]:
        """Those of the domains that have one, or for which there is room."""
        entries: dict[bytes, _Domain] = {}
        for (day, domain), published in gathered.published.items():
            key = _key(day, domain)
            entry = self._entry(txn, key)
            if entry is None and txn.stat(self._domains)["entries"] + len(entries) >= MOST_DOMAINS:
                continue
            raw = msgspec.Raw(_encode(published))
            entries[key] = entry or _Domain(raw)
            entries[key].published = raw
        return entries

    def _count(self, txn: Transaction, key: bytes, entry: _Domain, row: R, count: int) -> bool:
        """Add to a row, or to what is left of it. Whether there was room."""
        if self._add(txn, key, entry, _encode(row), count):
            return True
        plain = self.plain(row)
        return plain != row and self._add(txn, key, entry, _encode(plain), count, spare=SPARE)

    def _add(self, txn: Transaction, key: bytes, entry: _Domain, row: bytes, count: int, *, spare: int = 0) -> bool:
        place = key + _digest(row)
        before = txn.get(place, db=self._rows)
        if before is None:
            full = entry.rows >= ROWS_OF_ONE + spare or (entry.octets >= OCTETS_OF_ONE and not spare)
            if full or txn.stat(self._rows)["entries"] >= MOST_ROWS + spare:
                return False
            entry.rows += 1
            entry.octets += len(row)
        total = count + (_COUNTED.decode(before)[1] if before else 0)
        txn.put(place, _encode((msgspec.Raw(row), total)), db=self._rows)
        return True

    def _entry(self, txn: Transaction, key: bytes) -> _Domain | None:
        value = txn.get(key, db=self._domains)
        return _DOMAIN.decode(value) if value else None

    def _due(self, txn: Transaction, today: int) -> Iterator[Key]:
        for octets in txn.cursor(self._domains).iternext(keys=True, values=False):
            key = Key(int.from_bytes(octets[:4], "big"), bytes(octets[4:]))
            if key.day >= today:
                return
            yield key

    def _read(self, txn: Transaction, key: Key) -> tuple[P, list[tuple[R, int]]] | None:
        entry = self._entry(txn, key.octets)
        if entry is None or entry.claimed:
            return None
        counted = (_COUNTED.decode(value) for _, value in self._rows_of(txn, key))
        return self.published.decode(entry.published), [(self.row.decode(row), count) for row, count in counted]

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
                published: P = self.published.decode(entry.published)
                yield Key(int.from_bytes(octets[:4], "big"), bytes(octets[4:])), published.domain

    def _drop(self, txn: Transaction, key: Key) -> None:
        for octets in [octets for octets, _ in self._rows_of(txn, key)]:
            txn.delete(octets, db=self._rows)
        txn.delete(key.octets, db=self._domains)


class Counts(DayCounts[Published, Row]):
    """Those of DMARC."""

    published = msgspec.msgpack.Decoder(Published)
    row = msgspec.msgpack.Decoder(Row)


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
