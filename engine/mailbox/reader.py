"""Reading the mailboxes, in any process: short transactions, bounded pieces, never a change."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Self

import lmdb

from engine.mailbox import holds, large, metadata, putback, remembered, scripts, upgrade, views
from engine.mailbox.layout import (
    CHUNK,
    INBOX,
    LARGE,
    MAP_SIZE,
    MAX_DATABASES,
    TELL,
    Databases,
    account_key,
    delivered_key,
    file_name,
    held_key,
    mailbox_key,
    message_key,
    name_key,
    uid_of,
)
from engine.mailbox.quota import Quota, TellRow
from engine.mailbox.records import Records, headings, some, stored
from engine.mailbox.rows import NO_FILE, AccountRow, ContentRow, KeptRow, MailboxRow, MessageRow
from engine.mailbox.scripts import Active, Script
from engine.mailbox.snapshot import Snapshot
from engine.mailbox.verify import problems
from engine.mailbox.views import Changes, Folder, Usage, View
from engine.message import MessageId
from engine.storage.batch import Database
from engine.storage.environment import StorageError, open_environment, reason, translated

CHUNKS_AT_ONCE = 16
"""Chunks read in one transaction: pieces of at most 64 KiB."""


KEPT_AT_ONCE = 500
"""Removed messages that are looked at in one transaction."""


class MessageGone(LookupError):
    """The message is not, or no longer, in the mailbox."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a mailbox's listing."""

    uid: int
    size: int  # octets
    uidl: str  # unique for ever, at most 21 printable characters (RFC 1939 section 7)


class Kept(NamedTuple):
    """A message that was removed, and is kept. Times are Unix milliseconds."""

    removed: int
    mailbox: int  # the number of the one that it was in
    folder: str  # its name then
    uid: int
    message: MessageRow

    @classmethod
    def of(cls, key: bytes, row: KeptRow) -> Self:
        """By its key in the database ``kept``."""
        removed, mailbox, uid = (int.from_bytes(part, "big") for part in (key[8:16], key[16:20], key[20:24]))
        return cls(removed, mailbox, row.name, uid, row.message)


