"""What a backup holds of one account, and how it is put back: whole, or message by message.

A content is put back under the key that it had. So it is stored once also when others still refer to it, and EMAILID
(RFC 8474) stays.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import lmdb
import msgpack

from engine.mailbox import grants
from engine.mailbox.commands import Answer, Offered, Problem, PutBack
from engine.mailbox.content import keys, refer
from engine.mailbox.flags import DELETED, SEEN
from engine.mailbox.incoming import filed
from engine.mailbox.large import LargeFiles, Staged, cut
from engine.mailbox.layout import (
    INLINE,
    OFFERED,
    UIDVALIDITY_KEY,
    Databases,
    account_key,
    chunk_key,
    file_name,
    viewer_of,
)
from engine.mailbox.names import AT_FIRST
from engine.mailbox.opened import OpenAccount
from engine.mailbox.records import current
from engine.mailbox.restored import jumped, jumped_account
from engine.mailbox.rights import Grant
from engine.mailbox.rows import NO_FILE, AccountRow, ContentRow, GrantRow, KeptRow, MailboxRow, MessageRow, MetadataRow
from engine.mailbox.snapshot import Snapshot
from engine.storage.batch import Batch, committed

Row: TypeAlias = tuple[str, bytes, bytes]
"""The database, the key without the account's number, and the value."""

SECTIONS = ("account", "mailbox", "entry", "subscribed", "keyword", "message", "kept", "script", "acl", "metadata")
"""The databases of which a backup has an account's rows, as ``Databases`` names them. Their keys begin with the
account's number. Who adds such a database to the layout adds its name here, behind ``mailbox``. What ``state`` has
is in the rows of ``message``."""

FORMAT = 2
"""Of these rows. That of the store grows without it where a row says the same as before."""

OF_A_MAILBOX = frozenset({"mailbox", "keyword", "message", "acl", "metadata"})
"""Those whose keys go on with the number of a mailbox."""

_ALL = bytes(8)
"""The viewer of metadata that all may see."""

AT_ONCE = 10_000
"""Rows that are gathered before they are written into the transaction."""


def rows(snapshot: Snapshot, databases: Databases, account: int) -> Iterator[Row]:
    """All of an account, but for mailboxes that are being taken away, the log, and the octets of content.

    Records of messages have the state of now: where a store keeps that is its own affair. Of metadata, what is there,
    and is not private to somebody else.
    """
    prefix = account_key(account)
    gone = {key[8:] for key, value in snapshot.scan(databases.mailbox, prefix) if MailboxRow.parse(value).gone}
    for section in SECTIONS:
        found = snapshot.scan(getattr(databases, section), prefix)
        for key, value in found if section != "message" else current(snapshot, databases, prefix):
            if section in OF_A_MAILBOX and key[8:12] in gone:
                continue
            if section == "metadata" and (viewer_of(key) not in (0, account) or MetadataRow.parse(value).value is None):
                continue
            yield section, key[8:], value


def content_of(row: Row) -> bytes:
    """The key of the content that a row refers to; empty: to none."""
    section, _, value = row
    if section == "message":
        return MessageRow.parse(value).content
    return KeptRow.parse(value).message.content if section == "kept" else b""


def granted(key: bytes, value: bytes) -> tuple[int, Grant]:
    """What a row of ``acl`` says: of which mailbox, and what was given."""
    row = GrantRow.parse(value)
    return int.from_bytes(key[:4], "big"), Grant(key[4:].decode(), row.rights, row.who)


def noted(key: bytes, value: bytes) -> tuple[int, str, bytes | None]:
    """What a row of ``metadata`` says: of which mailbox (0: of the server), the entry, the value."""
    return int.from_bytes(key[:4], "big"), key[12:].decode(), MetadataRow.parse(value).value


def staged(offered: Offered, store: Path, large: LargeFiles) -> Staged:
    """Make an offered content ready to be stored. OSError; then nothing is left."""
    if not offered.file:
        return Staged(cut(offered.content))
    content = filed(store, offered.file)
    if content.size <= INLINE:
        return Staged(cut(b"".join(content.chunks())))
    return large.copy(offered.key, content.chunks())


def files_of(contents: Iterable[tuple[bytes, Staged]]) -> list[str]:
    """The names of the files in which they lie."""
    return [file_name(key, one.token) for key, one in contents if one.token != NO_FILE]


def offer(batch: Batch, databases: Databases, contents: Iterable[tuple[bytes, Staged]]) -> list[str]:
    """Store contents that nobody refers to yet. The names of files that are not needed: their content was there."""
    batch.put(databases.meta, OFFERED, b"")
    return files_of([(key, one) for key, one in contents if not refer(batch, databases, key, 0, one)])


def sweep(environment: lmdb.Environment, databases: Databases) -> None:
    """Remove contents that were offered, and that nobody came to refer to; their files are then nobody's."""
    with committed(environment) as batch:
        if batch.get(databases.meta, OFFERED) is None:
            return
        for key, value in Snapshot(batch.transaction).scan(databases.content):
            content = ContentRow.parse(value)
            if not content.references:
                batch.delete(databases.content, key)
                for number in range(content.chunks):
                    batch.delete(databases.chunk, chunk_key(key, number))
        batch.delete(databases.meta, OFFERED)


def put_back(account: OpenAccount, command: PutBack) -> Answer:
    """Messages whose content is in the store, with new UIDs; all or none."""
    mailbox = account.mailbox(command.mailbox)
    if mailbox is None:
        return Answer(Problem.NONEXISTENT)
    found = []
    for one in command.messages:
        bits = mailbox.bits(one.keywords)
        if bits is None:
            return Answer(Problem.LIMIT)
        found.append(MessageRow(one.content, one.flags, bits, 0, one.size, one.received, 0, one.heading))
    account.share(found)
    uids = tuple(mailbox.add(row) for row in found)
    return Answer(None, mailbox.number, mailbox.uidvalidity, uids=uids, modseq=account.modseq)


