"""What a file of rules for sites says: values for those that a rule is about, each with the line that it stands in."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

from engine.config.automation import Automation
from engine.units import Duration, Rate

Kind: TypeAlias = Literal["default", "source", "provider", "site", "domain"]

KINDS: tuple[Kind, ...] = ("default", "source", "provider", "site", "domain")
"""From what is about most to what is about least."""

ABOUT: tuple[Kind, ...] = ("provider", "site", "domain")
"""Those that are about one destination or another."""

FOR_EVER = float("inf")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value is written."""

    file: Path
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Rule:
    """Values for whatever it is about. ``name`` is a provider's, or a pattern of hosts or domains.

    ``source``: it is about mail alone that leaves from there; empty: whichever.
    """

    kind: Kind
    name: str = ""
    source: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    places: Mapping[str, Place] = field(default_factory=dict)  # of each value

    @property
    def rank(self) -> tuple[int, bool, bool]:
        """How special it is: of several rules that give a value, the one with the highest rank holds."""
        return KINDS.index(self.kind), bool(self.source), "*" not in self.name

    def __str__(self) -> str:
        if self.kind == "source":
            return f"[source.{self.source}]"
        name = f'."{self.name}"' if self.kind in ("site", "domain") else f".{self.name}" if self.name else ""
        return f"[{self.kind}{name}{f'.source.{self.source}' if self.source else ''}]"


@dataclass(frozen=True, slots=True)
class Provider:
    """Whose sites are many. Patterns of the names of its hosts, and of domains."""

    name: str
    mx: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rules:
    """All rules, in the order in which they are written."""

    rules: tuple[Rule, ...] = ()
    providers: Mapping[str, Provider] = field(default_factory=dict)
    automation: tuple[Automation, ...] = ()


VALUES: dict[str, Any] = {
    "connections": int,
    "messages": tuple[Rate, ...],
    "recipients": tuple[Rate, ...],
    "messages_per_connection": int,
    "recipients_per_transaction": int,
    "adaptive": bool,
    "connect_timeout": Duration,
    "greeting_timeout": Duration,
    "command_timeout": Duration,
    "data_timeout": Duration,
    "block_timeout": Duration,
    "final_timeout": Duration,
    "idle": Duration,
    "retry": tuple[Duration, ...],
    "expire": Duration,
    "tls": Literal["never", "opportunistic", "require", "verify", "mta-sts", "dane"],
    "pool": str,
}
"""What a rule may say, and the type of it. `pause` besides, which is true or a time."""

TOGETHER: dict[str, Any] = {
    "provider_connections": int,
    "provider_messages": tuple[Rate, ...],
    "provider_recipients": tuple[Rate, ...],
}
"""What a rule for a provider may say besides: about all its sites together."""

PAUSE = "pause"


def covers(pattern: str, name: str) -> bool:
    """Whether a pattern is about a host or a domain; `*` stands for any characters."""
    return bool(name) and (name == pattern if "*" not in pattern else _compiled(pattern).fullmatch(name) is not None)


@lru_cache(4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split("*"))))
