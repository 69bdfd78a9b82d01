r"""What a reader sees of mailboxes at one moment: the list of them, one of them whole, and what has changed in one."""

import struct
from array import array
from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from engine.mailbox import log
from engine.mailbox.commands import Answer, Store
from engine.mailbox.flags import Mode
from engine.mailbox.layout import (
    Databases,
    account_key,
    keyword_key,
    log_key,
    mailbox_key,
    name_key,
    total_key,
    uid_of,
)
from engine.mailbox.names import USES, below
from engine.mailbox.records import Records, joined, put, some, stored, whole
from engine.mailbox.rows import AccountRow, EntryRow, MailboxRow, modseq_in
from engine.mailbox.snapshot import Snapshot
from engine.protocols.imap.sets import places
from engine.storage.batch import Batch

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
class View(Records):
    """One mailbox whole: item n of each column is of message n + 1."""

    status: MailboxRow
    keywords: tuple[str, ...]  # the keyword of each bit


@dataclass(frozen=True, slots=True)
class Changes:
    """What has happened in a mailbox since a MODSEQ."""

    status: MailboxRow
    keywords: tuple[str, ...]
    vanished: list[tuple[int, int]]  # ranges of UIDs, ascending
    messages: Records  # those that came or whose flags were changed, as they are now


@dataclass(frozen=True, slots=True)
class Usage:
    """What an account uses; what is kept after an expunge counts apart."""

    messages: int = 0
    size: int = 0  # octets
    kept: int = 0
    kept_size: int = 0


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


def number_in(octets: bytes | None) -> int:
    """The number of the mailbox in what is stored of a name; 0: there is none."""
    return EntryRow.parse(octets).mailbox if octets is not None else 0


def status_of(snapshot: Snapshot, databases: Databases, account: int, mailbox: int) -> MailboxRow | None:
    """The record of a mailbox; None when there is none, or no more."""
    octets = snapshot.get(databases.mailbox, mailbox_key(account, mailbox))
    return status_in(octets) if octets is not None else None


def status_in(octets: bytes) -> MailboxRow | None:
    """The record of a mailbox as it is stored; None when it is being taken away."""
    row = MailboxRow.parse(octets)
    return None if row.gone else row


def view(snapshot: Snapshot, databases: Databases, account: int, mailbox: int) -> View | None:
    """A mailbox whole, in two scans; None when there is none."""
    status = status_of(snapshot, databases, account, mailbox)
    if status is None:
        return None
    found = whole(snapshot, databases, account, mailbox)
    return _view(found, status, keywords(snapshot, databases, account, mailbox))


def renewed(old: View, news: Changes) -> View:
    """The mailbox whole, as ``view`` gives it, by what has changed since an earlier view."""
    kept, changed = old.without(news.vanished), news.messages
    cut = bisect_right(changed.uids, kept.uids[-1]) if kept.uids else 0
    known = places(changed.uids[:cut], kept.uids)
    flags, bits, modseqs = kept.flags[:], kept.bits[:], kept.modseqs[:]
    for column, numbers in ((flags, changed.flags), (bits, changed.bits), (modseqs, changed.modseqs)):
        put(column, known, numbers[:cut])
    found = Records(kept.contents, kept.uids, flags, bits, modseqs, kept.sizes, kept.received, kept.saved)
    if cut < len(changed):  # they are new: UIDs ascend
        found = joined([found, changed.at(range(cut, len(changed)))])
    return _view(found, news.status, news.keywords)


def restated(old: View, store: Store, answer: Answer, status: MailboxRow) -> Changes:
    """What a STORE without keywords has changed since an earlier view, as ``changes`` gives it, without a look."""
    was = old.some(array("I", answer.sources))
    table = bytes([store.mode(flags, store.flags) for flags in range(256)])
    flags = array("B", was.flags.tobytes().translate(table))
    bits = was.bits if store.mode is not Mode.REPLACE else array("Q", bytes(8 * len(was)))
    modseqs = array("Q")
    for count, modseq in answer.steps:
        modseqs += array("Q", [modseq]) * count
    now = Records(was.contents, was.uids, flags, bits, modseqs, was.sizes, was.received, was.saved)
    return Changes(status, old.keywords, [], now)


def _view(found: Records, status: MailboxRow, names: tuple[str, ...]) -> View:
    uids, flags, bits, modseqs, sizes, received, saved = found.columns
    return View(found.contents, uids, flags, bits, modseqs, sizes, received, saved, status, names)


def records(snapshot: Snapshot, databases: Databases, account: int, mailbox: int, uids: Sequence[int]) -> Records:
    """Those of the messages that are there. UIDs ascend."""
    return some(snapshot, databases, account, mailbox, stored(snapshot, databases, account, mailbox, uids))


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
        for first, last in ranges:
            uids.update(range(first, last + 1))
    came = _came(snapshot, databases, own, since, changed)
    changed.update(came)
    return Changes(
        status, keywords(snapshot, databases, account, mailbox), list(log.ranges(vanished)),
        records(snapshot, databases, account, mailbox, sorted(changed - vanished)),
    )  # fmt: skip


def _came(snapshot: Snapshot, databases: Databases, own: bytes, since: int, changed: Collection[int]) -> Iterator[int]:
    """The UIDs of messages that came after that MODSEQ, but for those that are known to have changed.

    They came in the order of UIDs and MODSEQs: the first from behind that is neither new nor changed ends them.
    """
    end = b""
    for first, last in reversed([(0, 0), *log.ranges(changed)]):
        for key, value in snapshot.backwards(databases.message, own, end):
            uid = uid_of(key)
            if uid <= last:
                break
            if modseq_in(value) <= since:
                return
            yield uid
        end = own + first.to_bytes(4, "big")


def keywords(snapshot: Snapshot, databases: Databases, account: int, mailbox: int) -> tuple[str, ...]:
    """The keyword of each bit."""
    prefix = keyword_key(account, mailbox, 0)[:-1]
    return tuple(value.decode() for _, value in snapshot.scan(databases.keyword, prefix))
