"""What waits to be posted, on disk: for each webhook a bounded queue, which all processes fill and one empties.

Two databases. Entries: a webhook's name, NUL, a number that grows with time; the value is JSON. Counts: how many wait.
"""

import fnmatch
import itertools
import os
import struct
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self, TypeAlias, TypeVar

import lmdb
import msgspec

from engine.bounces.journal import Entry
from engine.config import Webhook
from engine.storage.environment import open_environment
from engine.storage.store import Store

T = TypeVar("T")
Transaction: TypeAlias = "lmdb.Transaction[bytes]"

FOLDER = "webhooks"
"""In the data folder."""

MAP_SIZE = 2**33
"""Octets of address space: some millions of events."""

_COUNT = struct.Struct(">QQ")  # waiting, dropped
_NUMBER = struct.Struct(">QII")  # microseconds of Unix time, a number of the process, the process
_numbers = itertools.count()
_encode = msgspec.json.Encoder().encode


class Waiting(NamedTuple):
    """An event that waits: its key, when it came, and its JSON."""

    key: bytes
    since: float
    json: bytes


class State(NamedTuple):
    """How many events wait for a webhook, and how many were dropped, ever."""

    waiting: int
    dropped: int


def wants(webhook: Webhook, entry: Entry) -> bool:
    """Whether it is to hear of that."""
    if not any(fnmatch.fnmatchcase(entry.event, name) for name in webhook.events):
        return False
    if webhook.classes and entry.which and entry.which not in webhook.classes:
        return False
    return not webhook.tenants or entry.tenant in webhook.tenants


class Outbox(Store):
    """One object a process, for its threads as well. Every method blocks, and may raise StorageError."""

    def __init__(self, environment: lmdb.Environment, clock: Callable[[], float] = time.time) -> None:
        super().__init__(environment)
        self._entries = environment.open_db(b"entries")
        self._counts = environment.open_db(b"counts")
        self._clock = clock

    @classmethod
    def open(cls, data: Path, clock: Callable[[], float] = time.time) -> Self:
        """Open, and make if need be, what waits in the data folder. StorageError."""
        return cls(open_environment(data / FOLDER, map_size=MAP_SIZE, databases=2), clock)

    def put(self, webhooks: Iterable[Webhook], entries: Sequence[Entry]) -> int:
        """Let the events wait for each of the webhooks that wants them. How many had no room."""
        wanted = {one.name: (one, [entry for entry in entries if wants(one, entry)]) for one in webhooks}
        wanted = {name: some for name, some in wanted.items() if some[1]}
        return self._do(lambda txn: self._put(txn, wanted)) if wanted else 0

    def _put(self, txn: Transaction, wanted: Mapping[str, tuple[Webhook, list[Entry]]]) -> int:
        lost = 0
        for name, (webhook, entries) in wanted.items():
            state = self._state(txn, name)
            some = entries[: max(0, webhook.most - state.waiting)]
            lost += len(entries) - len(some)
            pairs = [(_key(name, self._clock()), _encode(entry)) for entry in some]
            txn.cursor(self._entries).putmulti(pairs)
            dropped = state.dropped + len(entries) - len(some)
            self._count(txn, name, State(state.waiting + len(some), dropped))
        return lost

    def first(self, name: str, most: int) -> list[Waiting]:
        """What has waited longest for that webhook."""

        def found(txn: Transaction) -> list[Waiting]:
            prefix = _prefix(name)
            cursor = txn.cursor(self._entries)
            some: list[Waiting] = []
            if cursor.set_range(prefix):
                for key, value in cursor:
                    if not key.startswith(prefix) or len(some) == most:
                        break
                    some.append(Waiting(bytes(key), _NUMBER.unpack_from(key, len(prefix))[0] / 1e6, bytes(value)))
            return some

        return self._do(found, write=False)

    def remove(self, name: str, keys: Sequence[bytes], *, dropped: bool = False) -> None:
        """They were taken, or (``dropped``) waited for too long."""

        def change(txn: Transaction) -> None:
            gone = sum(txn.delete(key, db=self._entries) for key in keys)
            state = self._state(txn, name)
            self._count(txn, name, State(max(0, state.waiting - gone), state.dropped + (gone if dropped else 0)))

        self._do(change)

    def state(self, name: str) -> State:
        return self._do(lambda txn: self._state(txn, name), write=False)

    def _state(self, txn: Transaction, name: str) -> State:
        value = txn.get(name.encode(), db=self._counts)
        return State(*_COUNT.unpack(value)) if value else State(0, 0)

    def _count(self, txn: Transaction, name: str, state: State) -> None:
        txn.put(name.encode(), _COUNT.pack(*state), db=self._counts)


def _prefix(name: str) -> bytes:
    return name.encode()[:200] + b"\0"


def _key(name: str, now: float) -> bytes:
    return _prefix(name) + _NUMBER.pack(int(now * 1e6), next(_numbers) & 0xFFFFFFFF, os.getpid() & 0xFFFFFFFF)
