r"""What a reader sees of mailboxes at one moment: the list of them, one of them whole, and what has changed in one."""

import base64
import hashlib
import struct
import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from engine.mailbox import log
from engine.mailbox.layout import (
    Databases,
    account_key,
    keyword_key,
    log_key,
    mailbox_key,
    message_key,
    name_key,
    total_key,
    uid_of,
)
from engine.mailbox.names import USES, below
from engine.mailbox.rows import AccountRow, EntryRow, MailboxRow, MessageRow
from engine.mailbox.snapshot import Snapshot
from engine.storage.writer import Batch

_CONTENT = 24  # octets of the key of the content, with which a record begins
_FIXED = 68  # octets of a record without the heading
_TOTAL = struct.Struct(">QQ")  # messages, octets


@dataclass(frozen=True, slots=True)
class Folder:
    r"""A name, and what it stands for: all that LIST, LSUB and STATUS answer."""

    name: str
    number: int = 0  # 0: there is no such mailbox, \Noselect or \NonExistent
    use: str = ""  # "\\Sent" and so on
    exists: bool = True  # False: it is only subscribed to
    subscribed: bool = False
    children: bool = False
    status: MailboxRow | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One message, without its content. Times are Unix milliseconds."""

    uid: int
    flags: int
    keywords: int
    modseq: int
    size: int  # octets
    received: int
    saved: int
    content: bytes  # its key

    @property
    def email_id(self) -> str:
        """EMAILID of RFC 8474."""
        return email_id(self.content)


@dataclass(frozen=True, slots=True)
class View:
    """One mailbox, its messages in the order of UIDs: item n of each array is of message n + 1."""

    status: MailboxRow
    keywords: tuple[str, ...]  # the keyword of each bit
    contents: bytes  # their keys, one after the other
    uids: "array[int]"
    flags: "array[int]"
    bits: "array[int]"  # keywords
    modseqs: "array[int]"
    sizes: "array[int]"
    received: "array[int]"  # Unix milliseconds
    saved: "array[int]"  # Unix milliseconds

    def content(self, index: int) -> bytes:
        """The key of a message's content."""
        return self.contents[index * _CONTENT : (index + 1) * _CONTENT]

    def email_id(self, index: int) -> str:
        """EMAILID of RFC 8474."""
        return email_id(self.content(index))


@dataclass(frozen=True, slots=True)
class Changes:
    """What has happened in a mailbox since a MODSEQ."""

    status: MailboxRow
    keywords: tuple[str, ...]
    vanished: list[tuple[int, int]]  # ranges of UIDs, ascending
    messages: list[Message]  # those that came or whose flags were changed, as they are now


@dataclass(frozen=True, slots=True)
class Usage:
    """What an account uses; what is kept after an expunge counts apart."""

    messages: int = 0
    size: int = 0  # octets
    kept: int = 0
    kept_size: int = 0


def email_id(content: bytes) -> str:
    """EMAILID of RFC 8474, by the key of the content: copies of a message share it, and nothing else does."""
    return "M" + base64.urlsafe_b64encode(content).decode()


def thread_id(root: bytes, content: bytes) -> str:
    """THREADID of RFC 8474, by the Message-ID of the first of its thread; where that is empty, by its own content."""
    return "T" + base64.urlsafe_b64encode(hashlib.blake2b(root or content, digest_size=15).digest()).decode()


def mailbox_id(account: int, mailbox: int) -> str:
    """MAILBOXID of RFC 8474: numbers are never used again."""
    return f"F{account:x}-{mailbox:x}"


def usage(snapshot: Snapshot, databases: Databases, account: int) -> Usage:
    octets = snapshot.get(databases.account, account_key(account))
    row = AccountRow.parse(octets) if octets is not None else AccountRow()
    return Usage(row.messages, row.size, row.kept, row.kept_size)


def total(snapshot: Snapshot, databases: Databases, domain: str) -> Usage:
    octets = snapshot.get(databases.quota, total_key(domain))
    return Usage(*_TOTAL.unpack(octets)) if octets is not None else Usage()


def put_total(databases: Databases, domain: str, usage: Usage, batch: Batch) -> None:
    batch.put(databases.quota, total_key(domain), _TOTAL.pack(usage.messages, usage.size))


def folders(snapshot: Snapshot, databases: Databases, account: int) -> list[Folder]:
    """All names of an account, and those that it is only subscribed to, by name."""
    prefix = account_key(account)
    rows = {key[8:]: MailboxRow.parse(value) for key, value in snapshot.scan(databases.mailbox, prefix)}
    entries = {key[8:].decode(): EntryRow.parse(value) for key, value in snapshot.scan(databases.entry, prefix)}
    subscribed = {key[8:].decode() for key, _ in snapshot.scan(databases.subscribed, prefix)}
    parents = {name[:cut] for name in entries for cut, character in enumerate(name) if character == "/"}
    found = [
        Folder(
            name, entry.mailbox, USES[entry.use], subscribed=name in subscribed, children=name in parents,
            status=rows.get(entry.mailbox.to_bytes(4, "big")),
        )
        for name, entry in entries.items()
    ]  # fmt: skip
    only = (Folder(name, exists=False, subscribed=True, children=name in parents) for name in subscribed - set(entries))
    return sorted((*found, *only), key=lambda folder: folder.name)


def folder(snapshot: Snapshot, databases: Databases, account: int, name: str) -> Folder | None:
    """What one name stands for; None: for nothing."""
    octets = snapshot.get(databases.entry, name_key(account, name))
    if octets is None:
        return None
    entry = EntryRow.parse(octets)
    subscribed = snapshot.get(databases.subscribed, name_key(account, name)) is not None
    children = next(snapshot.scan(databases.entry, name_key(account, below(name))), None) is not None
    status = status_of(snapshot, databases, account, entry.mailbox)
    return Folder(name, entry.mailbox, USES[entry.use], subscribed=subscribed, children=children, status=status)