def restore(batch: Batch, databases: Databases, account: int, found: Iterable[Row], owner: str = "") -> Answer:
    """Put an account back whole, with the UIDs and UIDVALIDITY of its mailboxes; its counters jump (``restored``).

    ``owner``: its address, by which others see what is shared with them.
    ALREADYEXISTS when it has been used, GONE when it was removed. LookupError: a content is not in the store.
    """
    octets = batch.get(databases.account, account_key(account))
    if octets is not None:
        row = AccountRow.parse(octets)
        if row.erased:
            return Answer(Problem.GONE)
        if not _untouched(batch, databases, account, row):
            return Answer(Problem.ALREADYEXISTS)
        grants.take_all(batch, databases, account_key(account))
        for database in (databases.log, databases.state, *(getattr(databases, section) for section in SECTIONS)):
            for key in keys(batch, database, account_key(account)):
                batch.delete(database, key)
        batch.flush()
    putting = _Putting(batch, databases, account)
    for section, key, value in found:
        putting.put(section, key, value)
    putting.finish()
    if putting.shares and owner:
        grants.introduce(batch, databases, account, owner)
    return Answer()


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows in a file, as ``msgpack`` wrote them one after the other. They can be read again."""

    path: Path

    def __iter__(self) -> Iterator[Row]:
        with self.path.open("rb") as file:
            yield from map(tuple, msgpack.Unpacker(file))


def _untouched(batch: Batch, databases: Databases, account: int, row: AccountRow) -> bool:
    """Whether it has only what every account begins with: nobody has seen a UID of it."""
    snapshot = Snapshot(batch.transaction)
    mailboxes = (MailboxRow.parse(value) for _, value in snapshot.scan(databases.mailbox, account_key(account)))
    return row.newest <= len(AT_FIRST) and not row.kept and all(mailbox.uidnext == 1 for mailbox in mailboxes)


class _Putting:
    """The rows of one account on their way back. All sums are counted anew."""

    def __init__(self, batch: Batch, databases: Databases, account: int) -> None:
        self._batch, self._databases, self._owner, self._prefix = batch, databases, account, account_key(account)
        self._account = AccountRow()
        self._mailboxes: dict[bytes, MailboxRow] = {}
        self._references: Counter[bytes] = Counter()
        self._count = 0
        self.shares = False  # whether others have rights to any of it

    def put(self, section: str, key: bytes, value: bytes) -> None:
        if section == "account":
            row = AccountRow.parse(value)
            self._account = AccountRow(newest=row.newest, modseq=row.modseq)
            return
        if section == "mailbox":
            mailbox = MailboxRow.parse(value)
            self._mailboxes[key] = MailboxRow(mailbox.uidvalidity, mailbox.uidnext, mailbox.modseq, name=mailbox.name)
            return
        if section == "acl":
            self.shares = True
            grants.put(self._batch, self._databases, self._owner, *granted(key, value))
            return
        if section == "metadata" and key[4:12] != _ALL:
            key = key[:4] + self._prefix + key[12:]  # private to the owner, who may have another number by now
        if section == "message":
            self._count_message(key[:4], MessageRow.parse(value))
        elif section == "kept":
            message = KeptRow.parse(value).message
            kept, size = self._account.kept + 1, self._account.kept_size + message.size
            self._account = self._account._replace(kept=kept, kept_size=size)
            self._references[message.content] += 1
        self._batch.put(getattr(self._databases, section), self._prefix + key, value)
        self._count += 1
        if self._count % AT_ONCE == 0:
            self._batch.flush()

    def finish(self) -> None:
        batch, databases = self._batch, self._databases
        self._account = jumped_account(self._account)
        taken = {value[:4] for _, value in Snapshot(batch.transaction).scan(databases.mailbox)}
        last = int.from_bytes(batch.get(databases.meta, UIDVALIDITY_KEY) or b"", "big")
        for number, row in self._mailboxes.items():
            validity = row.uidvalidity
            if validity.to_bytes(4, "big") in taken:  # a store that this account never was in has given it to another
                validity = last = last + 1
            last = max(last, validity)
            mailbox = jumped(row._replace(uidvalidity=validity), self._account.modseq)
            batch.put(databases.mailbox, self._prefix + number, mailbox.octets())
        batch.put(databases.meta, UIDVALIDITY_KEY, last.to_bytes(4, "big"))
        batch.put(databases.account, self._prefix, self._account.octets())
        for key, count in self._references.items():
            octets = batch.get(databases.content, key)
            if octets is None:
                raise LookupError(f"content {key.hex()} went while the account was put back; do it again")
            content = ContentRow.parse(octets)
            content = content._replace(references=content.references + count)
            batch.put(databases.content, key, content.octets())

    def _count_message(self, mailbox: bytes, message: MessageRow) -> None:
        row = self._mailboxes[mailbox]
        deleted = message.flags & DELETED
        self._mailboxes[mailbox] = row._replace(
            messages=row.messages + 1,
            unseen=row.unseen + (not message.flags & SEEN),
            deleted=row.deleted + bool(deleted),
            size=row.size + message.size,
            deleted_size=row.deleted_size + (message.size if deleted else 0),
        )
        account = self._account
        self._account = account._replace(messages=account.messages + 1, size=account.size + message.size)
        self._references[message.content] += 1
