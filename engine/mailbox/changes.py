"""The changes to the store: each one is applied whole, inside one transaction of the writer."""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice

from engine.mailbox.large import Staged
from engine.mailbox.layout import (
    INBOX,
    NO_FILE,
    AccountRow,
    ContentRow,
    Databases,
    MailboxRow,
    MessageRow,
    account_key,
    chunk_key,
    delivered_key,
    erasing_key,
    file_name,
    mailbox_key,
    message_key,
    place,
)
from engine.mailbox.snapshot import Snapshot
from engine.message import MessageId
from engine.storage.writer import Batch, Database


class Outcome(enum.Enum):
    """What became of one message for one account."""

    DELIVERED = "delivered to mailbox"
    ALREADY = "delivered already"
    GONE = "the account was removed"


@dataclass(frozen=True, slots=True)
class Deliver:
    """Put one message into the INBOX of each account that has not had it. Exactly once, or not at all."""

    databases: Databases
    message_id: MessageId
    content: bytes  # key
    staged: Staged
    headings: Mapping[int, bytes]  # account → header fields of this delivery
    received: int  # Unix milliseconds
    now: int  # Unix milliseconds

    def __call__(self, batch: Batch) -> "Delivered":
        outcomes = {account: self._place(batch, account, heading) for account, heading in self.headings.items()}
        added = sum(outcome is Outcome.DELIVERED for outcome in outcomes.values())
        return Delivered(outcomes, file_used=bool(added) and self._refer(batch, added))

    def _place(self, batch: Batch, account: int, heading: bytes) -> Outcome:
        key = delivered_key(self.message_id, account)
        if batch.get(self.databases.delivered, key) is not None:
            return Outcome.ALREADY
        mailbox = _inbox(batch, self.databases, account, self.now)
        if mailbox is None:
            return Outcome.GONE
        uid, modseq, size = mailbox.uidnext, mailbox.modseq + 1, len(heading) + self.staged.size
        message = MessageRow(self.content, 0, 0, modseq, size, self.received, self.now, heading)
        batch.put(self.databases.message, message_key(account, INBOX, uid), message.octets())
        grown = MailboxRow(mailbox.uidvalidity, uid + 1, modseq, mailbox.messages + 1, mailbox.size + size)
        batch.put(self.databases.mailbox, mailbox_key(account, INBOX), grown.octets())
        batch.put(self.databases.delivered, key, place(INBOX, uid))
        return Outcome.DELIVERED

    def _refer(self, batch: Batch, added: int) -> bool:
        """Count the new references; store the content where it is new. Whether the staged file is in use from now."""
        octets, staged = batch.get(self.databases.content, self.content), self.staged
        if octets is not None:
            content = ContentRow.parse(octets)
            content = content._replace(references=content.references + added)
        else:
            content = ContentRow(added, len(staged.chunks), staged.inline, staged.filed, staged.token)
            chunks = ((chunk_key(self.content, number), chunk) for number, chunk in enumerate(staged.chunks))
            batch.put_all(self.databases.chunk, chunks)
        batch.put(self.databases.content, self.content, content.octets())
        return octets is None


@dataclass(frozen=True, slots=True)
class Delivered:
    """The result of ``Deliver``."""

    outcomes: Mapping[int, Outcome]
    file_used: bool


@dataclass(frozen=True, slots=True)
class Remove:
    """Take messages out of an INBOX, and content that nothing refers to any more. Unknown UIDs are ignored."""

    databases: Databases
    account: int
    uids: tuple[int, ...]

    def __call__(self, batch: Batch) -> "Removed":
        keys = [message_key(self.account, INBOX, uid) for uid in self.uids]
        return _remove(batch, self.databases, self.account, INBOX, keys)


@dataclass(slots=True)
class Removed:
    """The result of ``Remove`` and ``Erase``: how much went, and which files may go now that it is committed."""

    messages: int = 0
    size: int = 0
    files: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Condemn:
    """Mark an account as erased for ever, so that nothing is delivered to it any more."""

    databases: Databases
    account: int

    def __call__(self, batch: Batch) -> None:
        octets = batch.get(self.databases.account, account_key(self.account))
        row = AccountRow.parse(octets) if octets is not None else AccountRow()
        batch.put(self.databases.account, account_key(self.account), row._replace(erased=True).octets())
        batch.put(self.databases.meta, erasing_key(self.account), b"")


