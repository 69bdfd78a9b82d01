"""What the doctor says of one thing, and what it is given to look at."""

import enum
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from engine.config import Config
from engine.runtime.state import Running


class Level(enum.StrEnum):
    OK = "ok"
    WARNING = "warning"  # mail flows; it could be better, or will not stay so
    PROBLEM = "problem"  # mail does not flow, is not believed, or may be lost


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    level: Level
    what: str  # what was found
    means: str = ""  # what follows from it
    do: str = ""  # what to do about it, a command mostly

    def told(self, area: str) -> dict[str, Any]:
        return {"area": area, **asdict(self), "level": self.level.value}


def good(what: str) -> Finding:
    return Finding(Level.OK, what)


def warning(what: str, means: str, do: str) -> Finding:
    return Finding(Level.WARNING, what, means, do)


def problem(what: str, means: str, do: str) -> Finding:
    return Finding(Level.PROBLEM, what, means, do)


@dataclass(frozen=True, slots=True)
class Patient:
    """A configuration, and the server that runs by it, if one does."""

    config: Config
    running: Running | None
    dns: tuple[str, ...] = ()  # whom to ask; empty: those of the configuration
    addresses: tuple[str, ...] = ()  # that the world sees; empty: what this machine knows of itself
    outgoing: str = ""  # whom to connect to, to see whether mail gets out

    def again(self, command: str) -> str:
        """A command of ours on this configuration."""
        return f"postroad -c {self.config.path} {command}"


Look: TypeAlias = Callable[[Patient], Iterator[Finding]]
"""Looks at one area. OSError where it may not, or cannot."""
