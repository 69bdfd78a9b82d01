"""Aggregate reports of DMARC that others have sent us, on disk: each once, for a time, in bounded room.

======== ================================================== ====================================================
database key                                                value
======== ================================================== ====================================================
reports  that of ``inbox_store``, of who signed it, who     MessagePack: KeptDmarc
         wrote it, under which name
signers  digest of the signer in 8 octets, and that key     nothing
======== ================================================== ====================================================

Anybody may write such a report, in the name of anybody. So what is kept says whose signature of DKIM was good on it;
who signs one cannot take the place of another's, and nobody can have more than his share of the room.
"""

import hashlib
import ipaddress
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import lmdb
import msgspec

from engine.reports.inbox_store import InboxStore, Transaction, key
from engine.reports.received import Record, Report, Signature
from engine.reports.unpacked import Unreadable
from engine.storage.store import OnDemand

FOLDER = "dmarc-received"
"""In the data folder."""

MOST = 20_000
"""Reports that are kept; then the oldest go."""

MOST_OF_ONE = 4_000
"""The same of one signer: the largest send some for each domain and day."""

LARGEST = 2**16
"""Octets of one report. Of a larger one the sources with the fewest messages are kept as one."""

LONGEST = 8 * 86_400
"""Seconds that a report may be about; most are about a day."""


class KeptRow(msgspec.Struct, frozen=True, array_like=True):
    """Messages from one source with the same results. An empty source: several, for which there was no room."""

    source: str
    dkim: bool
    spf: bool
    disposition: str
    header_from: str = ""
    signed_by: str = ""
    reason: str = ""


class KeptDmarc(msgspec.Struct, frozen=True, array_like=True):
    """A report. ``ours``: the domain here that it is about, or above that which it is about. ``signed``: the domains
    whose DKIM signatures were good; empty where nobody looked."""

    org: str
    identity: str
    domain: str
    ours: str
    begin: int
    end: int
    policy: str
    rows: tuple[tuple[KeptRow, int], ...]
    received: float
    signed: tuple[str, ...] = ()
    id: str = ""  # of the message that it came by

    @property
    def report(self) -> Report:
        """As it is read elsewhere."""
        return Report(
            self.org, "", self.identity, self.begin, self.end, self.domain, {"p": self.policy}, (),
            tuple(_record(row, count) for row, count in self.rows),
        )  # fmt: skip


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(KeptDmarc).decode


def kept(report: Report, ours: str, received: float, signed: tuple[str, ...] = (), identity: str = "") -> KeptDmarc:
    """What is kept of a report. Unreadable, for one that cannot be true."""
    if not report.begin <= report.end <= report.begin + LONGEST:
        raise Unreadable("it is about a time that cannot be")
    rows: Counter[KeptRow] = Counter()
    for record in report.records:
        rows[_row(record)] += record.count
    found = KeptDmarc(
        report.org_name, report.identity, report.domain, ours, report.begin, report.end,
        report.policy.get("p", "none"), tuple(rows.most_common()), received, signed, identity,
    )  # fmt: skip
    return _shortened(found)