@dataclass(frozen=True, slots=True)
class Erase:
    """Take up to ``limit`` messages of a condemned account away, and with the last of them its mailboxes."""

    databases: Databases
    account: int
    limit: int

    def __call__(self, batch: Batch) -> Removed:
        keys = _keys(batch, self.databases.message, account_key(self.account), self.limit)
        if not keys:
            for key in _keys(batch, self.databases.mailbox, account_key(self.account)):
                batch.delete(self.databases.mailbox, key)
            batch.delete(self.databases.meta, erasing_key(self.account))
            return Removed()
        mailbox = int.from_bytes(keys[0][8:12], "big")
        alike = [key for key in keys if key[8:12] == keys[0][8:12]]
        return _remove(batch, self.databases, self.account, mailbox, alike)


@dataclass(frozen=True, slots=True)
class Forget:
    """Drop up to ``limit`` keys of deliveries whose message id was made before ``before`` (Unix time in seconds)."""

    databases: Databases
    before: float
    limit: int

    def __call__(self, batch: Batch) -> int:
        end = max(0, int(self.before * 1000)).to_bytes(6, "big")
        old = [key for key in _keys(batch, self.databases.delivered, b"", self.limit) if key < end]
        for key in old:
            batch.delete(self.databases.delivered, key)
        return len(old)


def _inbox(batch: Batch, databases: Databases, account: int, now: int) -> MailboxRow | None:
    """The account's INBOX, made if this is its first message; None when the account is erased."""
    octets = batch.get(databases.account, account_key(account))
    if octets is None:
        batch.put(databases.account, account_key(account), AccountRow().octets())
    elif AccountRow.parse(octets).erased:
        return None
    octets = batch.get(databases.mailbox, mailbox_key(account, INBOX))
    return MailboxRow.parse(octets) if octets is not None else MailboxRow(_new_uidvalidity(batch, databases, now))


def _new_uidvalidity(batch: Batch, databases: Databases, now: int) -> int:
    """Greater than every one before (RFC 9051 2.3.1.1). The clock keeps it so when the whole store was made anew."""
    last = int.from_bytes(batch.get(databases.meta, b"uidvalidity") or b"", "big")
    validity = max(last + 1, now // 1000)
    batch.put(databases.meta, b"uidvalidity", validity.to_bytes(4, "big"))
    return validity


def _remove(batch: Batch, databases: Databases, account: int, mailbox: int, keys: Iterable[bytes]) -> Removed:
    removed = Removed()
    for key in keys:
        octets = batch.get(databases.message, key)
        if octets is not None:
            message = MessageRow.parse(octets)
            batch.delete(databases.message, key)
            removed.messages += 1
            removed.size += message.size
            removed.files += _release(batch, databases, message.content)
    octets = batch.get(databases.mailbox, mailbox_key(account, mailbox))
    if removed.messages and octets is not None:
        row = MailboxRow.parse(octets)
        row = row._replace(
            modseq=row.modseq + 1, messages=row.messages - removed.messages, size=row.size - removed.size
        )
        batch.put(databases.mailbox, mailbox_key(account, mailbox), row.octets())
    return removed


def _release(batch: Batch, databases: Databases, key: bytes) -> list[str]:
    """Take one reference away; with the last one the content goes. The names of files that may go with it."""
    octets = batch.get(databases.content, key)
    if octets is None:
        return []
    content = ContentRow.parse(octets)
    if content.references > 1:
        batch.put(databases.content, key, content._replace(references=content.references - 1).octets())
        return []
    batch.delete(databases.content, key)
    for number in range(content.chunks):
        batch.delete(databases.chunk, chunk_key(key, number))
    return [] if content.token == NO_FILE else [file_name(key, content.token)]


def _keys(batch: Batch, database: Database, prefix: bytes, limit: int | None = None) -> list[bytes]:
    """The keys that begin with ``prefix``, at most ``limit`` of them."""
    items = Snapshot(batch.transaction).scan(database, prefix)
    return [key for key, _ in islice(items, limit)]
