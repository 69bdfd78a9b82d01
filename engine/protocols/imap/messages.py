"""Commands that change messages: STORE, COPY, MOVE, EXPUNGE."""

import re

from msgspec import Struct

from engine.protocols.imap.cursor import Cursor, Malformed
from engine.protocols.imap.sets import SequenceSet

_STORE = re.compile(rb"([+-]?)FLAGS(\.SILENT)?(?![^ ])", re.IGNORECASE)


class Store(Struct, frozen=True):
    """RFC 9051 6.4.6, RFC 7162 3.1.3."""

    messages: SequenceSet
    uid: bool  # the set is of UIDs
    operation: str  # "+", "-", or "" to replace
    silent: bool
    flags: tuple[str, ...]
    unchanged_since: int | None = None


class Copy(Struct, frozen=True):
    messages: SequenceSet
    uid: bool
    mailbox: str
    move: bool  # RFC 6851


class Expunge(Struct, frozen=True):
    messages: SequenceSet | None  # UIDs; None: all that are \\Deleted


def store(cursor: Cursor, *, uid: bool) -> Store:
    cursor.space()
    messages = cursor.sequence_set(uid=uid)
    cursor.space()
    since: int | None = None
    if cursor.accept(b"("):
        if not cursor.accept_word(b"UNCHANGEDSINCE "):
            raise Malformed("UNCHANGEDSINCE is the only modifier of STORE")
        since = cursor.number("A mod-sequence")
        cursor.expect(b")")
        cursor.space()
        cursor.condstore = True
    said = cursor.match(_STORE, "FLAGS, +FLAGS or -FLAGS")
    cursor.space()
    flags = cursor.flags() if cursor.sees(b"(") else _bare(cursor)
    return Store(messages, uid, said[1].decode("ascii"), bool(said[2]), tuple(dict.fromkeys(flags)), since)


def _bare(cursor: Cursor) -> list[str]:
    """Flags without parentheses (RFC 9051 9, store-att-flags)."""
    found = [cursor.flag()]
    while cursor.accept(b" ") and not cursor.at_end:
        found.append(cursor.flag())
    return found


def copy(cursor: Cursor, *, uid: bool, move: bool) -> Copy:
    cursor.space()
    messages = cursor.sequence_set(uid=uid)
    cursor.space()
    return Copy(messages, uid, cursor.mailbox(), move)


def expunge(_: Cursor) -> Expunge:
    return Expunge(None)


def uid_expunge(cursor: Cursor) -> Expunge:
    """RFC 4315 2.1."""
    cursor.space()
    return Expunge(cursor.sequence_set(uid=True))
