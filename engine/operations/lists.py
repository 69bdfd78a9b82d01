"""What operators do with allow and block lists: of the server, of a domain, of an account."""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from engine.directory import Invalid
from engine.lists import Entry, Lists, entry_of, scope_of
from engine.lists.entries import Word
from engine.lists.store import Row
from engine.operations.operator import Operator


class ListRow(msgspec.Struct, frozen=True, rename={"scope": "for"}):
    """An entry: an address, a domain, or a network. ``scope``: "" for the server's list, ``@domain``, or an address."""

    scope: str
    word: Word
    entry: str


def put(opened: Lists, by: Operator, scope: str, word: Word, entries: Sequence[str]) -> list[ListRow]:
    """Allow or block each, in the list of that scope (see ``scope_of``). Invalid."""
    _check(by, scope)
    rows = [Row(scope, Entry(word, entry_of(text))) for text in entries]
    opened.put(rows)
    by.tell("list-changed", list=scope or "server", word=word, entries=[row.entry.text for row in rows])
    return list(map(_row, rows))


def remove(opened: Lists, by: Operator, scope: str, entries: Sequence[str]) -> dict[str, bool]:
    """Take entries away; whether each, as it compares, was there. Invalid."""
    _check(by, scope)
    texts = [entry_of(text) for text in entries]
    missing = opened.remove(scope, texts)
    gone = {text: text not in missing for text in texts}
    if any(gone.values()):
        removed = [text for text, was_there in gone.items() if was_there]
        by.tell("list-changed", list=scope or "server", word="remove", entries=removed)
    return gone


def listed(opened: Lists, by: Operator, scope: str | None = None) -> list[ListRow]:
    """The list of a scope; None: all that the operator may see."""
    if scope is not None:
        _check(by, scope)
    return [_row(row) for row in opened.rows(scope) if _may(by, row.scope)]


def exported(opened: Lists, by: Operator) -> Iterator[str]:
    """All lists, a line for each entry."""
    return (" ".join(filter(None, (row.word, row.entry, row.scope))) for row in listed(opened, by))


def take_in(opened: Lists, by: Operator, lines: Iterable[str]) -> int:
    """Add what is written as ``exported`` writes it, all of it or nothing; how many. Invalid, by line."""
    rows = list(_parsed(lines))
    for row in rows:
        _check(by, row.scope)
    opened.put(rows)
    by.tell("list-changed", word="import", count=len(rows))
    return len(rows)


def _may(by: Operator, scope: str) -> bool:
    return by.may(scope) if scope else by.domains is None


def _check(by: Operator, scope: str) -> None:
    if scope:
        by.check(scope)
    else:
        by.check_all()


def _row(row: Row) -> ListRow:
    return ListRow(row.scope, row.entry.word, row.entry.text)


def _parsed(lines: Iterable[str]) -> Iterator[Row]:
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            if words[0] not in ("allow", "block") or not 2 <= len(words) <= 3:
                raise Invalid("write `allow ENTRY` or `block ENTRY`, and perhaps whose list it is")
            whose = words[2] if len(words) == 3 else ""
            scope = scope_of(domain=whose[1:]) if whose.startswith("@") else scope_of(address=whose)
            yield Row(scope, Entry("allow" if words[0] == "allow" else "block", entry_of(words[1])))
        except Invalid as error:
            raise Invalid(f"line {number}: {error}") from error
