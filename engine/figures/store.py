"""Figures on disk: a row for each minute, ten minutes and hour, each added to until its time is over.

======== ============================ =================================================================
database key                          value
======== ============================ =================================================================
60       Unix time / 60, in 4 octets  MessagePack list: seconds that were seen, counts, levels
600      the same of ten minutes      the same
3600     the same of hours            the same
marks    name of a worker             MessagePack list: when it started, its counts as they are in the rows
marks    "" (the empty name: a NUL)   MessagePack: Unix time up to which the rows go
======== ============================ =================================================================

Rows and marks change in one commit, so whatever is killed at whatever time, nothing counts twice, and what workers that
live on have counted meanwhile comes with the next commit. How many rows there may be is a number and no age: a clock
that jumps does not delete what there is.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Self, TypeAlias

import lmdb
import msgspec

from engine.figures.gathering import Gathered, Level, Mark
from engine.storage.environment import StorageError, open_environment
from engine.storage.store import OnDemand, Store

Transaction: TypeAlias = "lmdb.Transaction[bytes]"

FOLDER = "figures"
"""In the data folder."""

MAP_SIZE = 2**31
"""Octets that they may take on disk."""

MINUTE, TEN, HOUR = 60, 600, 3600

STEPS = (MINUTE, TEN, HOUR)
"""Seconds of a row."""

ROWS: Mapping[int, int] = {MINUTE: 26 * 60, TEN: 16 * 144}
"""Rows that there are at most: somewhat more than a day, and two weeks. Of hours a setting says it."""

KEYS = 1_000
"""Counts of a row: beyond them, what is by domain counts together."""

SPREAD = 400
"""Rows that a time without a look is spread over at most: what was counted in a longer one counts as of its end."""

_SINCE = b"\0"
_OTHER = "domain/other/"


class Row(msgspec.Struct, frozen=True, array_like=True):
    """What there was in one step of time. ``seen``: the seconds of it in which somebody looked."""

    seen: float
    counts: dict[str, int]
    levels: dict[str, Level]


_encode = msgspec.msgpack.Encoder().encode
_row = msgspec.msgpack.Decoder(Row).decode
_mark = msgspec.msgpack.Decoder(Mark).decode
_number = msgspec.msgpack.Decoder(float).decode


class FigureStore(Store):
    """The open store. One object a process, shared by its threads. Every method may raise StorageError."""

    def __init__(self, environment: lmdb.Environment) -> None:
        super().__init__(environment)
        create = not environment.flags()["readonly"]
        self._rows = {step: environment.open_db(str(step).encode(), create=create) for step in STEPS}
        self._marks = environment.open_db(b"marks", create=create)

    @classmethod
    def open(cls, data: Path, *, read_only: bool = False) -> Self:
        """Open it in the data folder, and make it if need be."""
        path = data / FOLDER
        try:
            return cls(open_environment(path, map_size=MAP_SIZE, databases=len(STEPS) + 1, read_only=read_only))
        except lmdb.Error as error:
            raise StorageError(f"cannot open the store in {path}: {error}") from error

    def marks(self) -> tuple[dict[str, Mark], float]:
        """Up to where the counts of each worker are in the rows, and up to when these go; 0: there are none."""

        def found(txn: Transaction) -> tuple[dict[str, Mark], float]:
            since = txn.get(_SINCE, db=self._marks)
            marks = {key.decode(): _mark(value) for key, value in txn.cursor(self._marks) if bytes(key) != _SINCE}
            return marks, _number(since) if since else 0.0

        return self._do(found, write=False)

    def add(self, begin: float, end: float, gathered: Gathered, marks: Mapping[str, Mark], hours: int) -> None:
        """Add what there was from ``begin`` to ``end``. ``hours``: rows of an hour that are kept."""
        if not 0 < begin < end:  # the clock was set back
            begin = end

        def work(txn: Transaction) -> None:
            for step in STEPS:
                self._spread(txn, step, begin, end, gathered)
                self._shorten(txn, step, ROWS.get(step, hours))
            for key in [bytes(key) for key in txn.cursor(self._marks).iternext(values=False)]:
                txn.delete(key, db=self._marks)
            for name, mark in marks.items():
                txn.put(name.encode(), _encode(mark), db=self._marks)
            txn.put(_SINCE, _encode(end), db=self._marks)

        self._do(work)

    def rows(self, step: int, since: float, until: float) -> list[tuple[int, Row]]:
        """The Unix time at which each row begins, and the row: of those that begin from ``since`` to ``until``."""

        def found(txn: Transaction) -> list[tuple[int, Row]]:
            return list(self._between(txn, step, -(-int(since) // step), int(until) // step))

        return self._do(found, write=False)

    def _between(self, txn: Transaction, step: int, first: int, last: int) -> Iterator[tuple[int, Row]]:
        cursor = txn.cursor(self._rows[step])
        if cursor.set_range(_key(max(first, 0))):
            for key, value in cursor:
                number = int.from_bytes(key, "big")
                if number > last:
                    return
                yield number * step, _row(value)

    def _spread(self, txn: Transaction, step: int, begin: float, end: float, gathered: Gathered) -> None:
        """Whole numbers, which come to the same in all. Levels are those of the end."""
        last = int(end) // step if end % step or begin == end else int(end) // step - 1
        first = max(int(begin) // step, last - SPREAD)
        start = max(begin, first * step)
        whole = max(end - start, 1e-9)
        done: dict[str, int] = {}
        for number in range(first, last + 1):
            until = min(end, (number + 1) * step)
            share = (until - start) / whole if number < last else 1.0
            counts = {}
            for key, count in gathered.counts.items():
                upto = round(count * share)
                if upto > done.get(key, 0):
                    counts[key] = upto - done.get(key, 0)
                    done[key] = upto
            seen = max(until - max(start, number * step), 0.0)
            self._add(txn, step, number, Row(seen, counts, gathered.levels if number == last else {}))

    def _add(self, txn: Transaction, step: int, number: int, more: Row) -> None:
        key, database = _key(number), self._rows[step]
        value = txn.get(key, db=database)
        row = _row(value) if value else Row(0.0, {}, {})
        for name, count in more.counts.items():
            kept = _kept(row.counts, name)
            row.counts[kept] = row.counts.get(kept, 0) + count
        for name, level in more.levels.items():
            before = row.levels.get(name)
            row.levels[name] = before + level if before else level
        txn.put(key, _encode(Row(min(row.seen + more.seen, step), row.counts, row.levels)), db=database)

    def _shorten(self, txn: Transaction, step: int, most: int) -> None:
        """The oldest go."""
        database = self._rows[step]
        over = txn.stat(database)["entries"] - max(most, 1)
        cursor = txn.cursor(database)
        while over > 0 and cursor.first():
            cursor.delete()
            over -= 1


class Figures(OnDemand[FigureStore]):
    """The store of a process, opened when it is first wanted."""

    def __init__(self, data: Path) -> None:
        super().__init__(partial(FigureStore.open, data))


def _kept(counts: Mapping[str, int], name: str) -> str:
    if name in counts or len(counts) < KEYS or not name.startswith("domain/"):
        return name
    return _OTHER + name.rpartition("/")[2]


def _key(number: int) -> bytes:
    return number.to_bytes(4, "big")
