"""What is done by an open grant: to search the mail of those whom it is about, and to read a message of theirs.

The entry is in the audit log before anything is looked at. Nothing is changed: what is unread stays so.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import msgspec

from engine.finding import words
from engine.finding.boxes import Box
from engine.finding.listing import Line, Listing
from engine.finding.search import Finding, Hit, hit_of, place_of
from engine.index import Index
from engine.mailbox import Mailboxes, MessageGone
from engine.mime import fields
from engine.operations import oversight
from engine.operations.moments import Moment, at
from engine.operations.operator import Operator
from engine.oversight import Grant, Oversight, Refusal

HEADER = 256 * 1024
"""Octets of a message in which its Message-ID is looked for."""


class FoundRow(msgspec.Struct, frozen=True, kw_only=True):
    """A message that a search has found. ``address``: in whose mailbox; ``people``: who wrote it, or in Sent to whom it
    is.
    """

    address: str
    folder: str
    uid: int
    received: Moment
    people: tuple[str, ...]
    subject: str
    size: int
    attached: bool


class FoundRows(msgspec.Struct, frozen=True, kw_only=True):
    """A window of what was found, the latest first. ``next``: what the one behind it is asked for by; empty: there is
    none. ``mistakes``: terms that make no sense, and were left out.
    """

    items: tuple[FoundRow, ...]
    next: str
    mistakes: tuple[str, ...]


def boxes(mailboxes: Mailboxes, grant: Grant, wanted: str = "") -> list[Box]:
    """The mailboxes of the people whom it is about; with a word those that it may mean. StorageError."""
    found = [
        Box(one.account, folder.number, folder.name, folder.use, "r")
        for one in grant.whose
        for folder in mailboxes.folders(one.account)
        if folder.number
    ]
    wanted = wanted.casefold()
    if not wanted or wanted in words.EVERYWHERE:
        return found
    return [box for box in found if wanted in (box.name.casefold(), box.label.casefold(), box.use[1:].casefold())]


def search(
    opened: Oversight, where: tuple[Mailboxes, Index], by: Operator, number: int, text: str, *, after: str = "",
    **noted: Any,
) -> FoundRows:  # fmt: skip
    """What a search finds, by a grant of theirs. ``noted``: what the entry says besides. Refusal, ValueError, TooLong,
    StorageError.
    """
    begin = hit_of(after) if after else None
    grant = oversight.look(opened, by, number, "searched", query=text[: words.LONGEST], **noted)
    mailboxes, index = where
    wanted = words.read(text, datetime.now().astimezone().date())
    among = boxes(mailboxes, grant, wanted.box)
    views = [(box, view) for box in among if (view := mailboxes.select(box.account, box.number)) is not None]
    hits, following = Finding(mailboxes, index).find(views, wanted.key, wanted.attached, begin)
    rows = _rows(where, grant, {box.id: box for box in among}, hits)
    return FoundRows(items=tuple(rows), next=place_of(following) if following else "", mistakes=wanted.mistakes)


def source(opened: Oversight, mailboxes: Mailboxes, by: Operator, grant: int, place: tuple[str, str, int]) -> bytes:
    """A message as it came, by a grant of theirs: of this address, folder and UID. Refusal, MessageGone, StorageError.

    Nobody is told whether somebody has a folder whom the grant is not about.
    """
    address, folder, uid = place
    usable = opened.usable(grant, by.name)
    account = next((one.account for one in usable.whose if one.address == address.lower()), None)
    if account is None:
        raise Refusal(f"grant {grant} is not about {address}")
    box = next((one for one in boxes(mailboxes, usable) if (one.account, one.name) == (account, folder)), None)
    if box is None:
        raise MessageGone(f"{address} has no folder {folder}")
    chunks = mailboxes.chunks(account, uid, box.number)
    first = next(chunks, b"")
    details = {
        "folder": folder, "mailbox": box.number, "uid": uid, "message_id": _message_id(first), "part": "source",
        "about": [address.lower()],
    }  # fmt: skip
    oversight.look(opened, by, grant, "message-opened", **details)
    return first + b"".join(chunks)


def _message_id(octets: bytes) -> str:
    head = octets[: min(fields.end_of_header(octets[:HEADER]), HEADER)]
    found = {name.lower(): value for name, value in reversed(fields.fields(head))}.get(b"message-id", b"")
    return fields.unfolded(found).decode("ascii", "ignore")


def _rows(
    where: tuple[Mailboxes, Index], grant: Grant, among: dict[str, Box], hits: Sequence[Hit]
) -> Iterator[FoundRow]:
    """Those of the hits that are there still, in their order."""
    addresses = {one.account: one.address for one in grant.whose}
    lines: dict[tuple[str, int], Line] = {}
    for name in {hit.box for hit in hits}:
        box, uids = among[name], [hit.uid for hit in hits if hit.box == name]
        listing = Listing(*where, (box.account, box.number), box.id, outgoing=box.outgoing)
        lines |= {(name, line.uid): line for line in listing.lines(uids)}
    for hit in hits:
        if (line := lines.get((hit.box, hit.uid))) is not None:
            box = among[hit.box]
            yield FoundRow(
                address=addresses[box.account], folder=box.name, uid=line.uid, received=at(line.received),
                people=line.people, subject=line.subject, size=line.size, attached=line.attached,
            )  # fmt: skip
