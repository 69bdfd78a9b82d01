"""Reports on TLS that others have sent us, on disk: each once, for a time, in bounded room; those of DMARC beside them.

One database, by the keys of ``inbox_store``; the value is MessagePack.
"""

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import msgspec

from engine.reports.dmarc_inbox import DmarcInbox
from engine.reports.inbox_store import InboxStore, Transaction, key
from engine.reports.tls_received import TlsReport
from engine.storage.store import OnDemand

FOLDER = "tls-received"
"""In the data folder."""

MOST = 50_000
"""Reports that are kept; then the oldest go."""

LARGEST = 2**20
"""Octets of one report. Of a larger one the failures are left out, and their totals kept."""


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """A report. ``signed``: the domains whose DKIM signatures were good; empty where nobody looked."""

    report: TlsReport
    received: float
    signed: tuple[str, ...] = ()
    id: str = ""  # of the message that it came by
    peer: str = ""  # the address that has posted it, by HTTPS

    @property
    def end(self) -> int:
        return self.report.end


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Kept).decode


class ReportStore(InboxStore[Kept]):
    """The open store. One object a process. Every method may raise StorageError."""

    place = FOLDER

    def _put(self, txn: Transaction, one: Kept, oldest: float) -> bool:
        gone = self._ended(txn, oldest)
        if not gone and txn.stat(self._reports)["entries"] >= MOST:
            gone = self._first(txn, 1)
        for old in gone:
            txn.delete(old, db=self._reports)
        value = _encode(one)
        if len(value) > LARGEST:
            value = _encode(msgspec.structs.replace(one, report=_shortened(one.report)))
        return bool(txn.put(_key(one), value, db=self._reports, overwrite=False)) if len(value) <= LARGEST else False

    def _read(self, value: bytes) -> Kept:
        return _decode(value)


class Inbox(OnDemand[ReportStore]):
    """A service for stages: the store, made when it is first wanted."""

    def __init__(self, data: Path) -> None:
        super().__init__(partial(ReportStore.open, data))
        self.dmarc = DmarcInbox(data)

    def take(
        self, report: TlsReport, keep: float, *, signed: tuple[str, ...] = (), identity: str = "", peer: str = ""
    ) -> bool:
        """Keep it for so many seconds from its end on; whether it is new. StorageError. Blocks."""
        return self.opened().put(Kept(report, time.time(), signed, identity, peer), keep)

    def reports(self, since: float = 0.0) -> Iterator[Kept]:
        """Those about a time that ended since then. StorageError. Blocks."""
        return self.opened().reports(since)

    def close(self) -> None:
        super().close()
        self.dmarc.close()


def _key(kept: Kept) -> bytes:
    report = kept.report
    return key(report.end, *kept.signed, report.org_name, report.identity, *report.domains)


def _shortened(report: TlsReport) -> TlsReport:
    policies = tuple(msgspec.structs.replace(policy, failures=(), lines=(), mx=()) for policy in report.policies)
    return msgspec.structs.replace(report, policies=policies)
