"""What operators do with the suppression list: recipients who are not written to again. It is about all domains."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO, Literal, TypeAlias

import msgspec

from engine.bounces.classes import CLASSES
from engine.directory import Invalid
from engine.operations.operator import Operator
from engine.suppression import Row, Suppressions, entry_of
from engine.suppression.entries import as_csv, as_json, parsed, row
from engine.suppression.store import BATCH

LOOKED_AT = 200_000
"""Entries that are looked at for one part of a list: a second or so."""

WHY = tuple(CLASSES)
"""Classes by which somebody may be on the list; an operator may have others of their own."""

Form: TypeAlias = Literal["csv", "json"]


def _unheard(_done: int) -> None:
    pass


def add(
    opened: Suppressions,
    by: Operator,
    entries: Sequence[str],
    *,
    which: str = "unknown",
    until: float = 0.0,
    note: str = "",
    tenant: str = "",
) -> list[Row]:
    """Put addresses and domains onto the list of all, or of a tenant: why (a class of replies, or complaint), and until
    when (Unix time; 0: for ever). Invalid.
    """
    by.check_all()
    rows = [row({"entry": text, "class": which, "until": until, "note": note, "tenant": tenant}) for text in entries]
    opened.put(rows)
    by.tell("suppression-added", entries=[one.entry for one in rows], tenant=tenant or None)
    return rows


def remove(opened: Suppressions, by: Operator, entries: Sequence[str], tenant: str = "") -> dict[str, bool]:
    """Take entries off the list, and forget what was said of them; whether each was there. Invalid."""
    by.check_all()
    names = {text: entry_of(text) for text in entries}
    gone = {text: opened.remove(name, tenant) for text, name in names.items()}
    if any(gone.values()):
        removed = [names[text] for text, was_there in gone.items() if was_there]
        by.tell("suppression-removed", entries=removed, tenant=tenant or None)
    return gone


def says(opened: Suppressions, by: Operator, address: str, tenant: str = "") -> Row | None:
    """What keeps mail to an address away, if anything does."""
    by.check_all()
    return opened.says(address, tenant)


def listed(opened: Suppressions, by: Operator, tenant: str | None = "", which: str = "") -> Iterator[Row]:
    """The list for all, or of a tenant; None: all lists. ``which``: only entries of this class."""
    by.check_all()
    return (one for one in opened.rows(tenant) if which in ("", one.which))


def some(
    opened: Suppressions, by: Operator, most: int, *, tenant: str = "", which: str = "", behind: str = ""
) -> tuple[list[Row], str]:
    """So many entries of a list, those behind an entry; and behind which one the rest is, empty where there is none.

    At most LOOKED_AT are looked at: with ``which`` there may be fewer, and more behind them.
    """
    by.check_all()
    found, last, more = list[Row](), "", False
    for number, one in enumerate(opened.rows(tenant, behind)):
        more = len(found) == most or number == LOOKED_AT
        if more:
            break
        last = one.entry
        if which in ("", one.which):
            found.append(one)
    return found, last if more else ""


def exported(opened: Suppressions, by: Operator, form: Form = "csv") -> Iterator[str]:
    """The lines of a file with all lists."""
    by.check_all()
    return (as_csv if form == "csv" else as_json)(opened.rows())


def take_in(
    opened: Suppressions,
    by: Operator,
    stream: IO[str],
    *,
    which: str = "",
    tenant: str = "",
    told: Callable[[int], None] = _unheard,
) -> int:
    """Add what is in a file: CSV with a line of names, lines of JSON, or an entry a line; how many.

    ``which`` is the class of entries that have none. Invalid, with the number of the line: what stands before it has
    been added.
    """
    by.check_all()
    count = 0
    try:
        for some in _batches(_completed(one, which, tenant) for one in parsed(stream)):
            count += opened.put(some)
            told(count)
    finally:
        if count:
            by.tell("suppression-added", count=count, tenant=tenant or None)
    return count


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """So many at once; where one is wrong, first those before it. Invalid."""
    some: list[Row] = []
    try:
        for one in rows:
            some.append(one)
            if len(some) == BATCH:
                yield some
                some = []
    except Invalid:
        if some:
            yield some
        raise
    if some:
        yield some


def _completed(one: Row, which: str, tenant: str) -> Row:
    return msgspec.structs.replace(
        one,
        which=which if which and one.which == "unknown" else one.which,
        tenant=one.tenant or tenant,
    )
