"""`pipeline.toml` as it is written: its tables, the line of each key, and the mistakes that were found in it so far."""

import dataclasses
import re
import tomllib
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.config.conversion import convert
from engine.config.errors import ConfigError, Problem, nearest
from engine.stage import source_of


class Document:
    """The file. Mistakes are gathered, so that the first one does not hide the others."""

    def __init__(self, text: str, path: Path, files: Mapping[str, str] | None = None) -> None:
        """ConfigError when it is no TOML. ``files``: those that it names, by path, as they were read before."""
        self.text = text
        self.files = dict(files or {})
        self.path = path
        self.folder = path.parent  # relative paths start here
        self.tables = _parsed(text, path)
        self.problems: list[Problem] = []
        self._lines = _lines(text)
        self._stood_in: set[str] = set()  # keys with no value of their own, of which there is a problem already

    def problem(self, key: str, text: str) -> None:
        """Note a mistake at the dotted ``key``, or where the table that it belongs in begins."""
        if key in self._stood_in:
            return
        section, _, name = key.rpartition(".")
        place = f"[{key}]" if key and (not section or self._is_table(key)) else f"[{section}] {name}" if section else ""
        problem = Problem(self.line(key), place, text)
        if problem not in self.problems:
            self.problems.append(problem)

    def read(self, path: Path) -> str:
        """The text of another file that it names. OSError, UnicodeDecodeError."""
        if str(path) not in self.files:
            self.files[str(path)] = path.read_text()
        return self.files[str(path)]

    def source(self, path: Path) -> str:
        """The same of a Python file, which may say how its text is encoded. SyntaxError besides."""
        if str(path) not in self.files:
            self.files[str(path)] = source_of(path)
        return self.files[str(path)]

    def line(self, key: str) -> int:
        """Where the dotted ``key`` stands, or the first one below it, or the table that it belongs in; 0: nowhere."""
        below = (line for name, line in self._lines.items() if name.startswith(f"{key}."))
        line, at = self._lines.get(key) or min(below, default=0), key
        while not line and at:
            line = self._lines.get(at, 0)
            at = at.rpartition(".")[0]
        return line

    def has_problem(self, table: str) -> bool:
        """Whether there is one in that table or below it."""
        return any(problem.place.startswith((f"[{table}]", f"[{table}.")) for problem in self.problems)

    def _is_table(self, key: str) -> bool:
        return isinstance(_at(self.tables, key.split(".")), dict)

    def table(self, name: str, within: Mapping[str, Any] | None = None, place: str = "") -> dict[str, Any]:
        """The table ``name``, of the file or ``within`` another one, where its place is ``place``."""
        value = (self.tables if within is None else within).get(name, {})
        if not isinstance(value, dict):
            self.problem(place or name, f"must be a table, [{place or name}]")
            return {}
        return value

    def values(self, place: str, table: Mapping[str, Any], hints: Mapping[str, Any]) -> dict[str, Any]:
        """What stands in ``table``, as the types in ``hints``."""
        found = {}
        for key, value in table.items():
            if key not in hints:
                self.problem(f"{place}.{key}", f"unknown key{nearest(key, hints)}")
                continue
            try:
                found[key] = convert(value, hints[key])
            except ValueError as error:
                self.problem(f"{place}.{key}", str(error))
        return found

    def section(self, name: str, kind: type, table: Mapping[str, Any] | None = None) -> Any:
        """A table as a value of ``kind``, all paths in it from the folder of the file on."""
        table = self.table(name) if table is None else table
        hints = typing.get_type_hints(kind)
        values = self.values(name, table, hints)
        for missing in _missing(kind, values):
            if missing not in table:
                self.problem(f"{name}.{missing}", "is required")
            self._stood_in.add(f"{name}.{missing}")
            values[missing] = hints[missing]("localhost")  # so that reading goes on to the next mistake
        return self._located(kind(**values))

    def _located(self, value: Any) -> Any:
        paths = {
            key.name: located
            for key in dataclasses.fields(value)
            if (located := self._absolute(getattr(value, key.name))) is not None
        }
        return dataclasses.replace(value, **paths)

    def _absolute(self, value: object) -> Path | tuple[Path, ...] | None:
        if isinstance(value, tuple) and value and isinstance(value[0], Path):
            return tuple(self.folder / path for path in value)
        return self.folder / value if isinstance(value, Path) and value.parts else None


def _at(value: Any, parts: list[str]) -> Any:
    """What stands at a dotted key, whose parts may have dots in them: the name of a domain."""
    if not parts:
        return value
    for count in range(1, len(parts) + 1) if isinstance(value, dict) else ():
        found = _at(value.get(".".join(parts[:count])), parts[count:])
        if found is not None:
            return found
    return None


def _missing(kind: type, values: Mapping[str, Any]) -> list[str]:
    return [
        key.name
        for key in dataclasses.fields(kind)
        if key.name not in values and key.default is dataclasses.MISSING and key.default_factory is dataclasses.MISSING
    ]


def _parsed(text: str, path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError, or a number of too many digits
        message, line = _toml_error(str(error))
        raise ConfigError(path, [Problem(line, "", message)]) from error
    except RecursionError as error:
        raise ConfigError(path, [Problem(0, "", "is nested too deeply")]) from error


def _toml_error(text: str) -> tuple[str, int]:
    match = re.search(r" \(at line (\d+), column (\d+)\)$", text)
    return (f"{text[: match.start()]} at column {match[2]}", int(match[1])) if match else (text, 0)


def _lines(text: str) -> dict[str, int]:
    """The line of every table and key, by dotted name; the tables of an array are numbered: "route.0.lane"."""
    lines: dict[str, int] = {}
    counts: dict[str, int] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[\[\s*([^\]]+?)\s*\]\]", line):
            name = header[1].replace('"', "")
            index = counts[name] = counts.get(name, -1) + 1
            lines.setdefault(name, number)
            section = f"{name}.{index}"
            lines[section] = number
        elif header := re.match(r"\s*\[\s*([^\]]+?)\s*\]", line):
            section = header[1].replace('"', "")
            lines.setdefault(section, number)
        elif key := re.match(r"\s*([A-Za-z0-9_.\"-]+)\s*=", line):
            lines.setdefault(".".join(filter(None, (section, key[1].replace('"', "")))), number)
    return lines
