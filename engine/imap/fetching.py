"""FETCH (RFC 9051 6.4.5): which messages, what becomes of their flags, and the pieces of the answer in their turn."""

from collections.abc import Iterator, Sequence
from typing import Final

from engine.imap.reply import Bad, Done, No
from engine.imap.session import Session
from engine.imap.writing import Unknown, Writing
from engine.mailbox.commands import Store
from engine.mailbox.flags import SEEN, Mode
from engine.protocols.imap import fetch as asked
from engine.protocols.imap import responses, sets
from engine.protocols.imap.ranges import missing, overlap

AT_ONCE: Final = 500
"""Messages that are looked at in one turn in a thread."""

SEEN_AT_ONCE: Final = 1024 * 1024
"""Octets of messages that are marked as seen before they are sent: so many, if the client then goes away."""


async def fetch(session: Session, command: asked.Fetch) -> Done:
    numbers = session.mailbox.numbers
    if not command.uid and not command.messages.saved and numbers.is_beyond(command.messages):
        raise Bad("There is no message with such a number")
    places: Sequence[int] = [place for run in numbers.places(command.messages, uid=command.uid) for place in run]
    if command.changed_since is not None:
        places = await _changed(session, command, command.changed_since, places)
    if command.partial is not None:
        places = responses.partial(places, command.partial)
    if asked.Attribute("FLAGS") in command.items:  # what a keyword is called is told before it is used
        await session.take_in()
        session.tell_keywords()
    try:
        missed = await _tell(session, command, places)
    except Unknown as error:
        raise No(str(error), b"UNKNOWN-CTE") from error
    if missed and not command.uid:
        raise No("Some of the messages are gone", b"EXPUNGEISSUED")
    return Done("That is all")


async def _changed(session: Session, command: asked.Fetch, since: int, places: Sequence[int]) -> Sequence[int]:
    """Those that have changed since; VANISHED for those that are gone (RFC 7162 3.1.4.1, 3.2.6)."""
    selected = session.mailbox
    uids = selected.numbers.uids
    changes = await session.read(session.mailboxes.changes, selected.account, selected.mailbox, since)
    if changes is not None:
        changed = {message.uid for message in changes.messages}
        last = changes.status.uidnext - 1
        gone = overlap(changes.vanished, command.messages, last).numbers(last)
        vanished = sets.of(uid for uid in gone if selected.numbers.number(uid) is None)  # those go in their turn
    else:
        view = await session.service.views.of(selected.account, selected.mailbox)
        if view is None:
            return []
        changed = {uid for uid, modseq in zip(view.uids, view.modseqs, strict=True) if modseq > since}
        vanished = missing(sorted({*uids, *view.uids}), command.messages, view.status.uidnext - 1)
    if command.vanished and vanished.ranges:
        session.imap.send(responses.vanished(vanished, earlier=True))
    return [place for place in places if uids[place] in changed]


async def _tell(session: Session, command: asked.Fetch, places: Sequence[int]) -> int:
    """Send what is wanted of the messages; how many of them are gone."""
    selected, imap = session.mailbox, session.imap
    uids = selected.numbers.uids
    makes_seen = command.sets_seen and not selected.read_only and "s" in selected.place.rights
    writing = Writing(session.shelf, command.items, selected.flags, uid_only="UIDONLY" in imap.features, utf8=imap.utf8)
    at = 0
    while at < len(places):
        some = [(place + 1, uids[place]) for place in places[at : at + AT_ONCE]]
        if makes_seen:
            some = some[: await _see(session, [uid for _, uid in some])]
        at += len(some)
        await _send(session, writing.pieces(some))
    return writing.missed


async def _send(session: Session, pieces: Iterator[bytes]) -> None:
    while (piece := await session.read(next, pieces, None)) is not None:
        session.imap.send(piece)
        await session.flush()


async def _see(session: Session, uids: Sequence[int]) -> int:
    """Mark the first of the messages as seen; how many it were."""
    selected = session.mailbox
    rows = await session.read(session.shelf.rows, uids)
    size = count = 0
    unseen = []
    for uid in uids:
        row = rows.get(uid)
        size += row.size if row is not None else 0
        if count and size > SEEN_AT_ONCE:
            break
        count += 1
        if row is not None and not row.flags & SEEN:
            unseen.append(uid)
    if unseen:
        await session.change(
            Store(account=selected.account, mailbox=selected.mailbox, uids=tuple(unseen), mode=Mode.ADD, flags=SEEN)
        )
    return count


async def flags_of(
    session: Session, uids: Sequence[int], *, uid: bool, modseq: bool, silent: bool = False
) -> list[bytes]:
    """FETCH responses with the flags of messages; ``silent``: with their mod-sequences alone."""
    selected, imap = session.mailbox, session.imap
    items = [asked.Attribute("UID")] if uid else []
    items += [] if silent else [asked.Attribute("FLAGS")]
    items += [asked.Attribute("MODSEQ")] if modseq else []
    only = "UIDONLY" in imap.features
    writing = Writing(session.shelf, tuple(items), selected.flags, uid_only=only, utf8=imap.utf8)
    some = [(number, one) for one in uids if (number := selected.numbers.number(one)) is not None]
    return await session.read(list, writing.pieces(some))
