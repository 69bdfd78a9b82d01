"""SELECT, CLOSE, STATUS, and what makes and unmakes mailboxes (RFC 9051 6.3)."""

from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Final
from unicodedata import is_normalized, normalize

from engine.imap.fetching import flags_of
from engine.imap.place import Place
from engine.imap.reply import Done, No
from engine.imap.selected import Selected
from engine.imap.session import Session, refused
from engine.mailbox import MailboxRow, View
from engine.mailbox.commands import Create, Delete, Expunge, Rename, Subscribe
from engine.mailbox.flags import DELETED, SEEN
from engine.mailbox.names import INBOX_NAME, SEPARATOR, canonical
from engine.mailbox.views import mailbox_id
from engine.protocols.imap import codes, mailboxes, responses, sets
from engine.protocols.imap.ranges import missing, overlap
from engine.protocols.imap.sets import SequenceSet


async def select(session: Session, command: mailboxes.Select) -> Done:
    """SELECT and EXAMINE (RFC 9051 6.3.2), with what a client has missed since it was last here (RFC 7162 3.2.5)."""
    session.selected = None
    place = session.find(command.mailbox)
    session.demand(place, "r")
    view = await session.service.views.of(place.account, place.mailbox)
    if view is None:
        raise No("There is no such mailbox", b"NONEXISTENT")
    changeable = set(place.rights) & set("swte")
    selected = session.selected = Selected(place, view, read_only=command.read_only or not changeable)
    _describe(session, selected, view, command.mailbox)
    if command.resync is not None and command.resync.uid_validity == view.status.uidvalidity:
        await _resync(session, selected, view, command.resync)
    return Done("Selected", b"READ-ONLY" if selected.read_only else b"READ-WRITE")


def _describe(session: Session, selected: Selected, view: View, name: str) -> None:
    place, features = selected.place, session.imap.features
    rev2 = "IMAP4rev2" in features
    shown = view.status, view.keywords, rev2, "UIDONLY" in features, selected.read_only
    views = session.service.views
    session.imap.send(views.told(place.account, place.mailbox, shown, lambda: _description(selected, view, features)))
    if rev2:
        _tell_name(session, place, name, old=None if is_normalized("NFC", name) else name)


def _description(selected: Selected, view: View, features: frozenset[str]) -> Iterator[bytes]:
    """What SELECT says of a mailbox, to whomever selects it."""
    status, place = view.status, selected.place
    yield responses.flags(selected.flags.all)
    yield responses.exists(len(view.uids))
    if "IMAP4rev2" not in features:
        yield responses.recent(0)
        unseen = next((number for number, flags in enumerate(view.flags, 1) if not flags & SEEN), 0)
        if unseen and "UIDONLY" not in features:
            yield codes.untagged_ok("The first that is not seen", codes.unseen(unseen))
    yield codes.untagged_ok("Flags that last", selected.permanent_flags)
    yield codes.untagged_ok("The next UID", codes.uid_next(status.uidnext))
    yield codes.untagged_ok("UIDs are valid", codes.uid_validity(status.uidvalidity))
    yield codes.untagged_ok("The highest mod-sequence", codes.highest_modseq(status.modseq))
    yield codes.untagged_ok("The mailbox", codes.mailbox_id(mailbox_id(place.account, place.mailbox)))


def _shown(session: Session, place: Place, name: str) -> str:
    """The name of a mailbox as LIST shows it, whatever form of it the client has said."""
    return place.name if place.account == session.account.id else normalize("NFC", name)


def _tell_old_name(session: Session, name: str, old: str) -> None:
    """What a mailbox was called before, or was said to be (RFC 9051 6.3.9.7)."""
    place = session.look(name)
    if place is not None and "IMAP4rev2" in session.imap.features:
        _tell_name(session, place, name, old=old)


