"""Delivery: one message into the mailboxes of many accounts, each exactly once."""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from engine.mailbox.content import refer
from engine.mailbox.large import Staged
from engine.mailbox.layout import INBOX, Databases, delivered_key, place
from engine.mailbox.names import INBOX_NAME
from engine.mailbox.opened import Effects, OpenAccount, OpenMailbox
from engine.mailbox.quota import Quota
from engine.mailbox.rows import MessageRow
from engine.message import MessageId
from engine.storage.writer import Batch

_LINE_BREAKS = dict.fromkeys(map(ord, "\r\n\0"))


class Outcome(enum.Enum):
    """What became of one message for one account."""

    DELIVERED = "delivered to mailbox"
    ALREADY = "delivered already"
    GONE = "the account was removed"
    OVER_QUOTA = "the mailbox is full"


class Place(NamedTuple):
    """Where in an account a message goes, and with what flags. A mailbox that is not there means INBOX.

    Keywords for which the mailbox has no bit left are left off.
    """

    mailbox: str = INBOX_NAME
    flags: int = 0
    keywords: tuple[str, ...] = ()


TO_INBOX = (Place(),)


@dataclass(frozen=True, slots=True)
class Recipient:
    """One account that a message is for: the address that the sender wrote to, its places, and its quota."""

    address: str
    places: tuple[Place, ...] = TO_INBOX
    quota: Quota = Quota()


@dataclass(frozen=True, slots=True)
class Part:
    """What one account gets."""

    heading: bytes  # header fields of this delivery
    places: tuple[Place, ...] = TO_INBOX
    quota: Quota = Quota()


@dataclass(slots=True)
class Delivered(Effects):
    """The result of ``Deliver``."""

    outcomes: dict[int, Outcome] = field(default_factory=dict)
    file_used: bool = False


@dataclass(frozen=True, slots=True)
class Deliver:
    """Put one message into the mailboxes of each account that has not had it. Exactly once, or not at all."""

    databases: Databases
    message_id: MessageId
    content: bytes  # key
    size: int  # octets of the content
    staged: Staged
    parts: Mapping[int, Part]  # by account
    received: int  # Unix milliseconds
    now: int  # Unix milliseconds

    def __call__(self, batch: Batch) -> Delivered:
        delivered, added = Delivered(), 0
        for account, part in self.parts.items():
            outcome, copies = self._place(batch, account, part, delivered)
            delivered.outcomes[account] = outcome
            added += copies
        if added:
            delivered.file_used = refer(batch, self.databases, self.content, added, self.staged)
        return delivered

    def _place(self, batch: Batch, account: int, part: Part, delivered: Delivered) -> tuple[Outcome, int]:
        """The outcome for one account, and how many copies it got."""
        key = delivered_key(self.message_id, account)
        if batch.get(self.databases.delivered, key) is not None:
            return Outcome.ALREADY, 0
        opened = OpenAccount.open(batch, self.databases, account, now=self.now)
        if opened is None:
            return Outcome.GONE, 0
        opened.quota = part.quota
        outcome, placed = Outcome.OVER_QUOTA, []
        if not part.quota.full(opened):
            outcome = Outcome.DELIVERED
            placed = [self._put(*found, part.heading) for found in _found(opened, part.places)]
            batch.put(self.databases.delivered, key, place(*placed[0]))
        delivered.news += opened.save()  # the mailboxes of a new account, whatever the outcome
        delivered.fuller |= opened.fuller
        return outcome, len(placed)

    def _put(self, mailbox: OpenMailbox, where: Place, heading: bytes) -> tuple[int, int]:
        bits = 0
        for keyword in where.keywords:
            bits |= mailbox.bits((keyword,)) or 0
        size = len(heading) + self.size
        row = MessageRow(self.content, where.flags, bits, 0, size, self.received, 0, heading)
        return mailbox.number, mailbox.add(row)


def _found(account: OpenAccount, places: Iterable[Place]) -> list[tuple[OpenMailbox, Place]]:
    """The mailboxes of these places, each once."""
    inbox = account.mailbox(INBOX)
    assert inbox is not None  # it cannot be deleted
    if places is TO_INBOX:
        return [(inbox, TO_INBOX[0])]
    found: dict[int, tuple[OpenMailbox, Place]] = {}
    for one in places:
        mailbox = inbox if one.mailbox == INBOX_NAME else account.named(one.mailbox) or inbox
        found.setdefault(mailbox.number, (mailbox, one))
    return list(found.values())


def part_for(sender: str, recipient: str | Recipient) -> Part:
    """What an account gets: by the address alone, into INBOX."""
    if isinstance(recipient, str):
        return Part(_heading(sender, recipient))
    return Part(_heading(sender, recipient.address), recipient.places, recipient.quota)


def _heading(sender: str, address: str) -> bytes:
    """The header fields of one delivery: RFC 5321 4.4, and the address that it was for, whatever To says."""
    fields = f"Return-Path: <{_one_line(sender)}>\r\nDelivered-To: {_one_line(address)}\r\n"
    return fields.encode("utf-8", "surrogateescape")


def _one_line(text: str) -> str:
    return text if text.isprintable() else text.translate(_LINE_BREAKS)  # which nearly always finds nothing, in 1.5 µs
