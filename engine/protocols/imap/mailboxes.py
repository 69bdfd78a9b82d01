"""Commands about mailboxes: to select, make, list and ask about them."""

import re
from typing import Final

from msgspec import Struct

from engine.protocols.imap.cursor import Cursor, Malformed
from engine.protocols.imap.sets import MOST, SequenceSet

STATUS_ITEMS: Final = frozenset({
    "MESSAGES", "RECENT", "UIDNEXT", "UIDVALIDITY", "UNSEEN", "DELETED", "DELETED-STORAGE", "SIZE", "HIGHESTMODSEQ",
    "MAILBOXID", "APPENDLIMIT",
})  # fmt: skip
"""RFC 9051 6.3.11, RFC 7162 3.1.7, RFC 8474 4.3, RFC 7889 4, RFC 9208 4.1.4; RECENT by RFC 3501 6.3.10."""

SPECIAL_USES: Final = {
    use.upper(): use
    for use in ("\\All", "\\Archive", "\\Drafts", "\\Flagged", "\\Important", "\\Junk", "\\Sent", "\\Trash")
}
"""RFC 6154 2, RFC 8457 3; by the name in capitals."""

SELECTIONS: Final = frozenset({"SUBSCRIBED", "REMOTE", "RECURSIVEMATCH", "SPECIAL-USE"})
RETURNS: Final = frozenset({"SUBSCRIBED", "CHILDREN", "SPECIAL-USE", "MYRIGHTS", "STATUS", "METADATA"})

_USE = re.compile(rb"\\[A-Za-z]++")


class Resync(Struct, frozen=True):
    """What the client knows of the mailbox (RFC 7162 3.2.5)."""

    uid_validity: int
    modseq: int
    known: SequenceSet | None = None  # UIDs; None: all
    matches: tuple[SequenceSet, SequenceSet] | None = None  # message numbers, and their UIDs


class Select(Struct, frozen=True):
    mailbox: str
    read_only: bool  # EXAMINE
    condstore: bool = False
    resync: Resync | None = None


class Create(Struct, frozen=True):
    mailbox: str
    uses: tuple[str, ...] = ()  # of SPECIAL_USES (RFC 6154 3)


class Delete(Struct, frozen=True):
    mailbox: str


class Rename(Struct, frozen=True):
    mailbox: str
    to: str


class Subscribe(Struct, frozen=True):
    mailbox: str
    subscribed: bool  # False: UNSUBSCRIBE


class List(Struct, frozen=True):
    """RFC 5258, 5819, 6154, 8440, 9590."""

    reference: str
    patterns: tuple[str, ...]  # see names.Pattern
    selection: frozenset[str] = frozenset()  # of SELECTIONS
    returns: frozenset[str] = frozenset()  # of RETURNS
    status: tuple[str, ...] = ()  # of STATUS_ITEMS
    metadata: tuple[str, ...] = ()  # names of entries
    extended: bool = False  # it has options or several patterns


class Lsub(Struct, frozen=True):
    """RFC 3501 6.3.9."""

    reference: str
    pattern: str


class Namespace(Struct, frozen=True):
    """RFC 2342."""


class Status(Struct, frozen=True):
    mailbox: str
    items: tuple[str, ...]  # of STATUS_ITEMS


class Close(Struct, frozen=True):
    expunge: bool  # False: UNSELECT


def select(cursor: Cursor, *, read_only: bool) -> Select:
    cursor.space()
    mailbox = cursor.mailbox()
    resync: list[Resync] = []

    def parameter() -> str:
        name = cursor.word("A parameter")
        if name == "QRESYNC":
            cursor.require("QRESYNC")
            cursor.space()
            resync.append(_resync(cursor))
        elif name != "CONDSTORE":
            raise Malformed(f"{name} is no parameter of SELECT")
        return name

    given = cursor.items(parameter) if cursor.accept(b" ") and not cursor.at_end else ()
    if len(resync) > 1:
        raise Malformed("QRESYNC stands twice")
    cursor.condstore = "CONDSTORE" in given
    return Select(mailbox, read_only, cursor.condstore, resync[0] if resync else None)


