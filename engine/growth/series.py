"""What each account held, a row a day: small enough to be kept for everybody, and for some months.

======== ======================= =========================================
database key                     value
======== ======================= =========================================
days     account's id (8 octets) MessagePack list: [day, octets, messages]…
noted    "day"                   the last day of which all was written down
======== ======================= =========================================

A day is counted from 1970-01-01 in UTC.
"""

from collections.abc import Iterable, Mapping, Set
from pathlib import Path
from typing import NamedTuple, Self, TypeAlias

import lmdb
import msgspec

from engine.storage.environment import open_environment
from engine.storage.store import Store

Transaction: TypeAlias = "lmdb.Transaction[bytes]"

FOLDER = "growth"
"""In the data folder."""

MAP_SIZE = 2**30
"""Octets of address space: 100,000 accounts take some 200 MB."""

KEPT = 120
"""Days."""

_AT_ONCE = 500
"""Accounts of one transaction: nobody else is to wait for long."""

_NOTED = b"day"


class Day(NamedTuple):
    """What an account held on a day."""

    day: int
    octets: int
    messages: int


_decode = msgspec.msgpack.Decoder(list[Day]).decode
_encode = msgspec.msgpack.Encoder().encode


class Growth(Store):
    """The open store. Every method blocks, and may raise StorageError."""

    def __init__(self, environment: lmdb.Environment) -> None:
        super().__init__(environment)
        self._days, self._noted = (environment.open_db(name) for name in (b"days", b"noted"))

    @classmethod
    def open(cls, data: Path) -> Self:
        """Open, and make if need be, that of the data folder. StorageError."""
        return cls(open_environment(data / FOLDER, map_size=MAP_SIZE, databases=2))

    @property
    def noted(self) -> int:
        """The last day of which all was written down; 0: none."""
        value = self._do(lambda txn: txn.get(_NOTED, db=self._noted), write=False)
        return int.from_bytes(value or b"", "big")

    def note(self, day: int, held: Mapping[int, tuple[int, int]]) -> None:
        """Write down what each account holds on that day: octets and messages, by its number. Others are forgotten."""
        pairs = list(held.items())
        for start in range(0, len(pairs), _AT_ONCE):
            some = pairs[start : start + _AT_ONCE]
            self._do(lambda txn, some=some: self._put(txn, day, some))  # type: ignore[misc]
        self._do(lambda txn: self._end(txn, day, held.keys()))

    def of(self, accounts: Iterable[int]) -> list[list[Day]]:
        """What each of them held, day by day."""
        return self._do(lambda txn: [self._of(txn, one) for one in accounts], write=False)

    def _put(self, txn: Transaction, day: int, some: Iterable[tuple[int, tuple[int, int]]]) -> None:
        for account, (octets, messages) in some:
            days = [one for one in self._of(txn, account) if day - KEPT < one.day < day]
            txn.put(_key(account), _encode([*days, Day(day, octets, messages)]), db=self._days)

    def _end(self, txn: Transaction, day: int, known: Set[int]) -> None:
        gone = [bytes(key) for key, _ in txn.cursor(self._days) if int.from_bytes(key, "big") not in known]
        for key in gone:
            txn.delete(key, db=self._days)
        txn.put(_NOTED, day.to_bytes(8, "big"), db=self._noted)

    def _of(self, txn: Transaction, account: int) -> list[Day]:
        value = txn.get(_key(account), db=self._days)
        return _decode(value) if value else []


def _key(account: int) -> bytes:
    return account.to_bytes(8, "big")
