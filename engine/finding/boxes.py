"""Mailboxes as addresses name them, and what somebody may do with them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from engine.mailbox import Access, Folder, Identity, Mailboxes
from engine.mailbox.names import INBOX_NAME
from engine.mailbox.rights import RIGHTS
from engine.mailbox.views import mailbox_id

_BOX = re.compile(r"F([0-9a-f]{1,15})-([0-9a-f]{1,8})")

READ, SEEN, WRITE, INSERT, DELETE, EXPUNGE = "rswite"
"""Rights of RFC 4314 2.1: to read, to keep what was seen, other flags, to put in, to mark as deleted, to remove."""

ORDER: Final = {INBOX_NAME: 0, "\\Drafts": 1, "\\Sent": 2, "\\Archive": 3, "\\Junk": 4, "\\Trash": 5}
"""How the mailboxes that everybody has stand in the list; all others follow by name."""


@dataclass(frozen=True, slots=True)
class Box:
    """A mailbox, and what the person who looks at it may do."""

    account: int  # its owner
    number: int
    name: str  # as the person sees it
    use: str = ""  # "\\Sent" and so on
    rights: str = RIGHTS
    messages: int = 0
    unseen: int = 0

    @property
    def id(self) -> str:
        """As addresses have it: numbers are never used again (RFC 8474)."""
        return mailbox_id(self.account, self.number)

    @property
    def label(self) -> str:
        """The last part of its name."""
        return self.name.rpartition("/")[2]

    @property
    def depth(self) -> int:
        """How many names stand above it."""
        return self.name.count("/")

    @property
    def outgoing(self) -> bool:
        """Whether the person wrote what is in it, so that the other side are its recipients."""
        return self.use in ("\\Sent", "\\Drafts")

    def may(self, right: str) -> bool:
        return right in self.rights


def parsed(text: str) -> tuple[int, int] | None:
    """Account and number of what ``Box.id`` gave; None: it is nothing that could be one."""
    found = _BOX.fullmatch(text)
    return (int(found[1], 16), int(found[2], 16)) if found is not None else None


class Boxes:
    """The mailboxes of one person, their own, shared ones and public ones. Every method may block; StorageError."""

    def __init__(self, mailboxes: Mailboxes, me: Identity) -> None:
        self._mailboxes = mailboxes
        self._access = Access(mailboxes)
        self.me = me

    def all(self) -> list[Box]:
        """Those that may be read, in the order in which people look for them."""
        own = [_box(self.me.account, folder, RIGHTS) for folder in self._mailboxes.folders(self.me.account)]
        found = [box for box in own if box is not None]
        for name, _, rights in self._access.listed(self.me):
            place = self._access.place(self.me, name)
            if place is not None and READ in rights:
                status = self._mailboxes.status(place.account, place.mailbox)
                if status is not None:
                    counts = status.messages, status.unseen
                    found.append(Box(place.account, place.mailbox, name, "", rights, *counts))
        return sorted(found, key=_order)

    def box(self, text: str) -> Box | None:
        """That of this ``Box.id``, if it may be read. A name by which nothing is found tells nothing of others'."""
        place = parsed(text)
        if place is None:
            return None
        if place[0] != self.me.account and READ not in self._access.rights(self.me, *place):
            return None
        return next((box for box in self.all() if (box.account, box.number) == place), None)

    def of_use(self, use: str) -> Box | None:
        """The person's own mailbox of that special use."""
        return next((box for box in self.all() if box.use == use and box.account == self.me.account), None)

    def named(self, name: str) -> Box | None:
        """Whatever people may mean by a word: a name, its last part or a special use, in any case."""
        wanted = name.casefold()
        boxes = self.all()
        for names in ("name", "label", "use"):
            for box in boxes:
                if str(getattr(box, names)).removeprefix("\\").casefold() == wanted:
                    return box
        return None


def _box(account: int, folder: Folder, rights: str) -> Box | None:
    status = folder.status
    if status is None or not folder.number:
        return None
    return Box(account, folder.number, folder.name, folder.use, rights, status.messages, status.unseen)


def _order(box: Box) -> tuple[int, int, str]:
    rank = ORDER.get(box.use or box.name, len(ORDER))
    return int("/" in box.name and box.rights != RIGHTS), rank, box.name.casefold()


def counted(boxes: Sequence[Box]) -> int:
    """Unseen messages in INBOX, which the title shows."""
    return next((box.unseen for box in boxes if box.name == INBOX_NAME), 0)
