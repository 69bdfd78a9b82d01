"""Does the store agree with itself? References, sizes, sums, names and files, all counted anew."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from engine.mailbox.flags import DELETED, SEEN
from engine.mailbox.large import our_files
from engine.mailbox.layout import (
    LARGE,
    Databases,
    chunk_key,
    file_name,
    identifier_of,
    shared_prefix,
    uid_of,
)
from engine.mailbox.records import current
from engine.mailbox.rights import RIGHTS
from engine.mailbox.rows import NO_FILE, AccountRow, ContentRow, EntryRow, GrantRow, KeptRow, MailboxRow, MessageRow
from engine.mailbox.snapshot import Snapshot
from engine.mailbox.states import Block, uids_in


@dataclass(slots=True)
class Sums:
    """What there is of a mailbox or an account."""

    messages: int = 0
    unseen: int = 0
    deleted: int = 0
    size: int = 0
    deleted_size: int = 0
    uid: int = 0  # the highest
    modseq: int = 0  # the highest
    keywords: int = 0  # bits
    kept: int = 0
    kept_size: int = 0

    def add(self, message: MessageRow, uid: int) -> None:
        self.messages += 1
        self.size += message.size
        self.unseen += not message.flags & SEEN
        self.deleted += bool(message.flags & DELETED)
        self.deleted_size += message.size if message.flags & DELETED else 0
        self.uid = max(self.uid, uid)
        self.modseq = max(self.modseq, message.modseq)
        self.keywords |= message.keywords


@dataclass(slots=True)
class Found:
    """What was counted while the messages were looked at."""

    mailboxes: dict[bytes, Sums] = field(default_factory=dict)
    accounts: dict[bytes, Sums] = field(default_factory=dict)
    references: Counter[bytes] = field(default_factory=Counter)

    def mailbox(self, key: bytes) -> Sums:
        return self.mailboxes.setdefault(key, Sums())

    def account(self, key: bytes) -> Sums:
        return self.accounts.setdefault(key, Sums())


def problems(snapshot: Snapshot, databases: Databases, path: Path) -> Iterator[str]:
    """Every contradiction, in words. One long transaction, and memory that grows with the number of messages."""
    found = Found()
    contents = {key: ContentRow.parse(value) for key, value in snapshot.scan(databases.content)}
    yield from _states(snapshot, databases)
    yield from _messages(snapshot, databases, contents, found)
    yield from _accounts(snapshot, databases, found)
    yield from _mailboxes(snapshot, databases, found)
    yield from _names(snapshot, databases)
    yield from _shared(snapshot, databases)
    yield from _chunks(snapshot, databases, contents)
    yield from _files(contents, path / LARGE)
    for name, content in contents.items():
        if found.references[name] != content.references:
            yield f"content {name.hex()} counts {content.references} references, and has {found.references[name]}"


def _states(snapshot: Snapshot, databases: Databases) -> Iterator[str]:
    for key, value in snapshot.scan(databases.state):
        block = Block.parse(value)
        if block.octets() != value or list(block.lows) != sorted(set(block.lows)):
            yield f"block {key.hex()} of flags is malformed"
        for uid in uids_in(uid_of(key), block.lows):
            if snapshot.get(databases.message, key[:12] + uid.to_bytes(4, "big")) is None:
                yield f"block {key.hex()} has flags of message {uid}, which is not there"


def _messages(
    snapshot: Snapshot, databases: Databases, contents: dict[bytes, ContentRow], found: Found
) -> Iterator[str]:
    for key, value in current(snapshot, databases):
        message = MessageRow.parse(value)
        found.mailbox(key[:12]).add(message, uid_of(key))
        found.account(key[:8]).add(message, 0)
        found.references[message.content] += 1
        yield from _content(f"message {key.hex()}", message, contents)
    for key, value in snapshot.scan(databases.kept):
        message = KeptRow.parse(value).message
        sums = found.account(key[:8])
        sums.kept += 1
        sums.kept_size += message.size
        found.references[message.content] += 1
        yield from _content(f"kept message {key.hex()}", message, contents)
    for _, value in snapshot.scan(databases.delivered):
        if len(value) != 8:
            yield "a record of a delivery is malformed"


def _content(what: str, message: MessageRow, contents: dict[bytes, ContentRow]) -> Iterator[str]:
    content = contents.get(message.content)
    if content is None:
        yield f"{what} has no content"
    elif len(message.heading) + content.size != message.size:
        yield f"{what} has a wrong size"


def _accounts(snapshot: Snapshot, databases: Databases, found: Found) -> Iterator[str]:
    known = set()
    newest: dict[bytes, tuple[int, int]] = {}  # the highest number and MODSEQ of an account's mailboxes
    for key, value in snapshot.scan(databases.mailbox):
        number, modseq = newest.get(key[:8], (0, 0))
        newest[key[:8]] = (max(number, uid_of(key)), max(modseq, MailboxRow.parse(value).modseq))
    for key, value in snapshot.scan(databases.account):
        known.add(key)
        row, sums = AccountRow.parse(value), found.account(key)
        counted = (row.messages, row.size, row.kept, row.kept_size)
        there = (sums.messages, sums.size, sums.kept, sums.kept_size)
        if counted != there:
            yield f"account {key.hex()} counts {counted} messages, octets, and kept ones, and has {there}"
        number, modseq = newest.get(key, (0, 0))
        if number > row.newest:
            yield f"account {key.hex()} has mailbox {number}, and would give out {row.newest + 1}"
        if modseq > row.modseq:
            yield f"account {key.hex()} has MODSEQ {modseq}, and would give out {row.modseq + 1}"
    yield from (f"account {key.hex()} has messages, and no record" for key in found.accounts.keys() - known)


def _mailboxes(snapshot: Snapshot, databases: Databases, found: Found) -> Iterator[str]:
    validities: Counter[int] = Counter()
    logged = Counter(key[:12] for key, _ in snapshot.scan(databases.log))
    keywords = Counter(key[:12] for key, _ in snapshot.scan(databases.keyword))
    known = set()
    for key, value in snapshot.scan(databases.mailbox):
        known.add(key)
        row, sums = MailboxRow.parse(value), found.mailbox(key)
        validities[row.uidvalidity] += 1
        if (row.messages, row.size) != (sums.messages, sums.size):
            yield (
                f"mailbox {key.hex()} counts {row.messages} messages of {row.size} octets, "
                f"and has {sums.messages} of {sums.size}"
            )
        counted = (row.unseen, row.deleted, row.deleted_size)
        if counted != (there := (sums.unseen, sums.deleted, sums.deleted_size)):
            yield f"mailbox {key.hex()} counts {counted} unseen, deleted, and their octets, and has {there}"
        if sums.uid >= row.uidnext:
            yield f"mailbox {key.hex()} has UID {sums.uid}, and would give out {row.uidnext}"
        if sums.modseq > row.modseq:
            yield f"mailbox {key.hex()} has MODSEQ {sums.modseq} above its highest {row.modseq}"
        if sums.keywords >> keywords[key]:
            yield f"mailbox {key.hex()} has a message with a keyword that has no name"
        if logged[key] != row.logged:
            yield f"mailbox {key.hex()} counts {row.logged} records in its log, and has {logged[key]}"
    yield from (f"mailbox {key.hex()} has messages, and no record" for key in found.mailboxes.keys() - known)
    yield from (f"mailbox {key.hex()} has a log or keywords, and no record" for key in {*logged, *keywords} - known)
    yield from (f"UIDVALIDITY {number} was given out twice" for number, times in validities.items() if times > 1)


def _names(snapshot: Snapshot, databases: Databases) -> Iterator[str]:
    rows = {key: MailboxRow.parse(value) for key, value in snapshot.scan(databases.mailbox)}
    named = set()
    for key, value in snapshot.scan(databases.entry):
        entry, name = EntryRow.parse(value), key[8:].decode()
        if not entry.mailbox:
            continue
        mailbox = key[:8] + entry.mailbox.to_bytes(4, "big")
        named.add(mailbox)
        row = rows.get(mailbox)
        if row is None or row.gone:
            yield f"{name!r} of account {key[:8].hex()} stands for a mailbox that is not there"
        elif row.name != name:
            yield f"mailbox {mailbox.hex()} believes to be {row.name!r}, and is {name!r}"
    yield from (f"mailbox {key.hex()} has no name" for key, row in rows.items() if not row.gone and key not in named)


def _shared(snapshot: Snapshot, databases: Databases) -> Iterator[str]:
    def is_there(key: bytes) -> bool:
        return snapshot.get(databases.mailbox, key[:12]) is not None

    for key, value in snapshot.scan(databases.acl):
        identifier, rights = identifier_of(key), GrantRow.parse(value).rights
        if not is_there(key):
            yield f"{identifier!r} has rights to mailbox {key[:12].hex()}, which is not there"
        if not rights or rights != "".join(one for one in RIGHTS if one in rights):
            yield f"{identifier!r} has rights {rights!r} to mailbox {key[:12].hex()}"
        if snapshot.get(databases.shared, shared_prefix(identifier) + key[:12]) is None:
            yield f"{identifier!r} has rights to mailbox {key[:12].hex()}, and does not find it"
    for key, _ in snapshot.scan(databases.shared):
        if snapshot.get(databases.acl, key[-12:] + key[:-13]) is None:
            yield f"{key[:-13].decode()!r} finds mailbox {key[-12:].hex()}, and has no rights to it"
    for key, value in snapshot.scan(databases.sharer):
        back = (b"@" if key[:1] == b"#" else b"#") + value
        if snapshot.get(databases.sharer, back) != key[1:]:
            yield f"an owner of shared mailboxes is known by one name, and found by another: {key!r}, {value!r}"
    for key, _ in snapshot.scan(databases.metadata):
        if not is_there(key) and key[8:12] != bytes(4):
            yield f"mailbox {key[:12].hex()} has metadata, and is not there"


def _chunks(snapshot: Snapshot, databases: Databases, contents: dict[bytes, ContentRow]) -> Iterator[str]:
    found = dict.fromkeys(contents, (0, 0))
    for key, value in snapshot.scan(databases.chunk):
        number, size = found.get(key[:24], (-1, 0))
        if number < 0:
            yield f"chunk {key.hex()} belongs to no content"
            continue
        if key != chunk_key(key[:24], number):
            yield f"content {key[:24].hex()} lacks chunk {number}"
        found[key[:24]] = (number + 1, size + len(value))
    for name, content in contents.items():
        if found[name] != (content.chunks, content.inline):
            yield f"content {name.hex()} should have {content.chunks} chunks of {content.inline} octets: {found[name]}"


def _files(contents: dict[bytes, ContentRow], folder: Path) -> Iterator[str]:
    orphans = our_files(folder)
    for key, content in contents.items():
        if content.token == NO_FILE:
            continue
        name = file_name(key, content.token)
        orphans.discard(name)
        path = folder / name
        if not path.exists():
            yield f"content {key.hex()} has lost its file"
        elif path.stat().st_size != content.filed:
            yield f"the file of content {key.hex()} has {path.stat().st_size} octets instead of {content.filed}"
    yield from (f"the file {name} belongs to no content" for name in orphans)
