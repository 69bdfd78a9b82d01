"""SEARCH, SORT and THREAD (RFC 9051 6.4.4, RFC 4731, 5182, 5256, 5267, 9394)."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final, NamedTuple, TypeVar

import trio

from engine.imap.counting import Counted, counted
from engine.imap.letters import Letter
from engine.imap.matching import AT_ONCE, Matching
from engine.imap.reply import Done, No
from engine.imap.session import Session
from engine.mailbox import MessageGone, StorageError, View
from engine.mime import sorting, threads
from engine.mime.digest import Digest
from engine.mime.sorting import SortKeys
from engine.protocols.imap import codes, responses
from engine.protocols.imap import search as asked
from engine.protocols.imap import search_keys as keys
from engine.protocols.imap.search import Returns
from engine.protocols.imap.search_keys import SearchKey
from engine.protocols.imap.view import May

R = TypeVar("R")

PATIENCE: Final = 10.0
"""Seconds after which a client hears that its command is being worked at (RFC 9585)."""


class Mail(NamedTuple):
    """A message to be put in order."""

    uid: int
    keys: SortKeys
    received: float
    size: int


async def search(session: Session, command: asked.Search, tag: bytes) -> Done:
    returns = command.returns
    with _saving(session, returns):
        key = _readable(command.key)
        uids, view, few = await _found(session, key, tag)
    numbers = session.named(uids, uid=command.uid)
    if returns is None and "IMAP4rev2" in session.imap.features:
        returns = Returns(all=True)
    modseq = _highest(view, _told(returns, uids)) if _asks_modseq(key) else None
    if returns is None:
        session.imap.send(responses.search(numbers, modseq=modseq))
    else:
        _save(session, returns, uids)
        session.imap.send(responses.esearch(tag, numbers, returns, uid=command.uid, modseq=modseq))
    return few.ended(session, Done("Searched"))


async def sort(session: Session, command: asked.Sort, tag: bytes) -> Done:
    criteria = [(criterion.key, criterion.reverse) for criterion in command.criteria]
    with _saving(session, command.returns):
        key = _readable(command.key)
        uids, view, _ = await _found(session, key, tag, whole=True)
        mails = await _in_steps(session, _mails(session, uids), tag)
        ordered = [mail.uid for mail in await session.read(sorting.ordered, mails, criteria)]
    numbers = session.named(ordered, uid=command.uid)
    modseq = _highest(view, _told(command.returns, ordered)) if _asks_modseq(key) else None
    if command.returns is None:
        session.imap.send(responses.search(numbers, sort=True, modseq=modseq))
    else:
        _save(session, command.returns, ordered)
        session.imap.send(responses.esearch(tag, numbers, command.returns, uid=command.uid, modseq=modseq))
    return Done("Sorted")


async def thread(session: Session, command: asked.Thread, tag: bytes) -> Done:
    uids, _, _ = await _found(session, command.key, tag, whole=True)
    numbers = dict(zip(uids, session.named(uids, uid=command.uid), strict=True))
    mails = await _in_steps(session, _threadable(session, numbers), tag)
    algorithm = threads.references if command.algorithm == "REFERENCES" else threads.ordered_subject
    rendered = await session.read(lambda: threads.rendered(algorithm(mails)))
    session.imap.send(b"* THREAD %b\r\n" % rendered if rendered else b"* THREAD\r\n")
    return Done("Threaded")


@contextmanager
def _saving(session: Session, returns: Returns | None) -> Iterator[None]:
    """What was to be saved and could not be found is nothing (RFC 5182 2.1)."""
    try:
        yield
    except (No, StorageError):
        if returns is not None and returns.save:
            session.mailbox.numbers.saved = []
        raise


def _readable(key: SearchKey | None) -> SearchKey:
    if key is None:
        raise No(keys.UNKNOWN_CHARSET.text, keys.UNKNOWN_CHARSET.code)
    return key


async def _found(
    session: Session, key: SearchKey, tag: bytes, *, whole: bool = False
) -> tuple[list[int], View | None, Counted]:
    """The UIDs, ascending, of messages that the client knows of; and among which of them it was looked.

    ``whole``: No where there are too many to look at all of them.
    """
    selected = session.mailbox
    await session.catch_up(May.NO_EXPUNGE)  # what is told now can be found
    numbers = selected.numbers
    view = await session.service.views.of(selected.account, selected.mailbox)
    if view is None:
        return [], None, Counted(())
    matching = Matching(session.shelf, session.service.columns, view, numbers)
    among, few = _among(session, key, matching, view)
    if whole and few.code:
        raise No("There are too many messages: look among fewer, by UIDAFTER or UIDBEFORE", few.code)
    places = await _in_steps(session, matching.find(key, among), tag)
    known = set(numbers.uids) if numbers.uids != view.uids else None
    uids = [view.uids[place] for place in places]
    return [uid for uid in uids if known is None or uid in known], view, few


def _among(session: Session, key: SearchKey, matching: Matching, view: View) -> tuple[Sequence[int], Counted]:
    """The places at which is to be looked, which are all but in a mailbox beyond all measure."""
    places: Sequence[int] = range(len(view.uids))
    if len(places) <= session.service.limits.messages:
        return places, Counted(())
    places = matching.candidates(key)
    few = counted(session, [view.uids[place] for place in places])
    return places[len(places) - len(few.uids) :], few


def _asks_modseq(key: SearchKey) -> bool:
    match key:
        case keys.And(parts):
            return any(map(_asks_modseq, parts))
        case keys.Or(left, right):
            return _asks_modseq(left) or _asks_modseq(right)
        case keys.Not(inner):
            return _asks_modseq(inner)
        case _:
            return isinstance(key, keys.Modified)


async def _in_steps(session: Session, steps: Generator[None, None, R], tag: bytes) -> R:
    """Run it to its end, each step in a thread; tell a client that waits for long."""
    told = trio.current_time()

    def step() -> tuple[R] | None:
        try:
            next(steps)
        except StopIteration as end:
            return (end.value,)
        return None

    while (result := await session.read(step)) is None:
        if trio.current_time() - told > PATIENCE:
            told = trio.current_time()
            session.imap.send(codes.untagged_ok("Still at it", codes.in_progress(tag)))
            await session.flush()
    return result[0]


def _highest(view: View | None, uids: Sequence[int]) -> int | None:
    if view is None or not uids:
        return None
    modseqs = dict(zip(view.uids, view.modseqs, strict=True))
    return max(modseqs[uid] for uid in uids)


def _save(session: Session, returns: Returns, uids: Sequence[int]) -> None:
    """What ``$`` stands for from now on (RFC 5182 2.1)."""
    if not returns.save:
        return
    session.mailbox.numbers.saved = sorted(_told(returns, uids))


def _told(returns: Returns | None, uids: Sequence[int]) -> Sequence[int]:
    """Those of the messages that the result is about, if it names some alone (RFC 4731 3.2, 5182 2.4, 9394 3.1)."""
    if returns is None or returns.all or returns.count or not (returns.smallest or returns.largest or returns.partial):
        return uids
    some = set(responses.partial(uids, returns.partial) if returns.partial is not None else ())
    some.update(uids[:1] if returns.smallest else (), uids[-1:] if returns.largest else ())
    return sorted(some)


def _mails(session: Session, uids: Sequence[int]) -> Generator[None, None, list[Mail]]:
    mails: list[Mail] = []
    for some in _some(uids):
        mails += [
            Mail(letter.uid, digest.keys, letter.received / 1000, letter.size)
            for letter, digest in _digests(session, some)
        ]
        yield
    return mails


def _threadable(session: Session, numbers: dict[int, int]) -> Generator[None, None, list[threads.Threadable]]:
    mails: list[threads.Threadable] = []
    for some in _some(list(numbers)):
        mails += [
            threads.Threadable(
                numbers[letter.uid], digest.keys.sent, digest.keys.subject, digest.keys.is_reply,
                digest.message_id, digest.references,
            )
            for letter, digest in _digests(session, some)
        ]  # fmt: skip
        yield
    return mails


def _some(uids: Sequence[int]) -> Iterator[Sequence[int]]:
    return (uids[start : start + AT_ONCE] for start in range(0, len(uids), AT_ONCE))


def _digests(session: Session, uids: Sequence[int]) -> Iterator[tuple[Letter, Digest]]:
    """Those of the messages that are there."""
    for letter in session.shelf.letters(uids, digests=True):
        with suppress(MessageGone):
            yield letter, letter.digest
