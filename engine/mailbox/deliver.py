"""Delivery: one message into the mailboxes of many accounts, each exactly once."""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from engine.mailbox.content import refer
from engine.mailbox.large import Staged
from engine.mailbox.layout import INBOX, Databases, delivered_key, place
from engine.mailbox.names import INBOX_NAME, USES
from engine.mailbox.opened import Effects, OpenAccount, OpenMailbox
from engine.mailbox.quota import Quota
from engine.mailbox.remembered import Remembered, is_stale, remember
from engine.mailbox.rows import MessageRow
from engine.message import MessageId
from engine.storage.batch import Batch

_LINE_BREAKS = dict.fromkeys(map(ord, "\r\n\0"))


class Outcome(enum.Enum):
    """What became of one message for one account."""

    DELIVERED = "delivered to mailbox"
    ALREADY = "delivered already"
    GONE = "the account was removed"
    OVER_QUOTA = "the mailbox is full"
    STALE = "what the account remembers has changed"


class Place(NamedTuple):
    """Where in an account a message goes, and with what flags. A mailbox that is not there means INBOX.

    Keywords for which the mailbox has no bit left are left off.
    """

    mailbox: str = INBOX_NAME  # as ``canonical`` gives it
    flags: int = 0
    keywords: tuple[str, ...] = ()
    number: int = 0  # of the mailbox; it, and then the special use, come before the name
    use: int = 0
    create: bool = False  # whether the mailbox is made, with the special use, if it is not there
    variant: int = 0  # which content: that of the message, or of one of its variants


TO_INBOX = (Place(),)

TO_JUNK = (Place("Junk", use=USES.index("\\Junk"), create=True),)
"""Where mail goes that a scanner takes for spam (`engine.message.JUNK`), unless a script says otherwise."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """One account that a message is for: the address that the sender wrote to, its places, and its quota.

    No places: it is delivered by being nowhere. ``remember`` and ``said`` are kept in the same change as the message,
    and not at all if that was delivered already; ``said`` can be had again then. Where something has happened that
    ``remember`` did not know of, nothing is done: whoever decided must decide anew.
    """

    address: str
    places: tuple[Place, ...] = TO_INBOX
    quota: Quota = Quota()
    remember: tuple[Remembered, ...] = ()
    said: bytes = b""


@dataclass(frozen=True, slots=True)
class Part:
    """What one account gets."""

    heading: bytes  # header fields of this delivery
    places: tuple[Place, ...] = TO_INBOX
    quota: Quota = Quota()
    remember: tuple[Remembered, ...] = ()
    said: bytes = b""


class Variant(NamedTuple):
    """A content that is ready to be referred to."""

    key: bytes
    staged: Staged


@dataclass(slots=True)
class Delivered(Effects):
    """The result of ``Deliver``."""

    outcomes: dict[int, Outcome] = field(default_factory=dict)
    used: set[bytes] = field(default_factory=set)  # contents whose staged files are in use from now


@dataclass(frozen=True, slots=True)
class Deliver:
    """Put one message into the mailboxes of each account that has not had it. Exactly once, or not at all."""

    databases: Databases
    message_id: MessageId
    contents: tuple[Variant, ...]
    parts: Mapping[int, Part]  # by account
    received: int  # Unix milliseconds
    now: int  # Unix milliseconds

    def __call__(self, batch: Batch) -> Delivered:
        delivered = Delivered()
        copies = [0] * len(self.contents)
        for account, part in self.parts.items():
            delivered.outcomes[account] = self._place(batch, account, part, delivered, copies)
        for content, added in zip(self.contents, copies, strict=True):
            if added and refer(batch, self.databases, content.key, added, content.staged):
                delivered.used.add(content.key)
        return delivered

    def _place(self, batch: Batch, account: int, part: Part, delivered: Delivered, copies: list[int]) -> Outcome:
        """The outcome for one account; ``copies`` counts those of each content."""
        key = delivered_key(self.message_id, account)
        if batch.get(self.databases.delivered, key) is not None:
            return Outcome.ALREADY
        if any(is_stale(batch, self.databases, account, one, now=self.now) for one in part.remember):
            return Outcome.STALE
        opened = OpenAccount.open(batch, self.databases, account, now=self.now)
        if opened is None:
            return Outcome.GONE
        opened.quota = part.quota
        outcome = Outcome.OVER_QUOTA
        if not (part.places and part.quota.used_up(opened.size, opened.messages)):
            outcome = Outcome.DELIVERED
            placed = [self._put(*found, part.heading, copies) for found in _found(opened, part.places)]
            batch.put(self.databases.delivered, key, place(*placed[0]) if placed else place(0, 0))
            if part.said:
                batch.put(self.databases.said, key, part.said)
            for one in part.remember:
                remember(batch, self.databases, account, one, now=self.now)
        delivered.news += opened.save()  # the mailboxes of a new account, whatever the outcome
        delivered.fuller |= opened.fuller
        return outcome

    def _put(self, mailbox: OpenMailbox, where: Place, heading: bytes, copies: list[int]) -> tuple[int, int]:
        bits = 0
        for keyword in where.keywords:
            bits |= mailbox.bits((keyword,)) or 0
        copies[where.variant] += 1
        content = self.contents[where.variant]
        size = len(heading) + content.staged.size
        row = MessageRow(content.key, where.flags, bits, 0, size, self.received, 0, heading)
        return mailbox.number, mailbox.add(row)


def _found(account: OpenAccount, places: Iterable[Place]) -> list[tuple[OpenMailbox, Place]]:
    """The mailboxes of these places, each once."""
    inbox = account.mailbox(INBOX)
    assert inbox is not None  # it cannot be deleted
    if places is TO_INBOX:
        return [(inbox, TO_INBOX[0])]
    found: dict[int, tuple[OpenMailbox, Place]] = {}
    for one in places:
        mailbox = _wanted(account, one) or inbox
        found.setdefault(mailbox.number, (mailbox, one))
    return list(found.values())


def _wanted(account: OpenAccount, where: Place) -> OpenMailbox | None:
    mailbox = account.mailbox(where.number) if where.number else None
    if mailbox is None and where.use:
        mailbox = account.of_use(where.use)
    if mailbox is None:
        mailbox = account.named(where.mailbox)
    if mailbox is None and where.create:
        mailbox = account.made(where.mailbox, where.use)
    return mailbox


def part_for(sender: str, recipient: str | Recipient) -> Part:
    """What an account gets: by the address alone, into INBOX."""
    if isinstance(recipient, str):
        return Part(_heading(sender, recipient))
    heading = _heading(sender, recipient.address)
    return Part(heading, recipient.places, recipient.quota, recipient.remember, recipient.said)


def _heading(sender: str, address: str) -> bytes:
    """The header fields of one delivery: RFC 5321 4.4, and the address that it was for, whatever To says."""
    fields = f"Return-Path: <{_one_line(sender)}>\r\nDelivered-To: {_one_line(address)}\r\n"
    return fields.encode("utf-8", "surrogateescape")


def _one_line(text: str) -> str:
    return text if text.isprintable() else text.translate(_LINE_BREAKS)  # which nearly always finds nothing, in 1.5 µs
