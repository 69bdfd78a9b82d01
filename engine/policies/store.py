"""Policies of MTA-STS that were fetched: on disk, for all processes and for the next start.

One database: domain → the policy, its id, when it was fetched, last used and last asked for anew.
"""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol, Self, TypeVar

import lmdb
import msgpack
from msgspec import Struct
from msgspec.structs import replace

from engine.protocols.mta_sts import StsPolicy
from engine.storage.environment import StorageError, open_environment, reason
from engine.storage.store import Store

T = TypeVar("T")

FOLDER = "policies"
"""In the data folder."""

MAP_SIZE = 2**30
"""Address space in octets: far more than MOST policies take."""

MOST = 200_000
"""Policies that are kept. Then no new one is, until some have ended: their domains are asked each time."""

AGAIN = 86_400.0
"""Seconds after which a policy is asked for anew, though it holds on: RFC 8461 10.2 suggests daily."""

SHARE = 0.5
"""Part of its time after which that is done in any case."""

UNUSED = 30 * 86_400.0
"""Seconds after which a policy that no mail has needed is left to end."""

USED = 86_400.0
"""Seconds between two notes that a policy is used."""


class Kept(Struct, frozen=True, gc=False):
    """A policy with the id of the record under which it was found. Times are Unix times in seconds."""

    policy: StsPolicy
    id: str
    fetched: float
    used: float
    tried: float = 0.0  # when it was last asked for anew

    @property
    def expires(self) -> float:
        return self.fetched + self.policy.max_age

    @property
    def due(self) -> float:
        """When to ask for it anew."""
        return max(self.fetched, self.tried) + min(AGAIN, self.policy.max_age * SHARE)


class StsMemory(Protocol):
    """Where policies are kept. Every method blocks, and may raise StorageError."""

    def get(self, domain: str) -> Kept | None:
        """The policy of the domain, unless it has ended."""
        ...

    def put(self, domain: str, kept: Kept) -> None: ...

    def used(self, domain: str) -> None:
        """Note that mail goes by it."""
        ...

    def due(self, most: int) -> list[str]:
        """Domains whose policies are to be asked for anew; each is told to one asker, once in a while."""
        ...


class InMemory:
    """For one process, and no longer than it."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._kept: dict[str, Kept] = {}

    def get(self, domain: str) -> Kept | None:
        kept = self._kept.get(domain)
        return kept if kept is not None and kept.expires > self._clock() else None

    def put(self, domain: str, kept: Kept) -> None:
        self._kept[domain] = kept

    def take(self, kept: Iterable[tuple[str, Kept]]) -> None:
        """Begin with what another memory has."""
        self._kept.update(kept)

    def used(self, domain: str) -> None:
        """It is, or it would not be here."""

    def due(self, most: int) -> list[str]:  # noqa: ARG002 - it lives too short for that
        return []


class StsStore(Store):
    """The open store. One object a process."""

    def __init__(self, environment: lmdb.Environment, clock: Callable[[], float] = time.time) -> None:
        super().__init__(environment)
        self._clock = clock
        self._policies = environment.open_db(b"sts", create=not environment.flags()["readonly"])

    @classmethod
    def open(cls, data: Path, *, read_only: bool = False, clock: Callable[[], float] = time.time) -> Self:
        """Open it in the data folder, and make it if need be. StorageError."""
        path = data / FOLDER
        try:
            return cls(open_environment(path, map_size=MAP_SIZE, databases=1, read_only=read_only), clock)
        except lmdb.Error as error:
            raise StorageError(f"cannot open the store in {path}: {reason(error)}") from error

    def get(self, domain: str) -> Kept | None:
        kept = self._do(lambda txn: self._read(txn, domain), write=False)
        return kept if kept is not None and kept.expires > self._clock() else None

    def all(self) -> list[tuple[str, Kept]]:
        return self._do(
            lambda txn: [(key.decode(), unpack(bytes(value))) for key, value in txn.cursor(self._policies)], write=False
        )

    def put(self, domain: str, kept: Kept) -> None:
        self._do(lambda txn: self._write(txn, domain, kept))

    def used(self, domain: str) -> None:
        def note(txn: "lmdb.Transaction[bytes]") -> None:
            kept = self._read(txn, domain)
            if kept is not None:
                self._write(txn, domain, replace(kept, used=self._clock()))

        self._do(note)

    def due(self, most: int) -> list[str]:
        return self._do(lambda txn: self._claim(txn, most))

    def _claim(self, txn: "lmdb.Transaction[bytes]", most: int) -> list[str]:
        now = self._clock()
        everything = [(bytes(key), unpack(bytes(value))) for key, value in txn.cursor(self._policies)]
        for key, kept in everything:
            if kept.expires <= now:
                txn.delete(key, db=self._policies)
        wanted = [
            (key, kept) for key, kept in everything if kept.due <= now < kept.expires and now - kept.used < UNUSED
        ][:most]
        for key, kept in wanted:
            txn.put(key, pack(replace(kept, tried=now)), db=self._policies)
        return [key.decode() for key, _ in wanted]

    def _read(self, txn: "lmdb.Transaction[bytes]", domain: str) -> Kept | None:
        found = txn.get(domain.encode(), db=self._policies)
        return None if found is None else unpack(bytes(found))

    def _write(self, txn: "lmdb.Transaction[bytes]", domain: str, kept: Kept) -> None:
        key = domain.encode()
        is_new = txn.get(key, db=self._policies) is None
        if not is_new or txn.stat(self._policies)["entries"] < MOST:
            txn.put(key, pack(kept), db=self._policies)


def pack(kept: Kept) -> bytes:
    policy = kept.policy
    packed: bytes = msgpack.packb(
        [policy.mode, policy.max_age, policy.mx, kept.id, kept.fetched, kept.used, kept.tried]
    )
    return packed


def unpack(octets: bytes) -> Kept:
    mode, max_age, mx, *rest = msgpack.unpackb(octets)
    return Kept(StsPolicy(mode, max_age, tuple(mx)), *rest)
