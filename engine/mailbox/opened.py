"""An account and its mailboxes as one change works on them: read once, counted in memory, written by ``save``."""

from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from engine.mailbox import grants, log
from engine.mailbox.content import keys, release, share
from engine.mailbox.flags import DELETED, MOST_KEYWORDS, SEEN
from engine.mailbox.layout import (
    PUBLIC,
    UIDVALIDITY_KEY,
    Databases,
    account_key,
    held_key,
    kept_key,
    keyword_key,
    log_key,
    mailbox_key,
    message_key,
    name_key,
)
from engine.mailbox.names import AT_FIRST, SEPARATOR, above
from engine.mailbox.quota import Quota, note
from engine.mailbox.restating import OpenStates, Restated
from engine.mailbox.rights import Grant
from engine.mailbox.rows import (
    AccountRow,
    EntryRow,
    KeptRow,
    MailboxRow,
    MessageRow,
    State,
    pack_account,
    pack_mailbox,
    pack_message,
    restated,
)
from engine.mailbox.snapshot import Snapshot
from engine.storage.batch import Batch


class News(NamedTuple):
    """Something has changed in a mailbox; its highest MODSEQ since then. That counts its rights and metadata too.

    Mailbox 0: what the account is subscribed to or others share with it, or metadata of the server; of the account
    PUBLIC: what is shared with everybody.
    """

    account: int
    mailbox: int
    modseq: int


@dataclass(slots=True)
class Effects:
    """What is to be done once a change is committed: files that may go, and news to tell."""

    files: list[str] = field(default_factory=list)
    news: list[News] = field(default_factory=list)
    fuller: bool = False  # somebody is to be told that a mailbox fills up


