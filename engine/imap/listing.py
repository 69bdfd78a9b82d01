"""LIST, LSUB and NAMESPACE (RFC 9051 6.3.9, RFC 5258, 5819, 6154, 8440, 9590)."""

from collections.abc import Iterator
from typing import NamedTuple

from engine.imap import belongings
from engine.imap.folders import may_be_kept, status_of
from engine.imap.place import Place
from engine.imap.reply import Done
from engine.imap.session import Session
from engine.mailbox.names import SEPARATOR, above
from engine.mailbox.rights import shown
from engine.protocols.imap import mailboxes, responses
from engine.protocols.imap.names import Pattern


class _Listed(NamedTuple):
    """A name to be told."""

    name: str
    attributes: tuple[str, ...]
    place: Place | None
    child_info: tuple[str, ...] = ()


async def list_(session: Session, command: mailboxes.List) -> Done:
    """LIST. What was told of one's own mailboxes is told again as long as nothing changes in the account."""
    imap, done = session.imap, Done("That is all")
    if command.patterns == ("",):
        imap.send(responses.listing([r"\Noselect"], SEPARATOR, "", utf8=imap.utf8))
        return Done("The delimiter")
    if (known := session.told(command)) is not None and not session.shared():
        imap.send(known)
        return done
    patterns = [Pattern(command.reference + pattern, SEPARATOR) for pattern in command.patterns]
    listed, told = await session.listed(), []
    for one in _found(listed, patterns, command):
        told.append(responses.listing(one.attributes, SEPARATOR, one.name, utf8=imap.utf8, child_info=one.child_info))
        if one.place is not None and one.place.mailbox:
            told += _more(session, command, one.name, one.place)
            if "METADATA" in command.returns and "r" in one.place.rights:
                imap.send(*told)
                told.clear()
                await belongings.tell_metadata(session, one.name, one.place, command.metadata)
    imap.send(*told)
    if "METADATA" not in command.returns and may_be_kept(command.status) and _are_own(session, listed):
        session.keep_told(command, b"".join(told))
    return done


def _are_own(session: Session, listed: list[tuple[str, Place]]) -> bool:
    return all(place.account == session.account.id for _, place in listed)


def _more(session: Session, command: mailboxes.List, name: str, place: Place) -> Iterator[bytes]:
    """What RETURN wants besides, but for METADATA."""
    if "MYRIGHTS" in command.returns:
        yield responses.my_rights(name, shown(place.rights), utf8=session.imap.utf8)
    if "STATUS" in command.returns and "r" in place.rights:
        yield status_of(session, place, name, command.status)


def _found(listed: list[tuple[str, Place]], patterns: list[Pattern], command: mailboxes.List) -> Iterator[_Listed]:
    by_subscription = "SUBSCRIBED" in command.selection
    recursive = "RECURSIVEMATCH" in command.selection
    below = _above_chosen(listed, command.selection) if recursive else set()
    names = {name for name, _ in listed}
    for name, place in listed:
        if not any(pattern.matches(name) for pattern in patterns):
            continue
        chosen = _is_chosen(place, command.selection)
        info = ("SUBSCRIBED",) if name in below and by_subscription else ()
        if not chosen and not info:
            continue
        yield _Listed(name, tuple(_attributes(place, command)), place, info)
    if recursive and by_subscription:  # a name that nobody has made may stand above one that is subscribed to
        for name in sorted(below - names):
            if any(pattern.matches(name) for pattern in patterns):
                yield _Listed(name, (r"\NonExistent", r"\HasChildren"), None, ("SUBSCRIBED",))


def _is_chosen(place: Place, selection: frozenset[str]) -> bool:
    folder = place.folder
    if "SUBSCRIBED" in selection:
        return folder.subscribed and ("SPECIAL-USE" not in selection or bool(folder.use))
    if "SPECIAL-USE" in selection:
        return bool(folder.use)
    return folder.exists


def _above_chosen(listed: list[tuple[str, Place]], selection: frozenset[str]) -> set[str]:
    return {upper for name, place in listed if _is_chosen(place, selection) for upper in above(name)}


def _attributes(place: Place, command: mailboxes.List) -> Iterator[str]:
    folder = place.folder
    if not folder.exists:
        yield r"\NonExistent"
    elif not folder.number:
        yield r"\Noselect"
    yield r"\HasChildren" if folder.children else r"\HasNoChildren"
    if folder.subscribed and {"SUBSCRIBED"} & (command.selection | command.returns):
        yield r"\Subscribed"
    if folder.use:
        yield folder.use


async def lsub(session: Session, command: mailboxes.Lsub) -> Done:
    r"""A name above subscribed ones, matched by a pattern with % alone, is \Noselect (RFC 3501 6.3.9)."""
    utf8 = session.imap.utf8
    pattern = Pattern(command.reference + command.pattern, SEPARATOR)
    subscribed = {name for name, place in await session.listed() if place.folder.subscribed}
    levels = {upper for name in subscribed for upper in above(name)} if "%" in command.pattern else set()
    for name in sorted(subscribed | levels):
        if pattern.matches(name) and (name in subscribed or not _has_match(pattern, name, subscribed)):
            attributes = () if name in subscribed else (r"\Noselect",)
            session.imap.send(responses.listing(attributes, SEPARATOR, name, utf8=utf8, lsub=True))
    return Done("That is all")


def _has_match(pattern: Pattern, name: str, subscribed: set[str]) -> bool:
    """Whether all that is subscribed to below the name is told itself."""
    return all(pattern.matches(one) for one in subscribed if one.startswith(name + SEPARATOR))


async def namespace(session: Session, _: mailboxes.Namespace) -> Done:
    session.imap.send(responses.namespace(*session.spaces, utf8=session.imap.utf8))
    return Done("That is all")
