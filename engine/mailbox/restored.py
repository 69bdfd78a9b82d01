"""After an older copy of the store was put back: what was given out since then must not be given out again.

Clients have seen UIDs, MODSEQs and mailboxes that this store knows nothing of. All counters jump over them. UIDVALIDITY
stays, and with it what clients have of the mail that is there, and POP3's unique ids: to them, the lost messages have
been expunged.
"""

from dataclasses import dataclass

from engine.mailbox.content import keys
from engine.mailbox.layout import UIDVALIDITY_KEY, Databases, account_key
from engine.mailbox.opened import Effects
from engine.mailbox.rows import AccountRow, MailboxRow
from engine.mailbox.snapshot import Snapshot
from engine.storage.batch import Batch

UIDS = 2**20
"""More messages than come into one mailbox between two backups; a mailbox has room for 4,000 such jumps."""

MODSEQS = 2**32
"""More changes than are made; the 63 bits of RFC 7162 have room for 2**31 such jumps."""

MAILBOXES = 2**16
"""More mailboxes than are made, in one account or in all."""


def jumped_account(row: AccountRow) -> AccountRow:
    return row._replace(newest=row.newest + MAILBOXES, modseq=row.modseq + MODSEQS)


def jumped(row: MailboxRow, modseq: int) -> MailboxRow:
    """``modseq``: that of its account, which has jumped."""
    return row._replace(uidnext=row.uidnext + UIDS, modseq=modseq, lowest=modseq)


@dataclass(slots=True)
class Jumped(Effects):
    """The result of ``Jump``: how many accounts, and the last of them."""

    count: int = 0
    last: bytes = b""


@dataclass(frozen=True, slots=True)
class Jump:
    """Let the counters of up to ``limit`` accounts jump, of those that come after ``after``. Twice does no harm."""

    databases: Databases
    after: bytes
    limit: int

    def __call__(self, batch: Batch) -> Jumped:
        if not self.after:
            last = int.from_bytes(batch.get(self.databases.meta, UIDVALIDITY_KEY) or b"", "big")
            batch.put(self.databases.meta, UIDVALIDITY_KEY, (last + MAILBOXES).to_bytes(4, "big"))
        found: list[bytes] = []
        for key, _ in Snapshot(batch.transaction).scan(self.databases.account, start=self.after + b"\0"):
            found.append(key)
            if len(found) == self.limit:
                break
        for key in found:
            self._jump(batch, int.from_bytes(key, "big"))
        return Jumped(count=len(found), last=found[-1] if found else b"")

    def _jump(self, batch: Batch, account: int) -> None:
        row = jumped_account(AccountRow.parse(batch.get(self.databases.account, account_key(account)) or b""))
        batch.put(self.databases.account, account_key(account), row.octets())
        for key in keys(batch, self.databases.mailbox, account_key(account)):
            mailbox = jumped(MailboxRow.parse(batch.get(self.databases.mailbox, key) or b""), row.modseq)
            batch.put(self.databases.mailbox, key, mailbox.octets())