class OpenMailbox:
    """One mailbox inside a change. All that it counts is right at once; ``OpenAccount.save`` writes it."""

    __slots__ = (
        "_account", "_batch", "_databases", "_expunged", "_flagged", "_names", "_states", "changed", "deleted",
        "deleted_size", "gone", "logged", "lowest", "messages", "modseq", "name", "number", "size", "uidnext",
        "uidvalidity", "unseen",
    )  # fmt: skip

    def __init__(self, account: "OpenAccount", number: int, row: MailboxRow) -> None:
        self._account = account
        self._batch, self._databases = account.batch, account.databases
        self.number = number
        (
            self.uidvalidity, self.uidnext, self.modseq, self.lowest, self.messages, self.unseen, self.deleted,
            self.size, self.deleted_size, self.logged, self.gone, self.name,
        ) = row  # fmt: skip
        self.changed = False
        self._states = OpenStates(account.batch, account.databases, account.id, number)
        self._flagged = array("I")
        self._expunged: list[int] = []
        self._names: list[str] | None = None

    def get(self, uid: int) -> MessageRow | None:
        octets = self._batch.get(self._databases.message, message_key(self._account.id, self.number, uid))
        if octets is None:
            return None
        state = self._states.get(uid)
        return MessageRow.parse(octets if state is None else restated(octets, *state))

    def uids(self, limit: int | None = None) -> list[int]:
        """Those of all its messages, or of the first."""
        found = keys(self._batch, self._databases.message, mailbox_key(self._account.id, self.number), limit)
        return [int.from_bytes(key[-4:], "big") for key in found]

    def add(self, message: MessageRow) -> int:
        """Put a message in, its MODSEQ and the time that it came in set; its UID."""
        content, flags, keywords, _, size, received, _, heading = message
        account, uid = self._account, self.uidnext
        self.uidnext += 1
        octets = pack_message(content, flags, keywords, account.modseq, size, received, account.now) + heading
        self._batch.put(self._databases.message, message_key(account.id, self.number, uid), octets)
        self._count(flags, size, 1)
        return uid

    def add_all(self, messages: Iterable[MessageRow]) -> list[int]:
        """The same for several."""
        account, first = self._account, self.uidnext
        place, modseq, now = mailbox_key(account.id, self.number), account.modseq, account.now
        items = []
        for content, flags, keywords, _, size, received, _, heading in messages:
            octets = pack_message(content, flags, keywords, modseq, size, received, now) + heading
            items.append((place + self.uidnext.to_bytes(4, "big"), octets))
            self.uidnext += 1
            self._count(flags, size, 1)
        self._batch.put_all(self._databases.message, items)
        return list(range(first, self.uidnext))

    def restate(
        self,
        uids: "array[int]",
        become: Callable[[State], State],
        *,
        unchanged_since: int | None = None,
        known: int | None = None,
    ) -> Restated:
        """As ``OpenStates.restate``, and counted."""
        modseq = self._account.modseq
        found = self._states.restate(uids, become, modseq, unchanged_since=unchanged_since, known=known)
        if found.changed:
            self.unseen -= found.seen
            self.deleted += len(found.marked) - len(found.unmarked)
            self.deleted_size += self._size(found.marked) - self._size(found.unmarked)
            self._flagged += found.changed
            self.changed = True
        return found

    def take(self, uid: int, message: MessageRow) -> None:
        """Take a message out. Its reference to the content is now the caller's."""
        self._batch.delete(self._databases.message, message_key(self._account.id, self.number, uid))
        self._states.drop(uid)
        self._count(message.flags, -message.size, -1)
        self._expunged.append(uid)

    def expunge(self, uid: int, message: MessageRow) -> None:
        """Take a message out, and keep it for a while if that is wanted, or for as long as the account is held."""
        self.take(uid, message)
        if self._account.keep or self._account.held:
            self.keep(uid, message)
        else:
            self._account.release(message)

    def keep(self, uid: int, message: MessageRow) -> None:
        """Keep a message, whatever becomes of it here. It takes a reference to the content, which is the caller's."""
        account = self._account
        row = KeptRow(self.name, self.keywords(message.keywords), message)
        key = kept_key(account.id, account.now, self.number, uid)
        self._batch.put(self._databases.kept, key, row.octets())
        account.kept += 1
        account.kept_size += message.size

    def bits(self, names: Iterable[str], *, make: bool = True) -> int | None:
        """The bits of these keywords; new ones get one if ``make``, else have none. None: there are too many.

        Keywords are the same in capitals and small letters (RFC 9051 2.3.2).
        """
        known = self._keywords()
        bits = 0
        for name in names:
            folded = name.casefold()
            bit = next((bit for bit, other in enumerate(known) if other.casefold() == folded), len(known))
            if bit == len(known):
                if not make:
                    continue
                if bit == MOST_KEYWORDS:
                    return None
                self._batch.put(self._databases.keyword, keyword_key(self._account.id, self.number, bit), name.encode())
                known.append(name)
            bits |= 1 << bit
        return bits

    def keywords(self, bits: int) -> tuple[str, ...]:
        """The keywords that have these bits."""
        return tuple(name for bit, name in enumerate(self._keywords()) if bits >> bit & 1) if bits else ()

    def save(self) -> None:
        account = self._account
        self.modseq = account.modseq
        self._states.save()
        if self._flagged or self._expunged:
            self._log()
        octets = pack_mailbox(
            self.uidvalidity, self.uidnext, self.modseq, self.lowest, self.messages, self.unseen, self.deleted,
            self.size, self.deleted_size, self.logged, self.gone,
        )  # fmt: skip
        key = mailbox_key(account.id, self.number)
        self._batch.put(self._databases.mailbox, key, octets + self.name.encode())

    def _size(self, uids: "array[int]") -> int:
        """Octets of all of these messages."""
        return sum([MessageRow.size_in(octets) for _, octets in self._states.stored(uids)])

    def _count(self, flags: int, size: int, sign: int) -> None:
        """Count one message with these flags: that it came, or with minus signs that it went."""
        account = self._account
        self.changed = True
        self.messages += sign
        self.size += size
        if not flags & SEEN:
            self.unseen += sign
        if flags & DELETED:
            self.deleted += sign
            self.deleted_size += size
        account.messages += sign
        account.size += size

    def _keywords(self) -> list[str]:
        if self._names is None:
            self._names = []
            account = self._account.id
            # One by one, for a scan would first write all that has gathered in the batch.
            while octets := self._batch.get(
                self._databases.keyword, keyword_key(account, self.number, len(self._names))
            ):
                self._names.append(octets.decode())
        return self._names

    def _log(self) -> None:
        if self.gone:
            return
        account, part = self._account, 0
        for kind, uids in ((log.FLAGS, self._flagged), (log.EXPUNGED, self._expunged)):
            for record in log.records(kind, uids):
                key = log_key(account.id, self.number, account.modseq, part)
                self._batch.put(self._databases.log, key, record)
                part += 1
        self.logged += part
        if self.logged > log.MOST:
            surplus = self.logged - log.MOST + log.AT_ONCE
            old = keys(self._batch, self._databases.log, mailbox_key(account.id, self.number), surplus)
            for key in old:
                self._batch.delete(self._databases.log, key)
            self.logged -= len(old)
            self.lowest = max(self.lowest, int.from_bytes(old[-1][12:20], "big"))


