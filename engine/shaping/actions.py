"""Actions in force: what was decided, for a time, about a site. On disk, shared by all processes, over restarts too.

Two databases with an action's id for a key. Actions: those in force. Ended: those that were lifted or are over, until
somebody has been told of it.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias, TypeVar

import lmdb
import msgspec

from engine.storage.environment import open_environment
from engine.storage.store import Store

T = TypeVar("T")
Transaction: TypeAlias = "lmdb.Transaction[bytes]"
Act: TypeAlias = Literal["suspend", "slow", "use_source", "expire", "notify"]

FOLDER = "actions"
"""In the data folder."""

MAP_SIZE = 2**28
"""Octets of address space: some hundred thousand actions."""

REPLY = 500
"""Characters that are kept of the reply which has led to an action."""


class Action(msgspec.Struct, frozen=True, omit_defaults=True):
    """One action. ``site`` is the name of a site, or a pattern of its hosts or of domains. Times are Unix times."""

    id: str
    name: str  # of what has led to it; "by hand"
    act: Act
    site: str
    since: float
    until: float
    source: str = ""  # whose mail to the site it is about; empty: all sources
    tenant: str = ""  # the same of tenants
    provider: str = ""  # about all sites of which it is; `site` is for people then
    rate: float = 1.0  # of `slow`: the part that is left
    connections: float = 1.0
    use: str = ""  # of `use_source`: which one; empty: any other
    reply: str = ""
    notify: bool = False  # whether the postmaster gets a letter
    told: bool = False

    @classmethod
    def new(cls, name: str, act: Act, site: str, now: float, lasts: float, **rest: object) -> Self:
        """An action from now on."""
        values = {"id": os.urandom(4).hex(), "name": name, "act": act, "site": site, "since": now, "until": now + lasts}
        return msgspec.convert({**values, **rest}, cls)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Action).decode


class ActionStore(Store):
    """One object a process, for its threads as well. Every method blocks, and may raise StorageError."""

    def __init__(self, environment: lmdb.Environment, clock: Callable[[], float] = time.time) -> None:
        super().__init__(environment)
        self._actions = environment.open_db(b"actions")
        self._ended = environment.open_db(b"ended")
        self._clock = clock

    @classmethod
    def open(cls, data: Path, clock: Callable[[], float] = time.time) -> Self:
        """Open, and make if need be, the actions in the data folder. StorageError."""
        return cls(open_environment(data / FOLDER, map_size=MAP_SIZE, databases=2), clock)

    def all(self) -> list[Action]:
        """Those in force, the oldest first."""
        found = self._do(lambda txn: self._values(txn, self._actions), write=False)
        now = self._clock()
        return sorted((one for one in found if one.until > now), key=lambda one: one.since)

    def put(self, action: Action) -> None:
        self._do(lambda txn: txn.put(action.id.encode(), _encode(action), db=self._actions))

    def lift(self, identity: str) -> Action | None:
        """End one at once. It, if it was in force."""

        def change(txn: Transaction) -> Action | None:
            value = txn.pop(identity.encode(), db=self._actions)
            if value is None:
                return None
            txn.put(identity.encode(), value, db=self._ended)
            return _decode(value)

        return self._do(change)

    def news(self) -> tuple[list[Action], list[Action]]:
        """Those that nobody was told of, and those that have ended; from now on they count as told."""

        def change(txn: Transaction) -> tuple[list[Action], list[Action]]:
            now, begun = self._clock(), []
            for one in self._values(txn, self._actions):
                if one.until <= now:
                    txn.delete(one.id.encode(), db=self._actions)
                    txn.put(one.id.encode(), _encode(one), db=self._ended)
                elif not one.told:
                    begun.append(one)
                    txn.put(one.id.encode(), _encode(msgspec.structs.replace(one, told=True)), db=self._actions)
            ended = self._values(txn, self._ended)
            for one in ended:
                txn.delete(one.id.encode(), db=self._ended)
            return begun, ended

        return self._do(change)

    def has_news(self) -> bool:
        """Whether ``news`` would have any, without a change."""

        def look(txn: Transaction) -> bool:
            now = self._clock()
            there = self._values(txn, self._actions)
            return bool(txn.stat(self._ended)["entries"]) or any(not one.told or one.until <= now for one in there)

        return self._do(look, write=False)

    def _values(self, txn: Transaction, database: Any) -> list[Action]:
        return [_decode(value) for _, value in txn.cursor(database)]
