"""One read transaction of LMDB: values and ranges as octets."""

from collections.abc import Iterator, Sequence
from typing import cast

import lmdb

from engine.storage.writer import Database


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

    def scan(self, database: Database, prefix: bytes = b"", start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Every item whose key begins with ``prefix``, in the order of keys; none before ``start``."""
        cursor = self._transaction.cursor(database)
        start = max(start, prefix)
        if cursor.set_range(start) if start else cursor.first():
            for key, value in cast("Iterator[tuple[bytes, bytes]]", cursor.iternext()):
                if not key.startswith(prefix):
                    return
                yield key, value

    def backwards(self, database: Database, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Every item whose key begins with ``prefix``, the last first."""
        cursor = self._transaction.cursor(database)
        # Behind the last possible key, or at the very end: one step back from there.
        there = cursor.prev() if cursor.set_range(prefix + b"\xff" * 32) else cursor.last()
        if there:
            for key, value in cast("Iterator[tuple[bytes, bytes]]", cursor.iterprev()):
                if not key.startswith(prefix):
                    return
                yield key, value
