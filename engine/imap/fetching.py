"""FETCH (RFC 9051 6.4.5): which messages, what becomes of their flags, and the pieces of the answer in their turn."""

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final

import trio

from engine.imap.counting import counted
from engine.imap.reply import Bad, Done, No
from engine.imap.session import Session
from engine.imap.writing import Unknown, Writing
from engine.mailbox import MessageGone
from engine.mailbox.commands import Store
from engine.mailbox.flags import SEEN, Mode
from engine.net.connection import ConnectionLost
from engine.protocols.imap import codes, responses, sets
from engine.protocols.imap import fetch as asked
from engine.protocols.imap.ranges import missing, overlap

AT_ONCE: Final = 500
"""Messages that are looked at in one turn in a thread."""

MANY: Final = 16
"""Where one message of so many is wanted, a view that is not of now is renewed for it."""

GATHERED: Final = 64 * 1024
"""Octets of an answer that are sent before more is read; what is less goes with the end of the command."""

SEEN_AT_ONCE: Final = 1024 * 1024
"""Octets of messages that are marked as seen before they are sent: so many, if the client then goes away."""


async def fetch(session: Session, command: asked.Fetch) -> Done:
    numbers = session.mailbox.numbers
    if not command.uid and not command.messages.saved and numbers.is_beyond(command.messages):
        raise Bad("There is no message with such a number")
    uids: Sequence[int] = numbers.chosen(command.messages, uid=command.uid)
    if command.changed_since is not None:
        uids = await _changed(session, command, command.changed_since, uids)
    if command.partial is not None:
        _demand_short(session, command.partial)
        uids = responses.partial(uids, command.partial)
    few = counted(session, uids)
    if asked.Attribute("FLAGS") in command.items:  # what a keyword is called is told before it is used
        await session.take_in()
        session.tell_keywords()
    try:
        missed = await _tell(session, command, few.uids)
    except Unknown as error:
        raise No(str(error), b"UNKNOWN-CTE") from error
    if missed and not command.uid:
        raise No("Some of the messages are gone", b"EXPUNGEISSUED")
    return few.ended(session, Done("That is all"))


def _demand_short(session: Session, partial: tuple[int, int]) -> None:
    """No for a range of more messages than a command may be for, however many there are (RFC 9738 3.1)."""
    most = session.service.limits.messages
    if abs(partial[1] - partial[0]) >= most:
        raise No(f"A range has at most {most} messages", codes.message_limit(most))


async def _changed(session: Session, command: asked.Fetch, since: int, uids: Sequence[int]) -> Sequence[int]:
    """Those that have changed since; VANISHED for those that are gone (RFC 7162 3.1.4.1, 3.2.6)."""
    selected = session.mailbox
    changes = await session.read(session.mailboxes.changes, selected.account, selected.mailbox, since)
    if changes is not None:
        changed = set(changes.messages.uids)
        last = changes.status.uidnext - 1
        gone = overlap(changes.vanished, command.messages, last).numbers(last)
        vanished = sets.of(uid for uid in gone if selected.numbers.number(uid) is None)  # those go in their turn
    else:
        view = await session.service.views.of(selected.account, selected.mailbox)
        if view is None:
            return []
        changed = {uid for uid, modseq in zip(view.uids, view.modseqs, strict=True) if modseq > since}
        vanished = missing(sorted({*selected.numbers.uids, *view.uids}), command.messages, view.status.uidnext - 1)
    if command.vanished and vanished.ranges:
        session.imap.send(responses.vanished(vanished, earlier=True))
    return array("I", (uid for uid in uids if uid in changed))


async def _tell(session: Session, command: asked.Fetch, uids: Sequence[int]) -> int:
    """Send what is wanted of the messages; how many of them are gone."""
    makes_seen = command.sets_seen and not session.mailbox.read_only and "s" in session.mailbox.place.rights
    writing = await _writing(session, command.items, len(uids))
    at = 0
    while at < len(uids):
        some = uids[at : at + AT_ONCE] if makes_seen else uids
        if makes_seen:
            some = some[: await _see(session, some)]
        at += len(some)
        await _send(session, writing, some)
    return writing.missed


async def _writing(session: Session, items: Sequence[asked.Item], count: int) -> Writing:
    """Of so many messages. What a view has of them is taken from there, if that takes no longer than to read them."""
    selected, imap, views = session.mailbox, session.imap, session.service.views
    only = "UIDONLY" in imap.features
    writing = Writing(session.shelf, items, selected.flags, uid_only=only, utf8=imap.utf8)
    if writing.needs_records:
        place = selected.account, selected.mailbox
        many = count * MANY > len(selected.numbers)
        writing.view = await views.of(*place) if many else views.known(*place)
    return writing


async def _send(session: Session, writing: Writing, uids: Sequence[int]) -> None:
    """ConnectionLost where a message goes amid a literal: the octets that were announced are owed."""
    pieces = writing.pieces(*session.mailbox.numbers.numbered(uids))
    while (piece := await _next(session, writing, pieces)) is not None:
        session.imap.send(piece)
        if session.imap.unsent > GATHERED:
            await session.flush()


async def _next(session: Session, writing: Writing, pieces: Iterator[bytes]) -> bytes | None:
    if writing.is_over:
        writing.is_over = False  # of these messages: others may follow
        return None
    try:
        if writing.view is None:
            return await session.read(next, pieces, None)
        await trio.lowlevel.checkpoint()  # a client that takes all at once is not the only one
        return next(pieces, None)
    except MessageGone as error:
        raise ConnectionLost(f"{error}, and was announced") from error


async def _see(session: Session, uids: Sequence[int]) -> int:
    """Mark the first of the messages as seen; how many it were."""
    selected = session.mailbox
    found = await session.read(session.shelf.records, uids)
    count = max(1, bisect_right(list(accumulate(found.sizes)), SEEN_AT_ONCE))
    unseen = tuple(uid for uid, flags in zip(found.uids[:count], found.flags[:count], strict=True) if not flags & SEEN)
    if unseen:
        await session.change(
            Store(account=selected.account, mailbox=selected.mailbox, uids=unseen, mode=Mode.ADD, flags=SEEN)
        )
    return len(uids) if count >= len(found) else bisect_right(uids, found.uids[count - 1])


async def flags_of(
    session: Session, uids: Sequence[int], *, uid: bool, modseq: bool, silent: bool = False
) -> list[bytes]:
    """FETCH responses with the flags of messages; ``silent``: with their mod-sequences alone."""
    items = [asked.Attribute("UID")] if uid else []
    items += [] if silent else [asked.Attribute("FLAGS")]
    items += [asked.Attribute("MODSEQ")] if modseq else []
    writing = await _writing(session, items, len(uids))
    pieces, told = writing.pieces(*session.mailbox.numbers.numbered(uids)), []
    while (piece := await _next(session, writing, pieces)) is not None:
        told.append(piece)
    return told