def _tell_name(session: Session, place: Place, name: str, *, old: str | None, gone: bool = False) -> None:
    """LIST of one mailbox, which the client has called ``name``."""
    attributes = [r"\NonExistent"] if gone else _attributes(place)
    shown, utf8 = _shown(session, place, name), session.imap.utf8
    session.imap.send(responses.listing(attributes, SEPARATOR, shown, utf8=utf8, old_name=old))


def _attributes(place: Place) -> Iterable[str]:
    folder = place.folder
    yield r"\HasChildren" if folder.children else r"\HasNoChildren"
    if folder.subscribed:
        yield r"\Subscribed"
    if folder.use:
        yield folder.use


async def _resync(session: Session, selected: Selected, view: View, known: mailboxes.Resync) -> None:
    """VANISHED (EARLIER) and FETCH for what has happened after the client's mod-sequence."""
    imap = session.imap
    among = known.known or SequenceSet(((1, max(view.status.uidnext - 1, 1)),))
    changes = await session.read(session.mailboxes.changes, selected.account, selected.mailbox, known.modseq)
    if changes is not None:
        vanished: SequenceSet = overlap(changes.vanished, among, view.status.uidnext - 1)
        changed = set(changes.messages.uids)
    else:  # it has been away for too long
        start = _agreed(view.uids, known.matches)
        vanished = missing(view.uids, among, view.status.uidnext - 1, start)
        changed = {uid for uid, modseq in zip(view.uids, view.modseqs, strict=True) if modseq > known.modseq}
    if vanished.ranges:
        imap.send(responses.vanished(vanished, earlier=True))
    changed &= set(view.uids)
    if known.known is not None:
        changed &= {view.uids[place] for places in among.positions_among(view.uids) for place in places}
    imap.send(*await flags_of(session, array("I", sorted(changed)), uid=True, modseq=True))


def _agreed(uids: Sequence[int], matches: tuple[SequenceSet, SequenceSet] | None) -> int:
    """The UID up to which client and server have the same messages, as far as the client's pairs prove it."""
    agreed = 0
    if matches is not None:
        for number, uid in zip(matches[0].numbers(sets.MOST), matches[1].numbers(sets.MOST), strict=False):
            if number > len(uids) or uids[number - 1] != uid:
                break
            agreed = uid
    return agreed


async def close(session: Session, command: mailboxes.Close) -> Done:
    """CLOSE and UNSELECT: nothing of what goes is told (RFC 9051 6.4.1)."""
    selected = session.mailbox
    if command.expunge and not selected.read_only and not selected.gone and "e" in selected.place.rights:
        await remove(session, await deleted(session, selected.numbers.uids))
    session.selected = None
    return Done("Closed")


async def deleted(session: Session, uids: Sequence[int]) -> list[int]:
    r"""Those of the messages that are \Deleted, in ascending order."""
    view = await session.service.views.of(session.mailbox.account, session.mailbox.mailbox)
    if view is None:
        return []
    known = set(uids)
    return [uid for uid, flags in zip(view.uids, view.flags, strict=True) if flags & DELETED and uid in known]


async def remove(session: Session, uids: Sequence[int]) -> None:
    r"""Expunge those of the messages that are \Deleted still."""
    selected = session.mailbox
    if uids:
        command = Expunge(account=selected.account, mailbox=selected.mailbox, uids=tuple(uids))
        answer = await session.change(command)
        if answer.problem is not None:
            raise refused(answer.problem)


async def create(session: Session, command: mailboxes.Create) -> Done:
    """A name may end with a delimiter: there are to be mailboxes below it (RFC 9051 6.3.4)."""
    if len(command.uses) > 1:
        raise No("A mailbox has one use here", b"USEATTR")
    account, name = session.home(command.mailbox.removesuffix(SEPARATOR))
    answer = await session.change(Create(account=account, name=name, use="".join(command.uses)))
    if answer.problem is not None:
        raise refused(answer.problem)
    if not is_normalized("NFC", command.mailbox):
        _tell_old_name(session, command.mailbox.removesuffix(SEPARATOR), command.mailbox)
    return Done("Created", codes.mailbox_id(mailbox_id(account, answer.mailbox)))


