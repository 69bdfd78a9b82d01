"""What SEARCH looks for (RFC 9051 6.4.4): the keys as a tree, and how each is read."""

import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from engine.protocols.imap.cursor import SYSTEM_FLAGS, Cursor, Malformed, decoded
from engine.protocols.imap.sets import MOST, PATTERN, SequenceSet


class Everything(Struct, frozen=True):
    """ALL."""


class HasFlag(Struct, frozen=True):
    flag: str  # ``\\Recent`` too


class Contains(Struct, frozen=True):
    """A text, in whatever case; the empty one is in every message that has the field."""

    where: str  # BCC BODY CC FROM SUBJECT TEXT TO
    text: str


class HeaderContains(Struct, frozen=True):
    name: str
    text: str


class Dated(Struct, frozen=True):
    """By the day alone, whatever the time and the zone. SAVED: RFC 8514."""

    which: Literal["INTERNAL", "SENT", "SAVED"]
    comparison: Literal["BEFORE", "ON", "SINCE"]
    date: date


class Sized(Struct, frozen=True):
    larger: bool  # False: smaller
    octets: int


class Aged(Struct, frozen=True):
    """By the internal date (RFC 5032)."""

    older: bool  # False: younger
    seconds: int


class Numbered(Struct, frozen=True):
    messages: SequenceSet
    uid: bool


class Modified(Struct, frozen=True):
    """A mod-sequence of at least this (RFC 7162 3.1.5); we keep none for single flags."""

    since: int


class Identified(Struct, frozen=True):
    """RFC 8474 5.3."""

    kind: Literal["EMAILID", "THREADID"]
    value: str


class SaveDateSupported(Struct, frozen=True):
    """RFC 8514 4.3: whether the mailbox keeps save dates at all."""


class Not(Struct, frozen=True):
    key: "SearchKey"


class Or(Struct, frozen=True):
    left: "SearchKey"
    right: "SearchKey"


class And(Struct, frozen=True):
    keys: "tuple[SearchKey, ...]"


SearchKey: TypeAlias = (
    Everything
    | HasFlag
    | Contains
    | HeaderContains
    | Dated
    | Sized
    | Aged
    | Numbered
    | Modified
    | Identified
    | SaveDateSupported
    | Not
    | Or
    | And
)

_OBJECT = re.compile(rb"[A-Za-z0-9_-]{1,255}")
_ENTRY_TYPE = re.compile(rb"priv|shared|all", re.IGNORECASE)

_RECENT: Final = HasFlag("\\Recent")

SIMPLE: Mapping[str, SearchKey] = {
    "ALL": Everything(),
    "RECENT": _RECENT,
    "OLD": Not(_RECENT),
    "NEW": And((_RECENT, Not(HasFlag("\\Seen")))),
    "SAVEDATESUPPORTED": SaveDateSupported(),
    **{flag[1:].upper(): HasFlag(flag) for flag in SYSTEM_FLAGS.values()},
    **{"UN" + flag[1:].upper(): Not(HasFlag(flag)) for flag in SYSTEM_FLAGS.values()},
}
"""Keys without an argument."""


def search_key(cursor: Cursor) -> SearchKey:
    """One key, with what is in it."""
    if cursor.sees(b"("):
        return And(cursor.items(lambda: search_key(cursor)))
    if cursor.accept(b"$"):
        return Numbered(SequenceSet(saved=True), uid=True)
    if cursor.sees_match(PATTERN):
        return Numbered(cursor.sequence_set(uid=False), uid=False)
    name = cursor.word("A search key")
    if name in SIMPLE:
        return SIMPLE[name]
    if name not in WITH_ARGUMENTS:
        raise Malformed(f"The search key {name} is unknown here")
    cursor.space()
    return WITH_ARGUMENTS[name](cursor, name)


def search_keys(cursor: Cursor) -> SearchKey:
    """One key or more, all of which must be true, to the end of the command."""
    found = [search_key(cursor)]
    while cursor.accept(b" ") and not cursor.at_end:
        found.append(search_key(cursor))
    return found[0] if len(found) == 1 else And(tuple(found))


UNKNOWN_CHARSET: Final = Malformed(
    "The charset is UTF-8 or US-ASCII", code=b"BADCHARSET (US-ASCII UTF-8)", status=b"NO"
)