class OpenAccount:
    """One account inside a change. Its MODSEQ is the next one: all that the change does has the same."""

    __slots__ = (
        "_before", "_beside", "_erased", "_held", "_mailboxes", "_told", "batch", "databases", "files", "fuller", "id",
        "keep", "kept", "kept_size", "messages", "modseq", "newest", "now", "quota", "size", "subscriptions",
    )  # fmt: skip

    def __init__(
        self, batch: Batch, databases: Databases, account: int, row: AccountRow, *, now: int, keep: bool
    ) -> None:
        self.batch = batch
        self.databases = databases
        self.id = account
        self._erased, self.newest, modseq, self.messages, self.size, self.kept, self.kept_size = row
        self.modseq = modseq + 1
        self.now = now  # Unix milliseconds
        self.keep = keep  # whether what is expunged can be brought back
        self.files: list[str] = []  # which may go once the change is committed
        self.quota: Quota | None = None  # where the change stores something
        self.fuller = False  # ``save`` has found that it is to be told how full it is
        self._before = self.size, self.messages
        self._mailboxes: dict[int, OpenMailbox | None] = {}
        self.subscriptions = False  # whether they have changed
        self._told: set[int] = set()
        self._held: bool | None = None  # not looked at yet
        self._beside: dict[int, OpenAccount | None] = {}

    @classmethod
    def open(
        cls, batch: Batch, databases: Databases, account: int, *, now: int, keep: bool = False
    ) -> "OpenAccount | None":
        """The account, with the mailboxes that everyone has if this is its first use; None when it is erased."""
        octets = batch.get(databases.account, account_key(account))
        row = AccountRow.parse(octets) if octets is not None else AccountRow()
        if row.erased:
            return None
        opened = cls(batch, databases, account, row, now=now, keep=keep)
        if octets is None:
            opened.begin()
        return opened

    def begin(self) -> None:
        """Make the mailboxes that every account has, and subscribe to them."""
        for name, use in AT_FIRST if self.id != PUBLIC else AT_FIRST[:1]:
            if self.entry(name) is None:
                self.create(name, use)
            self.batch.put(self.databases.subscribed, name_key(self.id, name), b"")

    @property
    def held(self) -> bool:
        """Whether nothing of it may be removed: what is expunged is kept."""
        if self._held is None:
            self._held = self.batch.get(self.databases.meta, held_key(self.id)) is not None
        return self._held

    def mailbox(self, number: int, *, gone: bool = False) -> OpenMailbox | None:
        """None when there is none, or it is being taken away and ``gone`` does not say that it may be."""
        try:
            mailbox = self._mailboxes[number]
        except KeyError:
            octets = self.batch.get(self.databases.mailbox, mailbox_key(self.id, number))
            mailbox = OpenMailbox(self, number, MailboxRow.parse(octets)) if octets is not None else None
            self._mailboxes[number] = mailbox
        return None if mailbox is None or (mailbox.gone and not gone) else mailbox

    def entry(self, name: str) -> EntryRow | None:
        octets = self.batch.get(self.databases.entry, name_key(self.id, name))
        return EntryRow.parse(octets) if octets is not None else None

    def named(self, name: str) -> OpenMailbox | None:
        entry = self.entry(name)
        return self.mailbox(entry.mailbox) if entry else None

    def create(self, name: str, use: int = 0) -> OpenMailbox:
        """A new mailbox of that name, which must be free or hold no mail. It inherits the rights to the one above."""
        self.newest += 1
        row = MailboxRow(self._new_uidvalidity(), modseq=self.modseq, lowest=self.modseq, name=name)
        mailbox = self._mailboxes[self.newest] = OpenMailbox(self, self.newest, row)
        mailbox.changed = True
        self.enter(name, EntryRow(mailbox.number, use))
        parent = self.named(name.rpartition(SEPARATOR)[0]) if SEPARATOR in name else None
        if parent is not None:
            for grant in self.grants(parent.number).values():
                grants.put(self.batch, self.databases, self.id, mailbox.number, grant)
                self.tell(grant.who)
        return mailbox

    def grants(self, mailbox: int) -> dict[str, Grant]:
        """The list of rights of a mailbox, by identifier."""
        found = grants.grants(Snapshot(self.batch.transaction), self.databases, self.id, mailbox)
        return {grant.identifier: grant for grant in found}

    def tell(self, account: int) -> None:
        """Have this account told that something has changed in what others share with it; 0: everybody."""
        self._told.add(account)

    def beside(self, account: int | None) -> "OpenAccount | None":
        """Another account in the same change; None: the same account. None when that is erased."""
        if account in (None, self.id):
            return self
        if account not in self._beside:
            self._beside[account] = OpenAccount.open(self.batch, self.databases, account, now=self.now, keep=self.keep)
        return self._beside[account]

    def made(self, name: str, use: int = 0) -> OpenMailbox:
        """The mailbox of that name; it, and those above it, are made where they are missing."""
        found = self.named(name)
        if found is not None:
            return found
        self.make_above(name)
        return self.create(name, use)

    def make_above(self, name: str) -> None:
        """Superior names SHOULD be made with a mailbox (RFC 9051 6.3.4), and be mailboxes: clients expect no less."""
        for parent in reversed(list(above(name))):
            if self.entry(parent) is None:
                self.create(parent)

    def of_use(self, use: int) -> OpenMailbox | None:
        """The mailbox that has this special use."""
        for key in keys(self.batch, self.databases.entry, account_key(self.id)):
            entry = self.entry(key[8:].decode())
            if entry is not None and entry.use == use:
                return self.mailbox(entry.mailbox)
        return None

    def enter(self, name: str, entry: EntryRow | None) -> None:
        """Say what a name stands for; None: for nothing."""
        key = name_key(self.id, name)
        if entry is None:
            self.batch.delete(self.databases.entry, key)
        else:
            self.batch.put(self.databases.entry, key, entry.octets())

    def share(self, messages: Iterable[MessageRow]) -> None:
        """Count one more message that has the content of each."""
        share(self.batch, self.databases, (message.content for message in messages))

    def release(self, message: MessageRow) -> None:
        """A message has gone for ever, and with it perhaps its content."""
        self.files += release(self.batch, self.databases, message.content)

    def unkeep(self, key: bytes, row: KeptRow) -> None:
        """A message is kept no longer. Its reference to the content is now the caller's."""
        self.batch.delete(self.databases.kept, key)
        self.kept -= 1
        self.kept_size -= row.message.size

    def fits(self, quota: Quota, sizes: Sequence[int]) -> bool:
        """Whether messages of these octets, which a client wants to store, are within the quota that counts now."""
        self.quota = quota
        return not sizes or not quota.exceeded(self.size + sum(sizes), self.messages + len(sizes))

    def save(self) -> list[News]:
        """Write all that was counted, and close the mailboxes. What is new, for those who look at them."""
        news = []
        for mailbox in self._mailboxes.values():
            if mailbox is not None and mailbox.changed:
                mailbox.save()
                news.append(News(self.id, mailbox.number, self.modseq))
        news += [News(account, 0, self.modseq) for account in self._told]
        if self.subscriptions:
            news.append(News(self.id, 0, self.modseq))
        modseq = self.modseq if news else self.modseq - 1
        octets = pack_account(self._erased, self.newest, modseq, self.messages, self.size, self.kept, self.kept_size)
        self.batch.put(self.databases.account, account_key(self.id), octets)
        if self.quota is not None and self.quota.warn:
            now = self.size, self.messages
            self.fuller = note(self.batch, self.databases.quota, self.id, self.quota, before=self._before, now=now)
        for other in self._beside.values():
            if other is not None:
                news += other.save()
                self.fuller |= other.fuller
        self._mailboxes.clear()  # each names its account: nothing of a change is to wait for the garbage collector
        return news

    def _new_uidvalidity(self) -> int:
        """Greater than every one before (RFC 9051 2.3.1.1). The clock keeps it so when an old store was put back."""
        last = int.from_bytes(self.batch.get(self.databases.meta, UIDVALIDITY_KEY) or b"", "big")
        validity = max(last + 1, self.now // 1000)
        self.batch.put(self.databases.meta, UIDVALIDITY_KEY, validity.to_bytes(4, "big"))
        return validity
