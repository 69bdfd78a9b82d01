"""SEARCH (RFC 9051 6.4.4), SORT and THREAD (RFC 5256), and how their results are wanted (RFC 4731, 5182, 9394)."""

import re
from typing import Final

from msgspec import Struct

from engine.protocols.imap.cursor import Cursor, Malformed
from engine.protocols.imap.search_keys import UNKNOWN_CHARSET, SearchKey, charset, search_keys
from engine.protocols.imap.sets import MOST

SORT_KEYS: Final = frozenset(["ARRIVAL", "CC", "DATE", "FROM", "SIZE", "SUBJECT", "TO", "DISPLAYFROM", "DISPLAYTO"])
"""RFC 5256 3; DISPLAY: RFC 5957."""

ALGORITHMS: Final = ("ORDEREDSUBJECT", "REFERENCES")

_PARTIAL = re.compile(rb"(-?)([1-9][0-9]{0,9}):(-?)([1-9][0-9]{0,9})")


class Returns(Struct, frozen=True):
    """What an ESEARCH response is to say; nothing at all: the set is only saved."""

    smallest: bool = False  # MIN
    largest: bool = False  # MAX
    all: bool = False
    count: bool = False
    save: bool = False
    partial: tuple[int, int] | None = None  # from 1, or from -1 backwards; the first is nearer to its end


class Search(Struct, frozen=True):
    key: SearchKey | None  # None: it is in a charset that is unknown here, and its result was to be saved
    uid: bool
    returns: Returns | None = None  # None: a SEARCH response, or what IMAP4rev2 has in its place


class Criterion(Struct, frozen=True):
    key: str  # of SORT_KEYS
    reverse: bool = False


class Sort(Struct, frozen=True):
    criteria: tuple[Criterion, ...]
    key: SearchKey | None  # as of Search
    uid: bool
    returns: Returns | None = None  # RFC 5267


class Thread(Struct, frozen=True):
    algorithm: str  # of ALGORITHMS
    key: SearchKey
    uid: bool


def search(cursor: Cursor, *, uid: bool) -> Search:
    _numbers_wanted(cursor, uid=uid)
    cursor.space()
    returns = _returns(cursor)
    is_known = True
    if cursor.accept_word(b"CHARSET "):
        is_known = charset(cursor)
        cursor.space()
    return Search(_keys(cursor, is_known, returns), uid, returns)


def sort(cursor: Cursor, *, uid: bool) -> Sort:
    _numbers_wanted(cursor, uid=uid)
    cursor.space()
    returns = _returns(cursor)
    criteria = cursor.items(lambda: _criterion(cursor))
    cursor.space()
    is_known = charset(cursor)
    cursor.space()
    return Sort(criteria, _keys(cursor, is_known, returns), uid, returns)


def _keys(cursor: Cursor, is_known: bool, returns: Returns | None) -> SearchKey | None:
    """What is looked for. Where the charset is unknown, that it was to be saved is not: it becomes nothing."""
    if is_known:
        return search_keys(cursor)
    if returns is None or not returns.save:
        raise UNKNOWN_CHARSET
    cursor.pass_over()
    return None


def _criterion(cursor: Cursor) -> Criterion:
    reverse = cursor.accept_word(b"REVERSE ")
    key = cursor.word("A sort key")
    if key not in SORT_KEYS:
        raise Malformed(f"The sort key {key} is unknown here")
    return Criterion(key, reverse)


def thread(cursor: Cursor, *, uid: bool) -> Thread:
    _numbers_wanted(cursor, uid=uid)
    cursor.space()
    algorithm = cursor.word("An algorithm")
    if algorithm not in ALGORITHMS:
        raise Malformed(f"The algorithm {algorithm} is unknown here")
    cursor.space()
    if not charset(cursor):
        raise UNKNOWN_CHARSET
    cursor.space()
    return Thread(algorithm, search_keys(cursor), uid)


def _numbers_wanted(cursor: Cursor, *, uid: bool) -> None:
    """Without UID the result would be message numbers, which UIDONLY has not (RFC 9586 3.2)."""
    if not uid and "UIDONLY" in cursor.features:
        raise Malformed("With UIDONLY there are no message numbers", code=b"UIDREQUIRED")


def _returns(cursor: Cursor) -> Returns | None:
    if not cursor.accept_word(b"RETURN "):
        return None
    partial: list[tuple[int, int]] = []

    def option() -> str:
        name = cursor.word("A result option")
        if name == "PARTIAL":
            cursor.space()
            partial.append(partial_range(cursor))
        elif name not in ("MIN", "MAX", "ALL", "COUNT", "SAVE"):
            raise Malformed(f"The result option {name} is unknown here")
        return name

    given = cursor.items(option, empty=True) or ("ALL",)  # RFC 4731 3.1
    cursor.space()
    # RFC 9394 3.1
    if len(partial) > 1 or (partial and "ALL" in given):
        raise Malformed("PARTIAL stands once, and without ALL")
    return Returns(
        "MIN" in given, "MAX" in given, "ALL" in given, "COUNT" in given, "SAVE" in given, *partial,
    )  # fmt: skip


def partial_range(cursor: Cursor) -> tuple[int, int]:
    """``1:500`` or ``-1:-100`` (RFC 9394 4)."""
    said = cursor.match(_PARTIAL, "A range")
    first, last = sorted((int(said[2]), int(said[4])))
    if said[1] != said[3] or last > MOST:
        raise Malformed("A range counts from one end, in numbers of 32 bits")
    return (-first, -last) if said[1] else (first, last)
