"""Reports that others have sent us, on disk: what those on DMARC and those on TLS have in common.

Each is kept once, for a time. Its key is the Unix time of its end, in 5 octets, and a digest of who sent it and under
which name.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import ClassVar, Generic, Protocol, Self, TypeAlias, TypeVar

import lmdb

from engine.storage.environment import StorageError, open_environment
from engine.storage.store import Store

Transaction: TypeAlias = "lmdb.Transaction[bytes]"

MAP_SIZE = 2**31
"""Octets that reports of one kind may take on disk."""

PAGE = 200
"""Reports that are read at once, and that are removed by one who comes."""

_EARLY = 2 * 86_400.0
"""Seconds by which a report may be about the future."""


class Received(Protocol):
    """A report as it is kept. Both are Unix times."""

    @property
    def end(self) -> int:
        """Of what it is about."""
        ...

    @property
    def received(self) -> float: ...


K = TypeVar("K", bound=Received)


class InboxStore(Store, ABC, Generic[K]):
    """The open store. One object a process. Every method may raise StorageError."""

    place: ClassVar[str]
    """Its folder, in the data folder."""

    databases: ClassVar[int] = 1

    def __init__(self, environment: lmdb.Environment) -> None:
        super().__init__(environment)
        self._reports = self._database(b"reports")

    def _database(self, name: bytes) -> "lmdb._Database":
        return self._environment.open_db(name, create=not self._environment.flags()["readonly"])

    @classmethod
    def open(cls, data: Path, *, read_only: bool = False) -> Self:
        """Open it in the data folder, and make it if need be."""
        path = data / cls.place
        try:
            return cls(open_environment(path, map_size=MAP_SIZE, databases=cls.databases, read_only=read_only))
        except lmdb.Error as error:
            raise StorageError(f"cannot open the store in {path}: {error}") from error

    def put(self, one: K, keep: float) -> bool:
        """Keep it, and forget what ended ``keep`` seconds ago. Whether it is new, and not as old as that itself."""
        if not max(0.0, one.received - keep) < one.end < one.received + _EARLY:
            return False
        return self._do(lambda txn: self._put(txn, one, one.received - keep))

    def reports(self, since: float = 0.0) -> Iterator[K]:
        """Those about a time that ended since then, the oldest first; read bit by bit, so that nothing is held open."""
        after = max(0, int(since)).to_bytes(5, "big")
        while some := self._page(after):
            for key, value in some:
                yield self._read(value)
                after = key + b"\0"

    @abstractmethod
    def _put(self, txn: Transaction, one: K, oldest: float) -> bool:
        """Whether it is new. What ended before ``oldest`` goes, and what there is no room for."""

    @abstractmethod
    def _read(self, value: bytes) -> K: ...

    def _first(self, txn: Transaction, most: int) -> list[bytes]:
        """The keys of the oldest."""
        return [bytes(key) for key in islice(txn.cursor(self._reports).iternext(keys=True, values=False), most)]

    def _ended(self, txn: Transaction, oldest: float) -> list[bytes]:
        """The keys of what ended before then: a page of them at most."""
        return [key for key in self._first(txn, PAGE) if int.from_bytes(key[:5], "big") < oldest]

    def _page(self, after: bytes) -> list[tuple[bytes, bytes]]:
        def found(txn: Transaction) -> list[tuple[bytes, bytes]]:
            cursor = txn.cursor(self._reports)
            if not cursor.set_range(after):
                return []
            return [(bytes(key), bytes(value)) for key, value in islice(cursor, PAGE)]

        return self._do(found, write=False)


def key(end: int, *names: str) -> bytes:
    """Of a report that these have made."""
    return (
        end.to_bytes(5, "big") + hashlib.blake2b("\0".join(names).encode("utf-8", "replace"), digest_size=16).digest()
    )
