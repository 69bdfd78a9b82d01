"""Whether mail to a domain went under TLS when it went there last: what `relay` has seen, for those who ask before.

One database: domain → MessagePack list of whether, and when. It tells nothing of what the domain promises.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple, NoReturn, Self

import lmdb
import msgspec
import trio

from engine.observe.events import event
from engine.policies.results import TlsResult
from engine.storage.environment import StorageError, forget, open_environment
from engine.storage.store import Store

FOLDER: Final = "policies/seen"
"""In the data folder."""

MAP_SIZE: Final = 2**30
"""Address space in octets: far more than MOST domains take."""

MOST: Final = 200_000
"""Domains that are remembered. Then no new one is, until some are too old."""

KEPT: Final = 180 * 86_400.0
"""Seconds: who has not been written to for half a year may be somebody else by now."""

EVERY: Final = 86_400.0
"""Seconds after which it is noted again that all is as it was."""

WRITTEN: Final = 20.0
"""Seconds in which news are gathered for the disk."""

WAITING: Final = 20_000
"""Domains that wait for the disk, or of which this process knows that the disk knows."""


class Seen(NamedTuple):
    """The last session with a server of the domain."""

    encrypted: bool
    when: float  # Unix time


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[bool, float]).decode


class SeenTls(Store):
    """The open store. One object a process."""

    def __init__(self, environment: lmdb.Environment, clock: Callable[[], float] = time.time) -> None:
        super().__init__(environment)
        self._clock = clock
        self._seen = environment.open_db(b"seen")
        self._known: dict[str, Seen] = {}  # what the disk knows by us
        self._waiting: dict[str, Seen] = {}

    @classmethod
    def open(cls, data: Path, clock: Callable[[], float] = time.time) -> Self:
        """Open it in the data folder, and make it if need be. StorageError."""
        return cls(open_environment(data / FOLDER, map_size=MAP_SIZE, databases=1), clock)

    def heard(self, result: TlsResult) -> None:
        """A session was had, or did not come about. Returns at once: it is written down by ``run``."""
        if result.failed and result.policy_type != "no-policy-found":
            return  # nothing was sent
        now = Seen(not result.failed, self._clock())
        known = self._known.get(result.domain)
        if known is not None and known.encrypted == now.encrypted and now.when - known.when < EVERY:
            return
        if len(self._waiting) < WAITING:
            self._waiting[result.domain] = now

    async def run(self) -> NoReturn:
        """Write down what was heard, every WRITTEN seconds, until cancelled."""
        while True:
            await trio.sleep(WRITTEN)
            try:
                await self.write()
            except StorageError as error:
                event("tls-not-noted", error=str(error))

    async def write(self) -> None:
        """Write it down now. StorageError."""
        if not self._waiting:
            return
        some, self._waiting = self._waiting, {}
        await trio.to_thread.run_sync(self._do, lambda txn: self._write(txn, some))
        if len(self._known) + len(some) > WAITING:
            self._known.clear()
        self._known.update(some)

    def of(self, domain: str) -> Seen | None:
        """What is known of a domain, in A-labels. StorageError."""
        value = self._do(lambda txn: txn.get(domain.encode(), db=self._seen), write=False)
        found = Seen(*_decode(value)) if value else None
        return found if found is not None and self._clock() - found.when < KEPT else None

    def _write(self, txn: "lmdb.Transaction[bytes]", some: dict[str, Seen]) -> None:
        over = self._clock() - KEPT
        if txn.stat(self._seen)["entries"] + len(some) > MOST:
            forget(txn, self._seen, lambda value: _decode(value)[1] < over)
        left = MOST - txn.stat(self._seen)["entries"]
        for domain, seen in some.items():
            key = domain.encode()
            is_new = txn.get(key, db=self._seen) is None
            if not is_new or left > 0:
                left -= is_new
                txn.put(key, _encode(tuple(seen)), db=self._seen)
