"""The digests, open for changes: in the one process that builds the index."""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import lmdb

from engine.index.layout import (
    DIGESTS,
    FORMAT,
    FORMAT_KEY,
    MAP_SIZE,
    STORE_KEY,
    Databases,
    Mark,
    opened,
    place_key,
)
from engine.index.row import Row
from engine.mime.digest import dump
from engine.observe.events import event
from engine.storage.environment import Full, StorageError, translated
from engine.storage.writer import Database, committed


class Digests:
    """The digests below ``path``. What is damaged, or of another format, is thrown away when it is opened.

    StorageError (Full when there is no room) when they cannot be written.
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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.environment.close()

    def missing(self, contents: Sequence[bytes]) -> list[bytes]:
        """Those that have no digest yet, each once."""
        with self.environment.begin(db=self._databases.digest) as transaction:
            cursor = transaction.cursor()
            return [content for content in dict.fromkeys(contents) if not cursor.set_key(content)]

    def add(self, rows: Mapping[bytes, Row], marks: Mapping[tuple[int, int], Mark]) -> None:
        """Keep these, by the keys of their contents, and how far mailboxes are done with them; all in one commit."""
        databases = self._databases
        by_key = sorted(rows.items())
        try:
            with committed(self.environment) as batch:
                batch.put_all(databases.envelope, ((key, row.envelope) for key, row in by_key))
                batch.put_all(databases.structure, ((key, row.structure) for key, row in by_key))
                batch.put_all(databases.header, ((key, row.header) for key, row in by_key if row.header))
                batch.put_all(databases.digest, ((key, dump(row.digest)) for key, row in by_key))
                batch.put_all(databases.mark, ((place_key(*place), mark.octets()) for place, mark in marks.items()))
        except lmdb.Error as error:
            raise translated(error) from error

    def mark(self, account: int, mailbox: int) -> Mark:
        """How far a mailbox is done."""
        with self.environment.begin(db=self._databases.mark) as transaction:
            octets = transaction.get(place_key(account, mailbox))
        return Mark.parse(octets) if octets is not None else Mark(0)

    def after(self, content: bytes, limit: int) -> list[bytes]:
        """The contents that follow that one in the order of keys, at most so many."""
        found: list[bytes] = []
        with self.environment.begin(db=self._databases.digest) as transaction:
            cursor = transaction.cursor()
            there = cursor.set_range(content + b"\0")
            while there and len(found) < limit:
                found.append(cursor.key())
                there = cursor.next()
        return found

    def forget(self, contents: Iterable[bytes], places: Iterable[tuple[int, int]] = ()) -> None:
        """Drop these contents, and what is known of these mailboxes."""
        try:
            with committed(self.environment) as batch:
                for content in contents:
                    for database in self._databases.by_content:
                        batch.delete(database, content)
                for place in places:
                    batch.delete(self._databases.mark, place_key(*place))
        except lmdb.Error as error:
            raise translated(error) from error

    def marked(self) -> list[tuple[int, int]]:
        """The mailboxes of which anything is known."""
        with self.environment.begin(db=self._databases.mark) as transaction:
            keys = list(transaction.cursor().iternext(values=False))
        return [(int.from_bytes(key[:8], "big"), int.from_bytes(key[8:], "big")) for key in keys]

    @property
    def store(self) -> bytes:
        """Of which store of mailboxes the marks are; empty at first."""
        with self.environment.begin(db=self._databases.meta) as transaction:
            octets: bytes = transaction.get(STORE_KEY, b"")
        return octets

    def begin(self, store: bytes) -> None:
        """From now on the marks are of that store: those that there are say nothing any more."""
        self._clear((self._databases.mark,), {STORE_KEY: store})

    def clear(self) -> None:
        """Throw all away. Whoever reads goes on, and finds nothing."""
        databases = self._databases
        self._clear((*databases.by_content, databases.mark), {STORE_KEY: b"", FORMAT_KEY: FORMAT})

    def _clear(self, databases: Iterable[Database], meta: Mapping[bytes, bytes]) -> None:
        try:
            with self.environment.begin(write=True) as transaction:
                for database in databases:
                    transaction.drop(database, delete=False)
                for key, value in meta.items():
                    transaction.put(key, value, db=self._databases.meta)
        except lmdb.Error as error:
            raise translated(error) from error

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