def _resync(cursor: Cursor) -> Resync:
    cursor.expect(b"(")
    validity = cursor.number("A UIDVALIDITY", least=1, most=MOST)
    cursor.space()
    modseq = cursor.number("A mod-sequence", least=1)
    known: SequenceSet | None = None
    matches: tuple[SequenceSet, SequenceSet] | None = None
    if cursor.accept(b" ") and not cursor.sees(b"("):
        known = _known(cursor)
        cursor.accept(b" ")
    if cursor.accept(b"("):
        numbers = _known(cursor)
        cursor.space()
        matches = numbers, _known(cursor)
        if "UIDONLY" in cursor.features:
            raise Malformed("With UIDONLY there are no message numbers", code=b"UIDREQUIRED")
        cursor.expect(b")")
    cursor.expect(b")")
    return Resync(validity, modseq, known, matches)


def _known(cursor: Cursor) -> SequenceSet:
    found = cursor.sequence_set(uid=True)
    if found.saved or found.has_star:
        raise Malformed("What is known has neither * nor $")
    return found


def create(cursor: Cursor) -> Create:
    cursor.space()
    mailbox = cursor.mailbox()
    uses: tuple[str, ...] = ()
    if cursor.accept(b" ") and not cursor.at_end:
        cursor.expect(b"(")
        if not cursor.accept_word(b"USE "):
            raise Malformed("USE is the only parameter of CREATE")
        uses = cursor.items(lambda: _use(cursor), empty=True)
        cursor.expect(b")")
    return Create(mailbox, uses)


def _use(cursor: Cursor) -> str:
    given = cursor.match(_USE, "A special use")[0].decode("ascii").upper()
    if given not in SPECIAL_USES:
        raise Malformed("This special use is unknown here", code=b"USEATTR", status=b"NO")
    return SPECIAL_USES[given]


def delete(cursor: Cursor) -> Delete:
    cursor.space()
    return Delete(cursor.mailbox())


def rename(cursor: Cursor) -> Rename:
    cursor.space()
    mailbox = cursor.mailbox()
    cursor.space()
    return Rename(mailbox, cursor.mailbox())


def subscribe(cursor: Cursor, *, subscribed: bool) -> Subscribe:
    cursor.space()
    return Subscribe(cursor.mailbox(), subscribed)


def list_(cursor: Cursor) -> List:
    cursor.space()
    selection: frozenset[str] = frozenset()
    extended = cursor.sees(b"(")
    if extended:
        selection = frozenset(cursor.items(lambda: _known_word(cursor, SELECTIONS), empty=True))
        cursor.space()
    if selection and selection <= {"RECURSIVEMATCH", "REMOTE"} and "RECURSIVEMATCH" in selection:
        raise Malformed("RECURSIVEMATCH needs something to match")  # RFC 5258 3.1
    reference = cursor.mailbox()
    cursor.space()
    extended = extended or cursor.sees(b"(")
    patterns = cursor.one_or_more(cursor.list_mailbox)
    found = List(reference, patterns, selection, extended=extended)
    return _list_returns(cursor, found) if cursor.accept(b" ") and not cursor.at_end else found


def _list_returns(cursor: Cursor, listed: List) -> List:
    status: list[str] = []
    metadata: list[str] = []

    def option() -> str:
        name = _known_word(cursor, RETURNS)
        if name == "STATUS":
            cursor.space()
            status.extend(_status_items(cursor))
        elif name == "METADATA":
            cursor.space()
            metadata.extend(cursor.items(lambda: cursor.text("An entry")))
        return name

    if not cursor.accept_word(b"RETURN "):
        raise Malformed("RETURN and its options are the only thing that may follow")
    returns = frozenset(cursor.items(option, empty=True))
    return List(
        listed.reference, listed.patterns, listed.selection, returns, tuple(status), tuple(metadata), extended=True
    )


def _known_word(cursor: Cursor, known: frozenset[str]) -> str:
    name = cursor.word("An option")
    if name not in known:
        raise Malformed(f"The option {name} is unknown here")
    return name


def lsub(cursor: Cursor) -> Lsub:
    cursor.space()
    reference = cursor.mailbox()
    cursor.space()
    return Lsub(reference, cursor.list_mailbox())


def namespace(_: Cursor) -> Namespace:
    return Namespace()


def status(cursor: Cursor) -> Status:
    cursor.space()
    mailbox = cursor.mailbox()
    cursor.space()
    return Status(mailbox, _status_items(cursor))


def _status_items(cursor: Cursor) -> tuple[str, ...]:
    items = cursor.items(lambda: _known_word(cursor, STATUS_ITEMS))
    cursor.condstore = cursor.condstore or "HIGHESTMODSEQ" in items
    return tuple(dict.fromkeys(items))


def close(_: Cursor, *, expunge: bool) -> Close:
    return Close(expunge)
