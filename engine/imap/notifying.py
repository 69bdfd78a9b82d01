"""NOTIFY (RFC 5465), and what a session that idles is told: news as they come."""

from bisect import bisect_right
from collections.abc import Iterable
from contextlib import suppress

from engine.imap.folders import status_of
from engine.imap.place import Place
from engine.imap.reply import Done
from engine.imap.session import Session
from engine.imap.wishes import Wishes
from engine.imap.writing import Unknown, Writing
from engine.mailbox import MessageGone
from engine.mailbox.names import SEPARATOR
from engine.protocols.imap import notify as asked
from engine.protocols.imap import responses
from engine.protocols.imap.view import May

_MESSAGES = frozenset({"MessageNew", "MessageExpunge", "FlagChange"})


async def notify(session: Session, command: asked.Notify) -> Done:
    """From now on NOTIFY says what is told, in the place of what was said before."""
    session.wishes = wishes = Wishes(command.groups) if command.groups else None
    if wishes is not None:
        for name, place in await session.listed():
            _remember(wishes, name, place)
            events = wishes.of(name, place)
            if command.status and events & _MESSAGES and place.mailbox and not _is_selected(session, place):
                _tell_status(session, name, place, events)
    return Done("So be it")


def wants(session: Session) -> bool:
    """Whether the session is to be told news while it says nothing."""
    return session.wishes is not None


async def tell(session: Session, changed: dict[int, int] | None, *, idling: bool) -> None:
    """Queue what is new. ``changed``: the mailboxes of the account in which it is; None: in any."""
    wishes = session.wishes
    group = wishes.selected if wishes is not None else None
    if idling and (wishes is None or group is not None):
        await session.catch_up(May.ALL)
    elif group is not None and group.events:
        uids = session.selected.numbers.uids if session.selected is not None else ()
        before = uids[-1] if uids else 0
        await session.catch_up(May.NO_EXPUNGE if group.where == "SELECTED-DELAYED" else May.ALL)
        await _tell_new(session, group, before)
    if wishes is not None and (changed is None or changed):
        await _tell_others(session, wishes)


async def _tell_new(session: Session, group: asked.Group, before: int) -> None:
    """FETCH of messages above that UID, if the client has said what it wants of them (RFC 5465 5.2)."""
    selected, imap = session.selected, session.imap
    if selected is None or not group.items:
        return
    only = "UIDONLY" in imap.features
    writing = Writing(session.shelf, group.items, selected.flags, uid_only=only, utf8=imap.utf8)
    uids = selected.numbers.uids
    new = range(bisect_right(uids, before), len(uids))
    numbers = range(new.start + 1, new.stop + 1)
    with suppress(Unknown, MessageGone):
        imap.send(*await session.read(list, writing.pieces(numbers, uids[new.start :])))


async def _tell_others(session: Session, wishes: Wishes) -> None:
    """STATUS of mailboxes that have changed, LIST of names that have come, gone, or changed."""
    listed = await session.listed()
    gone = dict(wishes.names)
    for name, place in listed:
        key = place.account, place.mailbox
        gone.pop(key, None)
        events = wishes.of(name, place)
        old = wishes.names.get(key)
        if place.mailbox and "MailboxName" in events and (old is None or old[0] != name):
            _tell_name(session, name, place, old[0] if old is not None else None)
        if old is not None and "SubscriptionChange" in events and old[1] != place.folder.subscribed:
            _tell_name(session, name, place, None)
        row = place.folder.status
        is_changed = row is not None and (row.uidnext > 1 if old is None else row.modseq != wishes.told.get(key))
        if is_changed and events & _MESSAGES and not _is_selected(session, place):
            _tell_status(session, name, place, events)
        _remember(wishes, name, place)
    for key, (name, _) in gone.items():
        del wishes.names[key]
        if any("MailboxName" in group.events for group in wishes.groups):
            session.imap.send(responses.listing([r"\NonExistent"], SEPARATOR, name, utf8=session.imap.utf8))


def _remember(wishes: Wishes, name: str, place: Place) -> None:
    if place.mailbox:
        key = place.account, place.mailbox
        wishes.names[key] = name, place.folder.subscribed
        wishes.told[key] = place.folder.status.modseq if place.folder.status is not None else 0


def _is_selected(session: Session, place: Place) -> bool:
    selected = session.selected
    return selected is not None and (selected.account, selected.mailbox) == (place.account, place.mailbox)


def _tell_name(session: Session, name: str, place: Place, old: str | None) -> None:
    attributes: Iterable[str] = [r"\Subscribed"] if place.folder.subscribed else []
    session.imap.send(responses.listing(attributes, SEPARATOR, name, utf8=session.imap.utf8, old_name=old))


def _tell_status(session: Session, name: str, place: Place, events: frozenset[str]) -> None:
    """What RFC 5465 4 wants of each kind of event."""
    items = ["MESSAGES", "UIDNEXT", "UIDVALIDITY"] if "MessageNew" in events else []
    items += ["UNSEEN"] if "FlagChange" in events or "MessageNew" in events else []
    items += ["HIGHESTMODSEQ"] if "CONDSTORE" in session.imap.features else []
    session.imap.send(status_of(session, place, name, items))
