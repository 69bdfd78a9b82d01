"""Reports on TLS that others have sent us, on disk: each once, for a time, in bounded room; those of DMARC beside them.

One database: the Unix time of the end of the report, in 5 octets, and a digest of who sent it and under which name; the
value is MessagePack.
"""

import hashlib
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Self, TypeAlias

import lmdb
import msgspec

from engine.reports.dmarc_inbox import DmarcInbox
from engine.reports.tls_received import TlsReport
from engine.storage.environment import StorageError, open_environment
from engine.storage.store import Store

Transaction: TypeAlias = "lmdb.Transaction[bytes]"

FOLDER = "tls-received"
"""In the data folder."""

MAP_SIZE = 2**31
"""Octets that they may take on disk."""

MOST = 50_000
"""Reports that are kept; then the oldest go."""

LARGEST = 2**20
"""Octets of one report. Of a larger one the failures are left out, and their totals kept."""

PAGE = 200
"""Reports that are read at once, and that are removed by one who comes."""

_EARLY = 2 * 86_400.0
"""Seconds by which a report may be about the future."""


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """A report. ``signed``: the domains whose DKIM signatures were good; empty where nobody looked."""

    report: TlsReport
    received: float
    signed: tuple[str, ...] = ()
    id: str = ""  # of the message that it came by
    peer: str = ""  # the address that has posted it, by HTTPS


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Kept).decode


class ReportStore(Store):
    """The open store. One object a process. Every method may raise StorageError."""

    def __init__(self, environment: lmdb.Environment) -> None:
        super().__init__(environment)
        self._reports = environment.open_db(b"reports", create=not environment.flags()["readonly"])

    @classmethod
    def open(cls, data: Path, *, read_only: bool = False) -> Self:
        """Open it in the data folder, and make it if need be."""
        path = data / FOLDER
        try:
            return cls(open_environment(path, map_size=MAP_SIZE, databases=1, read_only=read_only))
        except lmdb.Error as error:
            raise StorageError(f"cannot open the store in {path}: {error}") from error

    def put(self, kept: Kept, keep: float) -> bool:
        """Keep it, and forget what ended ``keep`` seconds ago. Whether it is new, and not as old as that itself."""
        end = kept.report.end
        if not max(0.0, kept.received - keep) < end < kept.received + _EARLY:
            return False
        return self._do(lambda txn: self._put(txn, kept, kept.received - keep))

    def _put(self, txn: Transaction, kept: Kept, oldest: float) -> bool:
        full = txn.stat(self._reports)["entries"] >= MOST
        cursor = txn.cursor(self._reports)
        gone = [bytes(key) for key in islice(cursor.iternext(keys=True, values=False), PAGE) if _end(key) < oldest]
        if full and not gone:
            gone = [bytes(key) for key in islice(txn.cursor(self._reports).iternext(keys=True, values=False), 1)]
        for key in gone:
            txn.delete(key, db=self._reports)
        value = _encode(kept)
        if len(value) > LARGEST:
            value = _encode(msgspec.structs.replace(kept, report=_shortened(kept.report)))
        return bool(txn.put(_key(kept), value, db=self._reports, overwrite=False)) if len(value) <= LARGEST else False

    def reports(self, since: float = 0.0) -> Iterator[Kept]:
        """Those about a time that ended since then, the oldest first; read bit by bit, so that nothing is held open."""
        after = max(0, int(since)).to_bytes(5, "big")
        while some := self._page(after):
            for key, value in some:
                yield _decode(value)
                after = key + b"\0"

    def _page(self, after: bytes) -> list[tuple[bytes, bytes]]:
        def found(txn: Transaction) -> list[tuple[bytes, bytes]]:
            cursor = txn.cursor(self._reports)
            if not cursor.set_range(after):
                return []
            return [(bytes(key), bytes(value)) for key, value in islice(cursor, PAGE)]

        return self._do(found, write=False)


class Inbox:
    """A service for stages: the store, made when it is first wanted."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._store: ReportStore | None = None
        self._opening = threading.Lock()  # by one thread: LMDB cannot be opened twice in one process
        self.dmarc = DmarcInbox(data)

    def take(
        self, report: TlsReport, keep: float, *, signed: tuple[str, ...] = (), identity: str = "", peer: str = ""
    ) -> bool:
        """Keep it for so many seconds from its end on; whether it is new. StorageError. Blocks."""
        return self._opened().put(Kept(report, time.time(), signed, identity, peer), keep)

    def reports(self, since: float = 0.0) -> Iterator[Kept]:
        """Those about a time that ended since then. StorageError. Blocks."""
        return self._opened().reports(since)

    def _opened(self) -> ReportStore:
        with self._opening:
            if self._store is None:
                self._store = ReportStore.open(self._data)
            return self._store

    def close(self) -> None:
        if self._store is not None:
            self._store.close()
        self.dmarc.close()


def _key(kept: Kept) -> bytes:
    report = kept.report
    named = "\0".join((*kept.signed, report.org_name, report.identity, *report.domains))
    return report.end.to_bytes(5, "big") + hashlib.blake2b(named.encode(), digest_size=16).digest()


def _end(key: bytes) -> int:
    return int.from_bytes(key[:5], "big")


def _shortened(report: TlsReport) -> TlsReport:
    policies = tuple(msgspec.structs.replace(policy, failures=(), lines=(), mx=()) for policy in report.policies)
    return msgspec.structs.replace(report, policies=policies)
