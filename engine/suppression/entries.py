"""Entries of the suppression list, and how they are written in files."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, Any

import msgspec

from engine.bounces.classes import is_class
from engine.directory import Invalid, split, valid_address, valid_domain
from engine.observe.visible import in_cell, out_of_cell

COLUMNS = ("entry", "class", "tenant", "since", "until", "note")
"""Of a CSV file, which names them in its first line. Times are Unix times; `until` is 0 for ever."""

_NOTE = 200  # characters of a note


class Row(msgspec.Struct, frozen=True, rename={"which": "class"}):
    """An address or a domain. ``tenant``: for whom it counts; empty: for all. ``until``: 0 for ever."""

    entry: str
    which: str
    tenant: str = ""
    since: float = 0.0
    until: float = 0.0
    note: str = ""


def entry_of(text: str) -> str:
    """An entry that somebody wrote, as it compares. Invalid."""
    text = text.strip().removeprefix("@")
    if "@" not in text:
        return valid_domain(text)
    name = split(valid_address(text))
    if name is None:
        raise Invalid(f"{text!r} is no address")
    return "@".join(name)


def row(values: Mapping[str, Any]) -> Row:
    """A row from what stands in a file. Invalid."""
    unknown = set(values) - set(COLUMNS)
    if unknown:
        raise Invalid(f"unknown column {sorted(map(str, unknown))[0]!r}")
    which = str(values.get("class") or "unknown")
    if not is_class(which):
        raise Invalid(f"there is no class {which!r}")
    tenant = str(values.get("tenant") or "")
    if "\0" in tenant:
        raise Invalid("a tenant's name has no NUL")
    return Row(
        entry_of(str(values.get("entry") or "")),
        which,
        tenant,
        _time(values.get("since")),
        _time(values.get("until")),
        str(values.get("note") or "")[:_NOTE],
    )


def _time(value: object) -> float:
    try:
        found = float(str(value or 0))
    except ValueError:
        raise Invalid(f"{value!r} is no Unix time") from None
    if not 0 <= found < 1e12:
        raise Invalid(f"{value!r} is no Unix time")
    return found


def parsed(stream: IO[str]) -> Iterator[Row]:
    """The rows of a file: JSON lines if it begins with `{`, else CSV with a line of names, else an entry a line.

    Invalid, with the number of the line.
    """
    number = 1
    try:
        for number, values in _numbered(stream):
            yield _row(number, values)
    except csv.Error as error:
        raise Invalid(f"behind line {number}: {error}") from error


def _row(number: int, values: Mapping[str, Any]) -> Row:
    try:
        return row(values)
    except Invalid as error:
        raise Invalid(f"line {number}: {error}") from error


def _numbered(stream: IO[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The number of each line that has something, and what. Invalid."""
    first = stream.readline()
    names = _names(first)
    if first.lstrip().startswith("{"):
        for number, line in enumerate(_from(first, stream), 1):
            if line.strip():
                yield number, _object(number, line)
    elif "entry" in names:
        yield from enumerate(map(_of_cells, csv.DictReader(stream, names, restkey="too many columns")), 2)
    else:
        yield from _bare(_from(first, stream))


def _of_cells(values: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: out_of_cell(value) if isinstance(value, str) else value for name, value in values.items()}


def _bare(lines: Iterator[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(lines, 1):
        if text := line.partition("#")[0].strip():
            yield number, {"entry": text}


def _from(first: str, stream: IO[str]) -> Iterator[str]:
    yield first
    yield from stream


def _names(line: str) -> list[str]:
    return [name.strip().lower() for name in next(csv.reader([line.lstrip("\ufeff")]), [])]


def _object(number: int, line: str) -> Mapping[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"line {number}: no JSON: {error}") from error
    if not isinstance(value, dict):
        raise Invalid(f"line {number}: no object")
    return value


def as_csv(rows: Iterable[Row]) -> Iterator[str]:
    """Lines of CSV, the names first."""
    for values in ([*COLUMNS], *map(_values, rows)):
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow(values)
        yield line.getvalue()


def _values(one: Row) -> list[str]:
    texts = (one.entry, one.which, one.tenant, f"{one.since:.0f}", f"{one.until:.0f}", one.note)
    return list(map(in_cell, texts))


def as_json(rows: Iterable[Row]) -> Iterator[str]:
    """Lines of JSON."""
    return (msgspec.json.encode(one).decode() for one in rows)
