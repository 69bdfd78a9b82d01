"""A table of entries that end by themselves, in LMDB, shared by all processes of this machine.

Nothing is synced: that would be one more sync for each message (`engine/abuse/memory.py` says what outlives a start of
the machine). A key is a digest, so that long addresses fit; who has to list the entries keeps the names in the values.
"""

import hashlib
import heapq
import struct
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import lmdb

from engine.storage.store import done

T = TypeVar("T")
Transaction: TypeAlias = "lmdb.Transaction[bytes]"

MOST = 500_000
"""Entries of a table: some 100 MB on disk. Strangers fill it no further."""

_SHARE = 10
"""One in so many is forgotten when a table is full, so that it is not full again at once."""

_END = struct.Struct(">d")


@dataclass(frozen=True, slots=True)
class Kept:
    """A value, and for how many seconds from now on."""

    value: bytes
    seconds: float


Changes: TypeAlias = Mapping[bytes, Kept | None]
"""What becomes of keys: kept anew, or (None) forgotten."""

Decide: TypeAlias = Callable[[Sequence[bytes | None]], tuple[T, Changes]]
"""From the values of some keys: the answer, and what changes. It may be asked again about newer values."""


def key_of(*names: str) -> bytes:
    """The key for these names, none of which has a NUL."""
    return hashlib.blake2b("\0".join(names).encode("utf-8", "surrogateescape"), digest_size=16).digest()


class Table:
    """One object a process, for its threads as well. Every method blocks, and may raise StorageError."""

    def __init__(
        self, environment: lmdb.Environment, name: str, *, most: int = MOST, clock: Callable[[], float] = time.time
    ) -> None:
        self.name = name
        self._environment = environment
        self._database = environment.open_db(name.encode())
        self._most = most
        self._clock = clock

    def read(self, keys: Iterable[bytes]) -> list[bytes | None]:
        """The values of the keys, None where there is none."""
        return self._do(lambda txn: self._values(txn, keys), write=False)

    def change(self, keys: Sequence[bytes], decide: Decide[T]) -> T:
        """Apply what ``decide`` says about the values of the keys, with nobody in between; its answer."""

        def changed(txn: Transaction) -> T:
            answer, changes = decide(self._values(txn, keys))
            self._apply(txn, changes)
            return answer

        return self._do(changed)

    def apply(self, changes: Changes) -> None:
        self._do(lambda txn: self._apply(txn, changes))

    def entries(self) -> list[tuple[bytes, bytes]]:
        """All keys with their values."""
        now = self._clock()
        return self._do(
            lambda txn: [(key, value[8:]) for key, value in txn.cursor(self._database) if not _is_over(value, now)],
            write=False,
        )

    def sweep(self) -> None:
        """Forget what has ended."""
        now = self._clock()
        if over := self._do(lambda txn: self._where(txn, lambda value: _is_over(value, now)), write=False):
            self._do(lambda txn: self._delete(txn, over))

    # Transactions

    def _do(self, what: Callable[[Transaction], T], *, write: bool = True) -> T:
        return done(self._environment, what, write=write)

    def _values(self, txn: Transaction, keys: Iterable[bytes]) -> list[bytes | None]:
        now = self._clock()
        found = (txn.get(key, db=self._database) for key in keys)
        return [None if value is None or _is_over(value, now) else value[8:] for value in found]

    def _apply(self, txn: Transaction, changes: Changes) -> None:
        now = self._clock()
        put = [(key, _END.pack(now + kept.seconds) + kept.value) for key, kept in changes.items() if kept is not None]
        self._delete(txn, [key for key, kept in changes.items() if kept is None])
        if put:
            self._make_room(txn)
            txn.cursor(self._database).putmulti(put)  # py-lmdb drops the interpreter lock on every single put

    def _make_room(self, txn: Transaction) -> None:
        """Forget what would end first: of clients on a greylist, those that have never come back."""
        count = txn.stat(self._database)["entries"]
        if count < self._most:
            return
        ends = (_END.unpack_from(value)[0] for _, value in txn.cursor(self._database))
        last = heapq.nsmallest(max(1, count // _SHARE), ends)[-1]
        self._delete(txn, self._where(txn, lambda value: _END.unpack_from(value)[0] <= last))

    def _where(self, txn: Transaction, holds: Callable[[bytes], bool]) -> list[bytes]:
        return [bytes(key) for key, value in txn.cursor(self._database) if holds(value)]

    def _delete(self, txn: Transaction, keys: Iterable[bytes]) -> None:
        for key in keys:
            txn.delete(key, db=self._database)


def _is_over(value: bytes, now: float) -> bool:
    end: Any = _END.unpack_from(value)[0]
    return bool(end <= now)