def status_of(snapshot: Snapshot, databases: Databases, account: int, mailbox: int) -> MailboxRow | None:
    """The record of a mailbox; None when there is none, or no more."""
    octets = snapshot.get(databases.mailbox, mailbox_key(account, mailbox))
    row = MailboxRow.parse(octets) if octets is not None else None
    return None if row is None or row.gone else row


def view(snapshot: Snapshot, databases: Databases, account: int, mailbox: int) -> View | None:
    """A mailbox whole, in one scan; None when there is none."""
    status = status_of(snapshot, databases, account, mailbox)
    if status is None:
        return None
    uids, contents, flags, rest = [], [], [], []
    for key, value in snapshot.scan(databases.message, mailbox_key(account, mailbox)):
        uids.append(key[12:])
        contents.append(value[:_CONTENT])
        flags.append(value[_CONTENT : _CONTENT + 4])
        rest.append(value[_CONTENT + 4 : _FIXED])
    numbers = _column("Q", rest)
    return View(
        status=status,
        keywords=keywords(snapshot, databases, account, mailbox),
        uids=_column("I", uids),
        flags=_column("I", flags),
        bits=numbers[0::5],
        modseqs=numbers[1::5],
        sizes=numbers[2::5],
        received=numbers[3::5],
        saved=numbers[4::5],
        contents=b"".join(contents),
    )


def renewed(snapshot: Snapshot, databases: Databases, account: int, mailbox: int, old: View) -> View | None:
    """The mailbox whole, as ``view`` gives it, by what has changed since an earlier view."""
    news = changes(snapshot, databases, account, mailbox, old.status.modseq)
    if news is None or news.status.uidvalidity != old.status.uidvalidity or len(news.messages) > len(old.uids):
        return view(snapshot, databases, account, mailbox)
    gone = {place for first, last in news.vanished for place in range(*_places(old.uids, first, last))}
    kept = [place for place in range(len(old.uids)) if place not in gone] if gone else range(len(old.uids))
    columns = [array(column.typecode, map(column.__getitem__, kept)) if gone else column[:] for column in _columns(old)]
    contents = bytearray(
        b"".join([old.contents[place * _CONTENT : (place + 1) * _CONTENT] for place in kept]) if gone else old.contents
    )
    uids = columns[0]
    for message in news.messages:
        record = _record(message)
        place = bisect_left(uids, message.uid)
        if place < len(uids) and uids[place] == message.uid:
            for column, number in zip(columns, record, strict=True):
                column[place] = number
        else:  # it is new: UIDs ascend
            for column, number in zip(columns, record, strict=True):
                column.append(number)
            contents += message.content
    return View(news.status, news.keywords, bytes(contents), *columns)


def _columns(view: View) -> "tuple[array[int], ...]":
    return view.uids, view.flags, view.bits, view.modseqs, view.sizes, view.received, view.saved


def _record(message: Message) -> tuple[int, ...]:
    return (
        message.uid, message.flags, message.keywords, message.modseq, message.size, message.received, message.saved,
    )  # fmt: skip


def _places(uids: "array[int]", first: int, last: int) -> tuple[int, int]:
    return bisect_left(uids, first), bisect_right(uids, last)


def messages(
    snapshot: Snapshot, databases: Databases, account: int, mailbox: int, uids: Iterable[int]
) -> list[Message]:
    """Those of the messages that are there."""
    rows = ((uid, snapshot.get(databases.message, message_key(account, mailbox, uid))) for uid in uids)
    return [_message(uid, octets) for uid, octets in rows if octets is not None]


def changes(snapshot: Snapshot, databases: Databases, account: int, mailbox: int, since: int) -> Changes | None:
    """What happened after that MODSEQ; None when nobody knows any more, or there is no such mailbox."""
    status = status_of(snapshot, databases, account, mailbox)
    if status is None or since < status.lowest:
        return None
    own = mailbox_key(account, mailbox)
    vanished: set[int] = set()
    changed: set[int] = set()
    for _, record in snapshot.scan(databases.log, own, log_key(account, mailbox, since + 1)):
        kind, ranges = log.parse(record)
        uids = vanished if kind == log.EXPUNGED else changed
        uids.update(uid for first, last in ranges for uid in range(first, last + 1))
    # Messages came in the order of UIDs and MODSEQs: the first from behind that is not new ends those that are.
    for key, value in snapshot.backwards(databases.message, own):
        if MessageRow.parse(value).modseq <= since:
            break
        changed.add(uid_of(key))
    return Changes(
        status, keywords(snapshot, databases, account, mailbox), list(log.ranges(vanished)),
        messages(snapshot, databases, account, mailbox, sorted(changed - vanished)),
    )  # fmt: skip


def keywords(snapshot: Snapshot, databases: Databases, account: int, mailbox: int) -> tuple[str, ...]:
    """The keyword of each bit."""
    prefix = keyword_key(account, mailbox, 0)[:-1]
    return tuple(value.decode() for _, value in snapshot.scan(databases.keyword, prefix))


def _message(uid: int, octets: bytes) -> Message:
    row = MessageRow.parse(octets)
    return Message(uid, row.flags, row.keywords, row.modseq, row.size, row.received, row.saved, row.content)


def _column(code: str, numbers: list[bytes]) -> "array[int]":
    column = array(code, b"".join(numbers))
    if sys.byteorder == "little":
        column.byteswap()
    return column
