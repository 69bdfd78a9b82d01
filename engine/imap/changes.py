"""STORE, COPY, MOVE and EXPUNGE (RFC 9051 6.4, RFC 6851, RFC 7162 3.1.3)."""

from array import array
from collections.abc import Sequence

from engine.imap.counting import Counted, counted, demand_few
from engine.imap.fetching import flags_of
from engine.imap.flags import parted
from engine.imap.folders import deleted, remove
from engine.imap.place import Place
from engine.imap.reply import Bad, Done, No
from engine.imap.session import Session, refused
from engine.mailbox.commands import Copy, Move, Problem, Store
from engine.mailbox.flags import DELETED, SEEN, Mode
from engine.protocols.imap import codes, messages, sets
from engine.protocols.imap.sets import SequenceSet
from engine.protocols.imap.view import May
from engine.spam import Kind
from engine.spam.learning import flagged, moved

_MODES = {"+": Mode.ADD, "-": Mode.REMOVE, "": Mode.REPLACE}


def chosen(session: Session, asked: SequenceSet, *, uid: bool) -> "array[int]":
    """The UIDs of the messages that a command names. Bad for numbers that there are not."""
    numbers = session.mailbox.numbers
    if not uid and not asked.saved and numbers.is_beyond(asked):
        raise Bad("There is no message with such a number")
    return numbers.chosen(asked, uid=uid)


def changeable(session: Session) -> None:
    if session.mailbox.read_only:
        raise No("The mailbox was selected to be read alone", b"READ-ONLY")


async def store(session: Session, command: messages.Store) -> Done:
    changeable(session)
    selected, imap = session.mailbox, session.imap
    flags, keywords = _permitted(session, command.operation, *parted(command.flags))
    await session.take_in()  # what others did is not hidden by what is done now
    meant = chosen(session, command.messages, uid=command.uid)
    few = counted(session, selected.numbers.there(meant))
    uids = few.uids
    before = selected.modseq
    news = selected.numbers.to_be_told(uids)
    change = Store(
        account=selected.account, mailbox=selected.mailbox, uids=tuple(uids), mode=_MODES[command.operation],
        flags=flags, keywords=keywords, unchanged_since=command.unchanged_since, known=before,
    )  # fmt: skip
    answer = await session.change(change)
    if answer.problem is Problem.LIMIT:
        raise No("The mailbox has too many keywords", b"LIMIT")
    if answer.problem is not None:
        raise refused(answer.problem)
    now = session.service.views.stored(change, answer)
    if change.mode is not Mode.REMOVE:
        _learn(session, selected.place, answer.sources, flagged(keywords))
    if now is not None and selected.modseq == answer.since and not news:
        selected.modseq = now.modseq  # nothing has happened but this, of which the client is told below
    else:
        await session.take_in()
    condstore, by_uid = "CONDSTORE" in imap.features, command.uid or "QRESYNC" in imap.features
    failed = set(answer.failed)
    if command.silent:
        if condstore:
            imap.send(*await flags_of(session, array("I", answer.sources), uid=by_uid, modseq=True, silent=True))
        selected.numbers.seen(set(answer.sources).difference(news, answer.unknown))
    else:
        tell = array("I", (uid for uid in uids if uid not in failed)) if failed else uids
        session.tell_keywords()
        imap.send(*await flags_of(session, tell, uid=by_uid, modseq=condstore))
        selected.numbers.seen(tell)
    if failed:
        shown = sets.of(session.named(sorted(failed), uid=command.uid))
        return few.ended(session, Done("Some have been changed in the meantime", codes.modified(shown)))
    if before != selected.modseq or uids or command.uid or not len(meant):  # $ may be empty (RFC 5182 2.1)
        return few.ended(session, Done("Stored"))
    raise No("The messages are gone", b"EXPUNGEISSUED")


def _permitted(session: Session, operation: str, flags: int, keywords: tuple[str, ...]) -> tuple[int, tuple[str, ...]]:
    r"""Those of the flags that may be changed: \Seen by the right s, \Deleted by t, all others by w.

    Others are passed over, for clients make little of a NO; it fails where none is left (RFC 4314 4).
    """
    rights = session.mailbox.place.rights
    mine = flags
    if "s" not in rights:
        mine &= ~SEEN
    if "t" not in rights:
        mine &= ~DELETED
    if "w" not in rights:
        mine, keywords = mine & (SEEN | DELETED), ()
    if (operation and (mine or keywords)) or set("stw") <= set(rights):
        return mine, keywords
    raise No("You may not change these flags", b"NOPERM")


async def copy(session: Session, command: messages.Copy) -> Done:
    selected, imap = session.mailbox, session.imap
    if command.move:
        changeable(session)
        session.demand(selected.place, "te")
    uids = chosen(session, command.messages, uid=command.uid)
    to = session.look(command.mailbox)
    if to is None or not to.mailbox:
        raise No("There is no such mailbox", b"TRYCREATE")
    session.demand(to, "i")
    if not command.move:
        demand_few(session, uids)
    few = counted(session, uids)
    answer = await session.change(await _transfer(session, few.uids, to, move=command.move))
    if answer.problem is Problem.NONEXISTENT:
        await session.take_in()
        raise No("There is no such mailbox", b"NONEXISTENT" if selected.gone else b"TRYCREATE")
    if answer.problem is not None:
        raise refused(answer.problem)
    if not answer.sources:
        if uids:
            raise No("The messages are gone", b"EXPUNGEISSUED")
        return Done("There was nothing to be done")
    if to.account == selected.account:
        _learn(session, to, answer.uids, moved(selected.place.folder.use, to.folder.use))
    code = codes.copy_uid(answer.uidvalidity, sets.of(answer.sources), sets.of(answer.uids))
    if not command.move:
        return Done("Copied", code)
    imap.send(codes.untagged_ok("They are there", code))  # before the EXPUNGE responses (RFC 6851 4.3)
    await session.catch_up(May.ALL)
    if "QRESYNC" in imap.features:
        return few.ended(session, Done("Moved", codes.highest_modseq(selected.modseq)))
    return few.ended(session, Done("Moved"))


async def _transfer(session: Session, uids: Sequence[int], to: Place, *, move: bool) -> Copy | Move:
    """What the owner of the mailboxes is asked for."""
    command = Move if move else Copy
    return command(
        account=session.mailbox.account, mailbox=session.mailbox.mailbox, uids=tuple(uids), to=to.mailbox,
        to_account=to.account, quota=await session.quota(to),
    )  # fmt: skip


def _learn(session: Session, place: Place, uids: Sequence[int], kind: Kind | None) -> None:
    """Have the spam filter learn from what somebody does with his own mail: others' is not for him to judge."""
    learner = session.service.learner
    if learner is not None and place.account == session.account.id:
        learner.tell(place.account, place.mailbox, uids, kind)


async def expunge(session: Session, command: messages.Expunge) -> Done:
    changeable(session)
    selected = session.mailbox
    session.demand(selected.place, "e")
    if command.messages is None:  # which is never done in part (RFC 9738 3.1)
        few = Counted(await deleted(session, selected.numbers.uids))
    else:
        few = counted(session, await deleted(session, chosen(session, command.messages, uid=True)))
    await remove(session, few.uids)
    await session.catch_up(May.ALL)
    if "QRESYNC" in session.imap.features:
        return few.ended(session, Done("Expunged", codes.highest_modseq(selected.modseq)))  # RFC 7162 3.2.7
    return few.ended(session, Done("Expunged"))
