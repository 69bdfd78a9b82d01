"""Reading the index, in any process: what is known of contents, and which of them hold a text."""

import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Self

import lmdb

from engine.index.fulltext import file_of, search
from engine.index.layout import DIGESTS, FORMAT, FORMAT_KEY, MAP_SIZE, Databases, opened
from engine.index.query import Found, Text
from engine.index.row import headers
from engine.mime.bodystructure import body
from engine.mime.digest import Digest, load
from engine.storage.batch import Database
from engine.storage.environment import StorageError

LOOK = 1.0
"""Seconds until it is looked again whether there is an index, or another one than the last time."""


class Index:
    """The index in ``path``, which may not be there yet or be built anew meanwhile: then it knows less, or nothing.

    Whatever it does not know can be had from the message itself (``computed``). Every method may block on the disk:
    call it in a thread. None blocks the builder, and several threads may call at once. Answers are in the order of the
    contents, whose keys are those of ``View.contents``.
    """

    def __init__(self, path: Path, map_size: int) -> None:
        self._path = path
        self._map_size = map_size
        self._opened: tuple[int, lmdb.Environment, Databases] | None = None
        self._looked = -LOOK

    @classmethod
    def open(cls, path: Path, *, map_size: int = MAP_SIZE) -> Self:
        """One object a process: LMDB refuses a second one of the same folder."""
        return cls(path, map_size)

    def close(self) -> None:
        if self._opened is not None:
            self._opened[1].close()
            self._opened = None

    def envelopes(self, contents: Sequence[bytes]) -> list[bytes | None]:
        """ENVELOPE of each, ready to be sent."""
        return self._values("envelope", contents)

    def structures(self, contents: Sequence[bytes]) -> list[bytes | None]:
        """BODYSTRUCTURE of each, ready to be sent."""
        return self._values("structure", contents)

    def bodies(self, contents: Sequence[bytes]) -> list[bytes | None]:
        """BODY of each, ready to be sent. Rendered from the digest: few clients ask for it."""
        return [None if found is None else body(found.message) for found in self.digests(contents)]

    def headers(self, contents: Sequence[bytes], names: Collection[bytes] = ()) -> list[bytes | None]:
        """The header section of each content, without the heading of its delivery (``Mailboxes.headed``).

        With names, in lower case: perhaps less than the whole section, but enough to pick these fields by
        ``engine.mime.fields.only``. Without them nearly none is known, for long fields that no client asks for are not
        kept (``row.LEFT_OUT``).
        """
        return headers(self._values("header", contents), names)

    def digests(self, contents: Sequence[bytes]) -> list[Digest | None]:
        """The digest of each content. Offsets are those of the content: see ``placed``."""
        return [None if octets is None else load(octets) for octets in self._values("digest", contents)]

    def search(self, account: int, query: Text) -> Found:
        """The contents of an account that have a text, also within a word; in whatever case."""
        return search(file_of(self._path, account), query)

    def _values(self, name: str, keys: Sequence[bytes]) -> list[bytes | None]:
        now = self._now()
        if now is None:
            return [None] * len(keys)
        environment, databases = now
        database: Database = getattr(databases, name)
        try:
            with environment.begin(db=database) as transaction:
                return list(map(transaction.get, keys))  # as quick as getmulti, and in its place where there is none
        except lmdb.Error:  # it is damaged: its builder finds that too, and builds another
            return [None] * len(keys)

    def _now(self) -> tuple[lmdb.Environment, Databases] | None:
        """The index that is in place now."""
        now = time.monotonic()
        if now - self._looked >= LOOK:
            self._looked = now
            self._look()
        return self._opened and self._opened[1:]

    def _look(self) -> None:
        try:
            inode = (self._path / DIGESTS / "data.mdb").stat().st_ino
        except OSError:
            return
        if self._opened is not None and self._opened[0] == inode:
            return
        self._opened = None  # what another thread has of it stays open until that is done with it
        try:
            environment = opened(self._path, map_size=self._map_size, read_only=True)
            databases = Databases(environment, create=False)
            with environment.begin(db=databases.meta) as transaction:
                if transaction.get(FORMAT_KEY) == FORMAT:
                    self._opened = inode, environment, databases
        except (StorageError, lmdb.Error):  # it is being made
            return
