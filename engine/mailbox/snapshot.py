"""One read transaction of LMDB: values and ranges as octets."""

import struct
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import cast

import lmdb

from engine.storage.batch import Database

_u32 = struct.Struct(">I").pack


class Snapshot:
    """The store as it is at one moment. It must not outlive its transaction."""

    __slots__ = ("_transaction",)

    def __init__(self, transaction: lmdb.Transaction) -> None:
        self._transaction = transaction

    def get(self, database: Database, key: bytes) -> bytes | None:
        return cast("bytes | None", self._transaction.get(key, db=database))

    def many(self, database: Database, keys: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
        """Those of the items that are there."""
        return cast("list[tuple[bytes, bytes]]", self._transaction.cursor(database).getmulti(keys))

    def numbered(self, database: Database, prefix: bytes, numbers: Sequence[int]) -> list[tuple[bytes, bytes]]:
        """Those of the items that are there whose keys are the prefix and one of these numbers, u32, which ascend."""
        if not numbers:
            return []
        span = numbers[-1] - numbers[0] + 1
        if span > 2 * len(numbers):
            return self.many(database, [prefix + _u32(number) for number in numbers])
        # A step of a cursor takes half the time of a look. All with keys from the first to the last one are among them.
        cursor = self._transaction.cursor(database)
        steps = cursor.iternext() if cursor.set_range(prefix + _u32(numbers[0])) else iter(())
        found = list(islice(cast("Iterator[tuple[bytes, bytes]]", steps), span))
        last = prefix + _u32(numbers[-1])
        while found and found[-1][0] > last:
            found.pop()
        if len(numbers) == span:
            return found
        wanted = {prefix + _u32(number) for number in numbers}
        return [item for item in found if item[0] in wanted]

    def scan(self, database: Database, prefix: bytes = b"", start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Every item whose key begins with ``prefix``, in the order of keys; none before ``start``."""
        cursor = self._transaction.cursor(database)
        start = max(start, prefix)
        if cursor.set_range(start) if start else cursor.first():
            for key, value in cast("Iterator[tuple[bytes, bytes]]", cursor.iternext()):
                if not key.startswith(prefix):
                    return
                yield key, value

    def backwards(self, database: Database, prefix: bytes, end: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Every item whose key begins with ``prefix``, the last first; of those alone that come before ``end``."""
        cursor = self._transaction.cursor(database)
        # Behind the last possible key, or at the very end: one step back from there.
        there = cursor.prev() if cursor.set_range(end or prefix + b"\xff" * 32) else cursor.last()
        if there:
            for key, value in cast("Iterator[tuple[bytes, bytes]]", cursor.iterprev()):
                if not key.startswith(prefix):
                    return
                yield key, value