class Mailboxes:
    """A view of the store that sees each delivery as soon as it is committed.

    Every method may block on the disk: call it in a thread from an event loop that serves others. What blocks holds a
    read transaction only while it runs; between the pieces of a message there is none. StorageError when the store
    cannot be read.
    """

    def __init__(self, environment: lmdb.Environment, databases: Databases, path: Path) -> None:
        self._environment = environment
        self._databases = databases
        self.path = path

    @classmethod
    def open(cls, path: Path, *, map_size: int = MAP_SIZE) -> Self:
        """Open the store in ``path`` for reading, in another process than its owner. StorageError when there is none.

        The owner's own process must take ``MailboxOwner.reader``: LMDB cannot be opened twice in one process.
        """
        environment = open_environment(path, map_size=map_size, databases=MAX_DATABASES, read_only=True)
        try:
            mailboxes = cls(environment, Databases(environment, create=False), path)
            with mailboxes.snapshot() as snapshot:
                upgrade.check(snapshot, mailboxes._databases)
        except lmdb.NotFoundError as error:
            environment.close()
            raise StorageError(f"the store in {path} is not ready: its owner has not opened it yet") from error
        except lmdb.Error as error:
            environment.close()
            raise StorageError(f"cannot open the store in {path}: {reason(error)}") from error
        except StorageError:
            environment.close()
            raise
        return mailboxes

    @property
    def databases(self) -> Databases:
        """The databases that a ``snapshot`` reads."""
        return self._databases

    def close(self) -> None:
        """Close a view that ``open`` made."""
        self._environment.close()

    def messages(self, account_id: int) -> list[Entry]:
        """The INBOX of the account, in the order of UIDs. Empty for an account that never had mail."""
        with self.snapshot() as snapshot:
            row = snapshot.get(self._databases.mailbox, mailbox_key(account_id, INBOX))
            if row is None:
                return []
            validity = MailboxRow.parse(row).uidvalidity
            return [
                Entry(uid := uid_of(key), MessageRow.size_in(value), f"{validity}.{uid}")
                for key, value in snapshot.scan(self._databases.message, mailbox_key(account_id, INBOX))
            ]

    def folders(self, account_id: int) -> list[Folder]:
        """All names of the account, by name, each with its status. Empty before the account's first use."""
        with self.snapshot() as snapshot:
            return views.folders(snapshot, self._databases, account_id)

    def folder(self, account_id: int, name: str) -> Folder | None:
        """What a name, as ``canonical`` gives it, stands for; None: for nothing."""
        with self.snapshot() as snapshot:
            return views.folder(snapshot, self._databases, account_id, name)

    def number(self, account_id: int, name: str) -> int:
        """That of the mailbox with this name, as ``canonical`` gives it; 0: there is none."""
        return views.number_in(self._get(self._databases.entry, name_key(account_id, name)))

    def mark(self, account_id: int) -> bytes | None:
        """Octets that are others after each change in the account; None where there is none, or it is being removed."""
        octets = self._get(self._databases.account, account_key(account_id))
        return None if octets is None or AccountRow.parse(octets).erased else octets

    def status(self, account_id: int, mailbox: int) -> MailboxRow | None:
        """The place of a mailbox in the order of things, and its sums; None when there is none."""
        octets = self._get(self._databases.mailbox, mailbox_key(account_id, mailbox))
        return views.status_in(octets) if octets is not None else None

    def select(self, account_id: int, mailbox: int) -> View | None:
        """A mailbox whole, as arrays; None when there is none."""
        with self.snapshot() as snapshot:
            return views.view(snapshot, self._databases, account_id, mailbox)

    def of(self, account_id: int, mailbox: int, uids: Sequence[int]) -> Records:
        """Those of the messages that are there. UIDs ascend."""
        with self.snapshot() as snapshot:
            return views.records(snapshot, self._databases, account_id, mailbox, uids)

    def headed(self, account_id: int, mailbox: int, uids: Sequence[int]) -> tuple[Records, list[bytes]]:
        """The same, and the header fields that stand before the content of each."""
        with self.snapshot() as snapshot:
            found = stored(snapshot, self._databases, account_id, mailbox, uids)
            return some(snapshot, self._databases, account_id, mailbox, found), headings(found)

    def small(self, account_id: int, mailbox: int, uids: Iterable[int]) -> dict[int, bytes]:
        """Whole messages, which must be small, by UID; those that are not there are left out."""
        found: dict[int, bytes] = {}
        with self.snapshot() as snapshot:
            keys = [message_key(account_id, mailbox, uid) for uid in uids]
            for key, octets in snapshot.many(self._databases.message, keys):
                with suppress(MessageGone):
                    row = MessageRow.parse(octets)
                    found[uid_of(key)] = row.heading + self._octets(snapshot, row.content)
        return found

    def octets(self, contents: Iterable[bytes]) -> list[bytes]:
        """Contents, which must be small, by their keys. MessageGone where one is not there."""
        with self.snapshot() as snapshot:
            return [self._octets(snapshot, key) for key in contents]

    def changes(self, account_id: int, mailbox: int, since: int) -> Changes | None:
        """What happened in a mailbox after that MODSEQ; None: look at it all anew, if it is there at all."""
        with self.snapshot() as snapshot:
            return views.changes(snapshot, self._databases, account_id, mailbox, since)

    def arrivals(self, account_id: int, mailbox: int, after: int, limit: int) -> list[tuple[int, MessageRow]]:
        """The messages whose UIDs follow that one, in their order, at most so many: (UID, record as it came)."""
        start, own = message_key(account_id, mailbox, after + 1), mailbox_key(account_id, mailbox)
        with self.snapshot() as snapshot:
            found = islice(snapshot.scan(self._databases.message, own, start), limit)
            return [(uid_of(key), MessageRow.parse(value)) for key, value in found]

    def places(self, after: tuple[int, int], limit: int) -> list[tuple[int, int, MailboxRow]]:
        """The mailboxes of all accounts that follow that one, at most so many: (account, mailbox, record)."""
        with self.snapshot() as snapshot:
            found = islice(snapshot.scan(self._databases.mailbox, start=mailbox_key(*after) + b"\0"), limit)
            return [(int.from_bytes(key[:8], "big"), uid_of(key), MailboxRow.parse(value)) for key, value in found]

    def gone(self, contents: Iterable[bytes]) -> list[bytes]:
        """Those of the contents that no message has any more."""
        with self.snapshot() as snapshot:
            return [key for key in contents if snapshot.get(self._databases.content, key) is None]

    def is_erased(self, account_id: int) -> bool:
        """Whether the account was removed, or never had mail."""
        with self.snapshot() as snapshot:
            octets = snapshot.get(self._databases.account, account_key(account_id))
        return octets is None or bool(AccountRow.parse(octets).erased)

    def is_held(self, account_id: int) -> bool:
        """Whether nothing of the account may be removed."""
        return self._get(self._databases.meta, held_key(account_id)) is not None

    def holds(self) -> set[int]:
        """The accounts of which nothing may be removed."""
        with self.snapshot() as snapshot:
            return holds.held(snapshot, self._databases)

    def kept(self, account_id: int) -> Generator[Kept, None, None]:
        """The messages that were removed and are kept, in the order in which they were; read bit by bit."""
        start = b""
        while some := self._kept(account_id, start):
            for key, row in some:
                yield Kept.of(key, row)
                start = key + b"\0"

    def stamp(self) -> tuple[int, int, int]:
        """Which store this is: device and inode, and a number that grows with each change."""
        status = (self.path / "data.mdb").stat()
        return status.st_dev, status.st_ino, self._environment.info()["last_txnid"]

    def scripts(self, account_id: int) -> list[Script]:
        """The Sieve scripts of the account, by name."""
        with self.snapshot() as snapshot:
            return scripts.listed(snapshot, self._databases, account_id)

    def script(self, account_id: int, name: str) -> bytes | None:
        """The text of a script; None when there is none of that name."""
        with self.snapshot() as snapshot:
            return scripts.text(snapshot, self._databases, account_id, name)

    def active_scripts(self, account_ids: Iterable[int]) -> dict[int, Active]:
        """Those of the accounts that have an active script."""
        with self.snapshot() as snapshot:
            return scripts.active(snapshot, self._databases, account_ids)

    def active_text(self, account_id: int, active: Active) -> bytes | None:
        """The text of the active script; None when it is another one by now."""
        with self.snapshot() as snapshot:
            return scripts.active_text(snapshot, self._databases, account_id, active)

    def times(self, account_id: int, key: str, now: int) -> int:
        """How often something has happened that the account remembers at that time, Unix milliseconds; 0: never."""
        with self.snapshot() as snapshot:
            return remembered.times(snapshot, self._databases, account_id, key, now=now)

    def usage(self, account_id: int) -> Usage:
        """What the account uses of its quota."""
        with self.snapshot() as snapshot:
            return views.usage(snapshot, self._databases, account_id)

    def metadata(
        self, account_id: int, mailbox: int, entries: Iterable[str], depth: int | None = 0, *, me: int | None = None
    ) -> list[tuple[str, bytes]]:
        """Entries that are there, and ``depth`` levels below them (None: all), as the account ``me`` sees them."""
        with self.snapshot() as snapshot:
            viewer = account_id if me is None else me
            return metadata.values(snapshot, self._databases, account_id, mailbox, entries, depth=depth, me=viewer)

    def metadata_changes(self, account_id: int, mailbox: int, since: int, *, me: int | None = None) -> list[str]:
        """The names of entries that were set or removed after that MODSEQ, as the account ``me`` sees them."""
        with self.snapshot() as snapshot:
            viewer = account_id if me is None else me
            return metadata.changes(snapshot, self._databases, account_id, mailbox, since, me=viewer)

    def is_full(self, account_id: int, quota: Quota) -> bool:
        """Whether the account has all of that quota. It is asked for each recipient at the door, and so takes 3 µs."""
        octets = self._get(self._databases.account, account_key(account_id))
        row = AccountRow.parse(octets) if octets is not None else AccountRow()
        return quota.used_up(row.size, row.messages)

    def usages(self, accounts: Iterable[int]) -> list[Usage]:
        """What each of the accounts uses. Ask for some hundreds at once."""
        with self.snapshot() as snapshot:
            return [views.usage(snapshot, self._databases, account_id) for account_id in accounts]

    def total(self, domain: str) -> Usage:
        """What the accounts of a domain use together, as it was summed up last; nothing where there is no limit."""
        with self.snapshot() as snapshot:
            return views.total(snapshot, self._databases, domain)

    def to_tell(self) -> list[tuple[int, TellRow]]:
        """The accounts that are to be told how full they are."""
        with self.snapshot() as snapshot:
            found = snapshot.scan(self._databases.quota, TELL)
            return [(int.from_bytes(key[len(TELL) :], "big"), TellRow.parse(value)) for key, value in found]

    def chunks(self, account_id: int, uid: int, mailbox: int = INBOX) -> Generator[bytes, None, None]:
        """The message as octets, in pieces of at most about 64 KiB. MessageGone when it is not there, at any piece."""
        with self.snapshot() as snapshot:
            message, content = self._find(snapshot, account_id, mailbox, uid)
            piece = message.heading + self._some(snapshot, message.content, content, 0)
        yield from self._from(piece, message.content, content)

    def content(self, key: bytes) -> Generator[bytes, None, None]:
        """A content, without the heading of any delivery, in pieces as ``chunks`` gives them. MessageGone."""
        with self.snapshot() as snapshot:
            octets = snapshot.get(self._databases.content, key)
            if octets is None:
                raise MessageGone(f"there is no content {key.hex()}")
            content = ContentRow.parse(octets)
            piece = self._some(snapshot, key, content, 0)
        yield from self._from(piece, key, content)

    def content_of(self, account_id: int, mailbox: int, uid: int) -> bytes:
        """The key of a message's content. MessageGone."""
        with self.snapshot() as snapshot:
            return self._find(snapshot, account_id, mailbox, uid)[0].content

    def missing(self, keys: Iterable[bytes]) -> set[bytes]:
        """Those contents that are not in the store."""
        with self.snapshot() as snapshot:
            return {key for key in keys if snapshot.get(self._databases.content, key) is None}

    def records(self, account_id: int, put: Callable[[putback.Row], None]) -> None:
        """Hand all records of an account, as they are at one moment, to ``put``. One transaction: be quick."""
        with self.snapshot() as snapshot:
            for row in putback.rows(snapshot, self._databases, account_id):
                put(row)

    def part(self, account_id: int, mailbox: int, uid: int, start: int, length: int) -> bytes:
        """``length`` octets of the message from ``start`` on, or as many as there are. MessageGone."""
        with self.snapshot() as snapshot:
            message, content = self._find(snapshot, account_id, mailbox, uid)
            octets = message.heading[start : start + length]
            start = max(0, start - len(message.heading))
            first, last = start // CHUNK, -(-(start + length - len(octets)) // CHUNK)
            wanted = range(first, min(last, content.chunks))
            inline = self._numbered(snapshot, message.content, wanted)
        octets += inline[start - first * CHUNK :][: length - len(octets)] if wanted else b""
        if len(octets) < length and content.filed:
            octets += self._filed(message.content, content, max(0, start - content.inline), length - len(octets))
        return octets

    def top(self, account_id: int, uid: int, lines: int) -> Generator[bytes, None, None]:
        """The header section, the empty line and the first ``lines`` lines of the body (RFC 1939 section 7, TOP)."""
        return first_lines(self.chunks(account_id, uid), lines)

    def delivered(self, message_id: MessageId, account_id: int) -> bool:
        """Whether this message has once been put into a mailbox of this account."""
        with self.snapshot() as snapshot:
            key = delivered_key(message_id, account_id)
            return snapshot.get(self._databases.delivered, key) is not None

    def said(self, message_id: MessageId, account_id: int) -> bytes | None:
        """What was kept with the delivery of this message to this account."""
        with self.snapshot() as snapshot:
            return snapshot.get(self._databases.said, delivered_key(message_id, account_id))

    def verify(self) -> list[str]:
        """Every contradiction in the store, in words: references, sizes, sums, files. Slow: one long transaction."""
        with self.snapshot() as snapshot:
            return list(problems(snapshot, self._databases, self.path))

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """The store at this moment. Never hold it across an ``await``."""
        try:
            with self._environment.begin() as transaction:
                yield Snapshot(transaction)
        except lmdb.Error as error:
            raise translated(error) from error

    def _kept(self, account_id: int, start: bytes) -> list[tuple[bytes, KeptRow]]:
        with self.snapshot() as snapshot:
            found = islice(snapshot.scan(self._databases.kept, account_key(account_id), start), KEPT_AT_ONCE)
            return [(key, KeptRow.parse(value)) for key, value in found]

    def _get(self, database: Database, key: bytes) -> bytes | None:
        """One value: as from a ``snapshot``, in half the time."""
        try:
            with self._environment.begin() as transaction:
                return transaction.get(key, db=database)
        except lmdb.Error as error:
            raise translated(error) from error

    def _from(self, piece: bytes, key: bytes, content: ContentRow) -> Generator[bytes, None, None]:
        """The first piece, and all that comes after it."""
        file = self._file(key, content)
        yield piece
        for first in range(CHUNKS_AT_ONCE, content.chunks, CHUNKS_AT_ONCE):
            with self.snapshot() as snapshot:
                piece = self._some(snapshot, key, content, first)
            yield piece
        yield from file

    def _find(self, snapshot: Snapshot, account_id: int, mailbox: int, uid: int) -> tuple[MessageRow, ContentRow]:
        octets = snapshot.get(self._databases.message, message_key(account_id, mailbox, uid))
        if octets is None:
            raise MessageGone(f"account {account_id} has no message {uid}")
        message = MessageRow.parse(octets)
        octets = snapshot.get(self._databases.content, message.content)
        if octets is None:
            raise StorageError(f"message {uid} of account {account_id} has lost its content; run a check of the store")
        return message, ContentRow.parse(octets)

    def _octets(self, snapshot: Snapshot, key: bytes) -> bytes:
        octets = snapshot.get(self._databases.content, key)
        if octets is None:
            raise MessageGone("the message was removed before it was read")
        content = ContentRow.parse(octets)
        inline = self._numbered(snapshot, key, range(content.chunks))
        return inline + b"".join(self._file(key, content)) if content.filed else inline

    def _some(self, snapshot: Snapshot, key: bytes, content: ContentRow, first: int) -> bytes:
        return self._numbered(snapshot, key, range(first, min(first + CHUNKS_AT_ONCE, content.chunks)))

    def _numbered(self, snapshot: Snapshot, key: bytes, numbers: range) -> bytes:
        found = snapshot.numbered(self._databases.chunk, key, numbers)
        if len(found) < len(numbers):
            raise MessageGone("the message was removed while it was read")
        return b"".join([chunk for _, chunk in found])

    def _file(self, key: bytes, content: ContentRow) -> Iterator[bytes]:
        if content.token == NO_FILE:
            return iter(())
        pieces = large.read(self.path / LARGE / file_name(key, content.token))
        with _file_errors():
            next(pieces)
        return pieces

    def _filed(self, key: bytes, content: ContentRow, start: int, length: int) -> bytes:
        with _file_errors(), (self.path / LARGE / file_name(key, content.token)).open("rb") as file:
            file.seek(start)
            return file.read(length)


@contextmanager
def _file_errors() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise MessageGone("the message was removed while it was read") from error
    except OSError as error:
        raise StorageError(f"cannot read the content of a message: {error}") from error


def first_lines(pieces: Iterator[bytes], lines: int) -> Generator[bytes, None, None]:
    """Of a message in pieces: the header section, the empty line, and the first ``lines`` lines after it."""
    left = -1  # lines still wanted; below zero: the header section has not ended
    blank = True  # the line, as far as it has been seen
    for piece in pieces:
        start = 0
        while (end := piece.find(b"\n", start)) >= 0:
            blank = blank and piece[start:end] in (b"", b"\r")
            if left > 0:
                left -= 1
            elif left < 0 and blank:
                left = lines
            if left == 0:
                yield piece[: end + 1]
                return
            start, blank = end + 1, True
        blank = blank and piece[start:] in (b"", b"\r")
        yield piece
