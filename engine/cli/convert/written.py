"""What a conversion writes: tables of pipeline.toml, commands for the directory, and notes."""

import json
from dataclasses import dataclass, field
from typing import Any

from engine.cli.init.template import quoted

LOGIN = "relay.login"
"""The file of our account at a relay host."""

_UNITS = (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))


@dataclass
class Converted:
    """What came of it."""

    config: str = ""
    commands: str = ""  # for a shell
    login: str = ""  # the file LOGIN, if there is one
    notes: list[str] = field(default_factory=list)


@dataclass
class Table:
    """Lines of a table, each with the setting that it comes from."""

    name: str
    lines: list[str] = field(default_factory=list)

    def put(self, key: str, value: Any, source: str = "") -> None:
        self.line(f"{key} = {toml(value)}", source)

    def line(self, text: str, source: str = "") -> None:
        self.lines.append(f"{text:<40}  # {source}" if source else text)

    def __str__(self) -> str:
        head = self.name if self.name.startswith("[[") else f"[{self.name}]"
        return "\n".join((head, *self.lines)) + "\n"


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return quoted(value) if isinstance(value, str) else json.dumps(value)


def span(seconds: int) -> str:
    """A duration as people write it."""
    return next(f"{seconds // each}{unit}" for unit, each in _UNITS if not seconds % each)
