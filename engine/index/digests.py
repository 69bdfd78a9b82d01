"""The digests, open for changes: in the one process that builds the index."""

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import lmdb

from engine.index.layout import (
    DIGESTS,
    FORMAT,
    FORMAT_KEY,
    MAP_SIZE,
    STAMP_KEY,
    Damaged,
    Databases,
    Mark,
    Stamp,
    opened,
    place_key,
    place_of,
)
from engine.index.row import Row
from engine.mime.digest import dump
from engine.observe.events import event
from engine.storage.batch import Batch, Database, committed
from engine.storage.environment import Full, StorageError, translated

MANY = 1000
"""Keys that are looked at in one transaction."""


class Digests:
    """The digests below ``path``. What is damaged, or of another format, is thrown away when it is opened.

    StorageError (Damaged; Full when there is no room) when they cannot be read or written.
    """

    environment: lmdb.Environment
    _databases: Databases

    def __init__(self, path: Path, *, map_size: int = MAP_SIZE) -> None:
        self._path = path
        self._map_size = map_size
        try:
            self._open()
        except Full:
            raise
        except StorageError as error:
            if not (path / DIGESTS).exists():
                raise
            event("index-damaged", error=str(error))
            shutil.rmtree(path / DIGESTS)
            self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.environment.close()

    def renew(self) -> None:
        """Throw away what is damaged, and begin with nothing. OSError."""
        self.close()
        shutil.rmtree(self._path / DIGESTS)
        self._open()

    def missing(self, contents: Sequence[bytes]) -> set[bytes]:
        """Those that have no digest yet."""
        with self._reading(self._databases.digest) as cursor:
            return {content for content in contents if not cursor.set_key(content)}

    def add(self, rows: Mapping[bytes, Row], marks: Mapping[tuple[int, int], Mark], stamp: Stamp) -> None:
        """Keep these, by the keys of their contents, and how far mailboxes are done with them; all in one commit."""
        databases = self._databases
        by_key = sorted(rows.items())
        with self._changing() as batch:
            _put(batch, databases.envelope, [(key, row.envelope) for key, row in by_key])
            _put(batch, databases.structure, [(key, row.structure) for key, row in by_key])
            _put(batch, databases.header, [(key, row.header) for key, row in by_key if row.header])
            _put(batch, databases.digest, [(key, dump(row.digest)) for key, row in by_key])
            batch.put_all(databases.mark, [(place_key(*place), mark.octets()) for place, mark in marks.items()])
            batch.put(databases.meta, STAMP_KEY, stamp.octets())

    def mark(self, account: int, mailbox: int) -> Mark:
        """How far a mailbox is done."""
        with self._reading(self._databases.mark) as cursor:
            return Mark.parse(cursor.value()) if cursor.set_key(place_key(account, mailbox)) else Mark(0)

    def after(self, content: bytes, limit: int) -> list[bytes]:
        """The contents that follow that one in the order of keys, at most so many."""
        return self._keys(self._databases.digest, content, limit)

    def marked(self, account: int = 0, mailbox: int = 0) -> list[tuple[int, int]]:
        """The mailboxes, after that one, of which anything is known; at most MANY."""
        return list(map(place_of, self._keys(self._databases.mark, place_key(account, mailbox), MANY)))

    def of_account(self, account: int) -> list[tuple[int, int]]:
        """The mailboxes of an account of which anything is known."""
        found: list[tuple[int, int]] = []
        while more := [place for place in self.marked(*(found or [(account, 0)])[-1]) if place[0] == account]:
            found += more
        return found

    def forget(self, contents: Iterable[bytes] = (), places: Iterable[tuple[int, int]] = ()) -> None:
        """Drop these contents, and what is known of these mailboxes."""
        with self._changing() as batch:
            for content in contents:
                for database in self._databases.by_content:
                    batch.delete(database, content)
            for place in places:
                batch.delete(self._databases.mark, place_key(*place))

    def begin(self, stamp: Stamp) -> bool:
        """Go on with that store. Whether the marks are of it: else nothing is known of any mailbox from now on."""
        with self._reading(self._databases.meta) as cursor:
            old = Stamp.parse(cursor.value()) if cursor.set_key(STAMP_KEY) else Stamp()
        follows = stamp.follows(old)
        self._clear(() if follows else (self._databases.mark,), {STAMP_KEY: stamp.octets()})
        return follows

    def clear(self) -> None:
        """Throw all away. Whoever reads goes on, and finds nothing."""
        databases = self._databases
        self._clear((*databases.by_content, databases.mark), {FORMAT_KEY: FORMAT})

    def _keys(self, database: Database, after: bytes, limit: int) -> list[bytes]:
        found: list[bytes] = []
        with self._reading(database) as cursor:
            there = cursor.set_range(after + b"\0")
            while there and len(found) < limit:
                found.append(cursor.key())
                there = cursor.next()
        return found

    def _clear(self, databases: Iterable[Database], meta: Mapping[bytes, bytes]) -> None:
        with self._changing() as batch:
            for database in databases:
                batch.transaction.drop(database, delete=False)
            for key, value in meta.items():
                batch.put(self._databases.meta, key, value)

    @contextmanager
    def _reading(self, database: Database) -> "Iterator[lmdb.Cursor[bytes]]":
        with _errors(), self.environment.begin(db=database) as transaction:
            yield transaction.cursor()

    @contextmanager
    def _changing(self) -> Iterator[Batch]:
        with _errors(), committed(self.environment) as batch:
            yield batch

    def _open(self) -> None:
        self.environment = opened(self._path, map_size=self._map_size, read_only=False)
        try:
            self._databases = Databases(self.environment, create=True)
            with self.environment.begin(db=self._databases.meta) as transaction:
                found = transaction.get(FORMAT_KEY)
            if found != FORMAT:
                self.clear()
        except (StorageError, lmdb.Error) as error:
            self.environment.close()
            raise translated(error) from error


def _put(batch: Batch, database: Database, items: list[tuple[bytes, bytes]]) -> None:
    """Put items, which are in the order of keys. What comes behind all others fills its pages, which else are split."""
    cursor = batch.transaction.cursor(database)
    cursor.putmulti(items, append=bool(items) and (not cursor.last() or bytes(cursor.key()) < items[0][0]))


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except (lmdb.CorruptedError, lmdb.PageNotFoundError, lmdb.InvalidError, lmdb.PanicError) as error:
        raise Damaged(f"the index is damaged: {error}") from error
    except lmdb.Error as error:
        raise translated(error) from error
