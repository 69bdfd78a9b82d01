"""What an account remembers for a while: whom it has answered, which messages it has seen, how often it did something.

A key is any text; what is kept of it is a digest.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from engine.mailbox.layout import Databases, digest_key
from engine.mailbox.opened import Effects
from engine.mailbox.snapshot import Snapshot
from engine.storage.batch import Batch

_ROW = struct.Struct(">QI")


class Remembered(NamedTuple):
    """Something to remember. Times are Unix milliseconds."""

    key: str
    until: int
    again: bool = True  # the time begins anew, though it was remembered before
    times: int = 1  # how often it has happened now
    seen: int | None = None  # how often it had when this was decided, if that matters


def is_stale(batch: Batch, databases: Databases, account: int, wanted: Remembered, *, now: int) -> bool:
    """Whether it has happened since this was decided."""
    if wanted.seen is None:
        return False
    return _row(batch.get(databases.remembered, digest_key(account, wanted.key)), now)[1] != wanted.seen


def remember(batch: Batch, databases: Databases, account: int, wanted: Remembered, *, now: int) -> None:
    key = digest_key(account, wanted.key)
    until, times = _row(batch.get(databases.remembered, key), now)
    if not times or wanted.again:
        until = wanted.until
    batch.put(databases.remembered, key, _ROW.pack(until, times + wanted.times))


def times(snapshot: Snapshot, databases: Databases, account: int, key: str, *, now: int) -> int:
    """How often it has happened, as far as that is remembered; 0: never."""
    return _row(snapshot.get(databases.remembered, digest_key(account, key)), now)[1]


@dataclass(slots=True)
class ForgetKeys:
    """Drop keys whose time is over."""

    databases: Databases
    found: Iterable[bytes]
    now: int

    def __call__(self, batch: Batch) -> Effects:
        for key in self.found:
            if not _row(batch.get(self.databases.remembered, key), self.now)[1]:
                batch.delete(self.databases.remembered, key)
        return Effects()


def over(snapshot: Snapshot, databases: Databases, *, now: int) -> list[bytes]:
    """The keys whose time is over."""
    return [key for key, row in snapshot.scan(databases.remembered) if not _row(row, now)[1]]


def _row(octets: bytes | None, now: int) -> tuple[int, int]:
    """Until when it is remembered, and how often it has happened; zeros when it is not, or no longer."""
    until, count = _ROW.unpack(octets) if octets is not None else (0, 0)
    return (until, count) if now < until else (0, 0)
