"""What a change does inside a transaction, and the transaction of a single one."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias, cast

import lmdb

Database: TypeAlias = Any  # what py-lmdb's open_db() returns: an opaque handle

MANY = 1000
"""Items that are a large call of their own."""


class Batch:
    """What a change may do inside the transaction. Puts and deletes are gathered and written in few, large calls.

    py-lmdb drops the interpreter lock on every single put: beside a busy event loop each costs a turn of waiting.
    """

    __slots__ = ("_deletes", "_puts", "_transaction")

    def __init__(self, transaction: lmdb.Transaction) -> None:
        self._transaction = transaction
        self._puts: dict[Database, dict[bytes, bytes]] = {}
        self._deletes: dict[tuple[Database, bytes], None] = {}

    @property
    def transaction(self) -> lmdb.Transaction:
        """The transaction itself, for reading: it sees every change made before in this batch."""
        self.flush()
        return self._transaction

    def get(self, database: Database, key: bytes) -> bytes | None:
        """The value as this batch has left it so far, or None. A look through ``transaction`` would flush first."""
        if self._deletes and (database, key) in self._deletes:
            return None
        puts = self._puts.get(database)
        if puts is not None and (pending := puts.get(key)) is not None:
            return pending
        return cast("bytes | None", self._transaction.get(key, db=database))

    def put(self, database: Database, key: bytes, value: bytes) -> None:
        if self._deletes and (database, key) in self._deletes:
            self.flush()
        puts = self._puts.get(database)
        if puts is None:
            puts = self._puts[database] = {}
        puts[key] = value

    def put_all(self, database: Database, items: Sequence[tuple[bytes, bytes]]) -> None:
        """The same for several. Very many are not gathered, but written at once behind what has gathered."""
        if len(items) > MANY:
            self.flush()
            self._transaction.cursor(database).putmulti(items)
        elif self._deletes:
            for key, value in items:
                self.put(database, key, value)
        else:
            self._puts.setdefault(database, {}).update(items)

    def delete(self, database: Database, key: bytes) -> None:
        self._deletes[database, key] = None

    def flush(self) -> None:
        """Write what has gathered. Puts go first: a put after a delete of the same key has flushed before."""
        for database, items in self._puts.items():
            self._transaction.cursor(database).putmulti(list(items.items()))
        self._puts.clear()
        for database, key in self._deletes:
            self._transaction.delete(key, db=database)
        self._deletes.clear()


@contextmanager
def committed(environment: lmdb.Environment) -> Iterator[Batch]:
    """A batch in a transaction of its own, committed and synced at the end of the block; if that fails nothing is."""
    with environment.begin(write=True) as transaction:
        batch = Batch(transaction)
        yield batch
        batch.flush()
