"""CSV files (RFC 4180) of accounts, whose first line names columns: all that is wrong is told together, by lines."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

import msgspec

Row: TypeAlias = tuple[int, Sequence[str], Sequence[str]]
"""The number of a line, the names of the columns, and its cells."""


class LineMistake(msgspec.Struct, frozen=True):
    """What is wrong with a line."""

    line: int
    text: str


def rows(lines: Iterable[str], columns: Sequence[str], most: int, mistakes: list[LineMistake]) -> Iterator[Row]:
    """Each line that is not empty. What is wrong with the file as such joins ``mistakes``, and then there are no more.

    ``columns``: what the first line may name; ``address`` it must. ``most``: lines that there may be.
    """
    reader = csv.reader(lines, strict=True)
    try:
        names = [name.strip().lower() for name in next(reader, [])]
        if names:
            names[0] = names[0].removeprefix("\ufeff")  # as spreadsheets begin a file in UTF-8
        if wrong := [LineMistake(1, text) for text in _wrong_names(names, columns)]:
            mistakes += wrong
            return
        full = (cells for cells in reader if any(cell.strip() for cell in cells))
        for count, cells in enumerate(full):
            if count == most:
                raise csv.Error(f"there are more than {most:,} accounts; make several files of it")
            yield reader.line_num, names, cells
    except csv.Error as error:
        mistakes.append(LineMistake(reader.line_num, str(error)))


def _wrong_names(names: Sequence[str], columns: Sequence[str]) -> Iterator[str]:
    for name in names:
        if name not in columns:
            yield f"there is no column {name!r}; there are {', '.join(columns)}"
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"the column {name!r} stands there twice"
    if "address" not in names:
        yield 'the first line must name the columns, "address" among them'