def charset(cursor: Cursor) -> bool:
    """Whether the charset of this name is known. Every string is taken for UTF-8, as US-ASCII is too."""
    return cursor.text("A charset").upper() in ("UTF-8", "US-ASCII")


# One function a kind of key; each stands behind the space after the key's name.


def _contains(cursor: Cursor, name: str) -> SearchKey:
    return Contains(name, cursor.text())


def _header(cursor: Cursor, _: str) -> SearchKey:
    field = cursor.text("A field name")
    cursor.space()
    return HeaderContains(field, cursor.text())


def _keyword(cursor: Cursor, name: str) -> SearchKey:
    found = HasFlag(cursor.atom("A keyword"))
    return Not(found) if name == "UNKEYWORD" else found


def _dated(cursor: Cursor, name: str) -> SearchKey:
    which, comparison = _DATES[name]
    return Dated(which, comparison, cursor.date())


def _sized(cursor: Cursor, name: str) -> SearchKey:
    return Sized(name == "LARGER", cursor.number("A size"))


def _aged(cursor: Cursor, name: str) -> SearchKey:
    return Aged(name == "OLDER", cursor.number("An interval", least=1, most=MOST))


def _uid(cursor: Cursor, _: str) -> SearchKey:
    return Numbered(cursor.sequence_set(uid=True), uid=True)


def _uid_after(cursor: Cursor, _: str) -> SearchKey:
    """RFC 9738 3.2."""
    uid = _one_uid(cursor)
    return Not(Everything()) if uid == MOST else Numbered(SequenceSet(((uid + 1, MOST),)), uid=True)


def _uid_before(cursor: Cursor, _: str) -> SearchKey:
    uid = _one_uid(cursor)
    return Not(Everything()) if uid == 1 else Numbered(SequenceSet(((1, uid - 1),)), uid=True)


def _one_uid(cursor: Cursor) -> int:
    return cursor.number("A UID", least=1, most=MOST)


def _modified(cursor: Cursor, _: str) -> SearchKey:
    cursor.condstore = True
    if cursor.sees(b'"'):
        cursor.string("An entry")
        cursor.space()
        cursor.match(_ENTRY_TYPE, "priv, shared or all")
        cursor.space()
    return Modified(cursor.number("A mod-sequence"))


def _email_id(cursor: Cursor, _: str) -> SearchKey:
    return Identified("EMAILID", _object(cursor))


def _thread_id(cursor: Cursor, _: str) -> SearchKey:
    return Identified("THREADID", _object(cursor))


def _object(cursor: Cursor) -> str:
    return decoded(cursor.match(_OBJECT, "An identifier")[0])


def _not(cursor: Cursor, _: str) -> SearchKey:
    with cursor.nested():
        return Not(search_key(cursor))


def _or(cursor: Cursor, _: str) -> SearchKey:
    with cursor.nested():
        left = search_key(cursor)
        cursor.space()
        return Or(left, search_key(cursor))


_Which: TypeAlias = Literal["INTERNAL", "SENT", "SAVED"]
_Comparison: TypeAlias = Literal["BEFORE", "ON", "SINCE"]
_PREFIXES: Final[tuple[tuple[str, _Which], ...]] = (("", "INTERNAL"), ("SENT", "SENT"), ("SAVED", "SAVED"))
_COMPARISONS: Final[tuple[_Comparison, ...]] = ("BEFORE", "ON", "SINCE")
_DATES: Final = {prefix + comparison: (which, comparison) for prefix, which in _PREFIXES for comparison in _COMPARISONS}

WITH_ARGUMENTS: Mapping[str, Callable[[Cursor, str], SearchKey]] = {
    **dict.fromkeys(("BCC", "BODY", "CC", "FROM", "SUBJECT", "TEXT", "TO"), _contains),
    "HEADER": _header,
    "KEYWORD": _keyword,
    "UNKEYWORD": _keyword,
    **dict.fromkeys(_DATES, _dated),
    "LARGER": _sized,
    "SMALLER": _sized,
    "OLDER": _aged,
    "YOUNGER": _aged,
    "UID": _uid,
    "UIDAFTER": _uid_after,
    "UIDBEFORE": _uid_before,
    "MODSEQ": _modified,
    "EMAILID": _email_id,
    "THREADID": _thread_id,
    "NOT": _not,
    "OR": _or,
}
