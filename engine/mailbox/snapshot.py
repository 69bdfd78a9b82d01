"""One read transaction of LMDB: values and ranges as octets."""

from collections.abc import Iterator
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

    def scan(self, database: Database, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Every item whose key begins with ``prefix``, in the order of keys."""
        cursor = self._transaction.cursor(database)
        if cursor.set_range(prefix) if prefix else cursor.first():
            for key, value in cast("Iterator[tuple[bytes, bytes]]", cursor.iternext()):
                if not key.startswith(prefix):
                    return
                yield key, value