async def delete(session: Session, command: mailboxes.Delete) -> Done:
    place = session.look(command.mailbox)
    if place is None:
        raise No("There is no such mailbox", b"NONEXISTENT")
    session.demand(place, "x")
    answer = await session.change(Delete(account=place.account, name=place.name))
    if answer.problem is not None:
        raise refused(answer.problem)
    if "IMAP4rev2" in session.imap.features and not is_normalized("NFC", command.mailbox):
        _tell_name(session, place, command.mailbox, old=command.mailbox, gone=True)
    return Done("Deleted")


async def rename(session: Session, command: mailboxes.Rename) -> Done:
    place = session.look(command.mailbox)
    if place is None:
        raise No("There is no such mailbox", b"NONEXISTENT")
    session.demand(place, "x")
    account, name = session.home(command.to.removesuffix(SEPARATOR))
    if account != place.account:
        raise No("A mailbox stays with its owner", b"CANNOT")
    answer = await session.change(Rename(account=account, name=place.name, to=name))
    if answer.problem is not None:
        raise refused(answer.problem)
    if session.wishes is None and place.name != INBOX_NAME:  # NOTIFY tells it in any case; and there is an INBOX again
        _tell_old_name(session, command.to.removesuffix(SEPARATOR), _shown(session, place, command.mailbox))
    return Done("Renamed")


async def subscribe(session: Session, command: mailboxes.Subscribe) -> Done:
    name = _canonical(command.mailbox)
    answer = await session.change(Subscribe(account=session.account.id, name=name, on=command.subscribed))
    if answer.problem is not None:
        raise refused(answer.problem)
    return Done("Subscribed" if command.subscribed else "Unsubscribed")


async def status(session: Session, command: mailboxes.Status) -> Done:
    place = session.find(command.mailbox)
    session.demand(place, "r")
    told, done = status_of(session, place, command.mailbox, command.items), Done("That is all")
    session.imap.send(told)
    if may_be_kept(command.items):
        session.keep(place, done, told)
    return done


_UNKEPT: Final = {"APPENDLIMIT", "HIGHESTMODSEQ"}
"""Items of STATUS of which more comes than an answer: a limit may be set anew, and CONDSTORE is enabled."""


def may_be_kept(items: Collection[str]) -> bool:
    """Whether these items of STATUS may be told again as they are, as long as nothing changes in the account."""
    return _UNKEPT.isdisjoint(items)


def status_of(session: Session, place: Place, name: str, items: Collection[str]) -> bytes:
    """The STATUS response of a mailbox, under the name that the session has for it."""
    row = place.folder.status
    assert row is not None
    values = {item: _VALUES[item](place, row) for item in items if item in _VALUES}
    if "APPENDLIMIT" in items:
        values["APPENDLIMIT"] = session.service.limits.message
    return responses.status(name, values, utf8=session.imap.utf8)


_VALUES: Final[dict[str, Callable[[Place, MailboxRow], int | str]]] = {
    "MESSAGES": lambda _, row: row.messages,
    "RECENT": lambda *_: 0,
    "UIDNEXT": lambda _, row: row.uidnext,
    "UIDVALIDITY": lambda _, row: row.uidvalidity,
    "UNSEEN": lambda _, row: row.unseen,
    "DELETED": lambda _, row: row.deleted,
    "DELETED-STORAGE": lambda _, row: row.deleted_size,
    "SIZE": lambda _, row: row.size,
    "HIGHESTMODSEQ": lambda _, row: row.modseq,
    "MAILBOXID": lambda place, _: mailbox_id(place.account, place.mailbox),
}


def _canonical(name: str) -> str:
    try:
        return canonical(name)
    except ValueError as error:
        raise No(str(error), b"CANNOT") from error