class DmarcStore(InboxStore[KeptDmarc]):
    """The open store. One object a process. Every method may raise StorageError."""

    place = FOLDER
    databases = 2

    def __init__(self, environment: lmdb.Environment) -> None:
        super().__init__(environment)
        self._signers = self._database(b"signers")

    def _put(self, txn: Transaction, one: KeptDmarc, oldest: float) -> bool:
        new = _key(one)
        if txn.get(new, db=self._reports) is not None:
            return False
        for old in self._too_many(txn, _signer(one), oldest):
            value = txn.get(old, db=self._reports)
            if value is not None:
                txn.delete(_signer(_decode(value)) + old, db=self._signers)
                txn.delete(old, db=self._reports)
        txn.put(_signer(one) + new, b"", db=self._signers)
        return bool(txn.put(new, _encode(one), db=self._reports))

    def _too_many(self, txn: Transaction, signer: bytes, oldest: float) -> list[bytes]:
        """What is to go: what is too old; else the oldest of the signer who has his share, or of all."""
        gone = self._ended(txn, oldest)
        own = list(islice(self._of_signer(txn, signer), MOST_OF_ONE))
        if len(own) >= MOST_OF_ONE:
            gone.append(own[0])
        elif not gone and txn.stat(self._reports)["entries"] >= MOST:
            gone += self._first(txn, 1)
        return gone

    def _of_signer(self, txn: Transaction, signer: bytes) -> Iterator[bytes]:
        cursor = txn.cursor(self._signers)
        if cursor.set_range(signer):
            for found in cursor.iternext(keys=True, values=False):
                if not found.startswith(signer):
                    return
                yield bytes(found[len(signer) :])

    def _read(self, value: bytes) -> KeptDmarc:
        return _decode(value)


class DmarcInbox(OnDemand[DmarcStore]):
    """The store of a process, opened when it is first wanted."""

    def __init__(self, data: Path) -> None:
        super().__init__(partial(DmarcStore.open, data))

    def take(self, report: Report, ours: str, keep: float, *, signed: tuple[str, ...] = (), identity: str = "") -> bool:
        """Keep it for so many seconds from its end on; whether it is new. Unreadable, StorageError. Blocks."""
        return self.opened().put(kept(report, ours, time.time(), signed, identity), keep)

    def reports(self, since: float = 0.0) -> Iterator[KeptDmarc]:
        """Those about a time that ended since then. StorageError. Blocks."""
        return self.opened().reports(since)


def _row(record: Record) -> KeptRow:
    """Unreadable for what is no source."""
    try:
        source = str(ipaddress.ip_address(record.source))
    except ValueError:
        raise Unreadable(f"{record.source!r} stands where there should be an address") from None
    signed_by = next((one.domain for one in record.signatures if one.result == "pass"), "")
    return KeptRow(
        source, record.dkim == "pass", record.spf == "pass", _disposition(record.disposition), record.header_from,
        signed_by, record.reasons[0] if record.reasons else "",
    )  # fmt: skip


def _disposition(said: str) -> str:
    """RFC 9990 2.1.1: pass is for what passed, and was delivered."""
    return said if said in ("quarantine", "reject") else "none"


def _record(row: KeptRow, count: int) -> Record:
    signatures = (Signature(row.signed_by, "", "pass"),) if row.signed_by else ()
    dkim, spf = ("pass" if passed else "fail" for passed in (row.dkim, row.spf))
    reasons = (row.reason,) if row.reason else ()
    return Record(row.source, count, row.disposition, dkim, spf, reasons, row.header_from, "", signatures, ())


def _shortened(one: KeptDmarc) -> KeptDmarc:
    """It as it has room: half of the rows go together, those with the fewest messages, until it does."""
    rows = one.rows
    while len(_encode(msgspec.structs.replace(one, rows=rows))) > LARGEST and len(rows) > 1:
        rows = rows[: len(rows) // 2]
    if len(rows) == len(one.rows):
        return one
    return msgspec.structs.replace(one, rows=(*rows, *_together(one.rows[len(rows) :])))


def _together(rows: Iterable[tuple[KeptRow, int]]) -> list[tuple[KeptRow, int]]:
    """By their results alone: so the totals are right."""
    found: Counter[KeptRow] = Counter()
    for row, count in rows:
        found[KeptRow("", row.dkim, row.spf, row.disposition)] += count
    return found.most_common()


def _signer(one: KeptDmarc) -> bytes:
    return hashlib.blake2b((one.signed[0] if one.signed else "").encode(), digest_size=8).digest()


def _key(one: KeptDmarc) -> bytes:
    return key(one.end, *one.signed, one.org, one.identity, one.domain)
