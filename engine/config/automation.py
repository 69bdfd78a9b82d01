"""`[[automation]]` in the file of rules for sites: what is done, for a time, about replies that a server gives."""

import dataclasses
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

from engine.bounces.classes import CLASSES
from engine.bounces.patterns import LARGEST_EXPRESSION
from engine.config.document import Document
from engine.config.errors import ConfigError, nearest
from engine.regex import compiled
from engine.units import Duration, Rate

Act: TypeAlias = Literal["suspend", "slow", "use_source", "expire", "notify"]
Scope: TypeAlias = Literal["source", "site", "tenant", "provider"]

SHIPPED = Path(__file__).parent.parent / "shaping" / "automation.toml"
"""The automation that comes with Postroad."""

_MOST_STARS = 3
"""In a pattern: with more of them, to look for one takes long."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Automation:
    """One of them. Of the conditions all must hold that are written; of the values of one, any.

    ``after``: so many such replies within a time. ``share``: so many per cent of all that the site has said within the
    last ``within``, of at least ``least`` replies.
    """

    name: str
    sites: tuple[str, ...] = ()  # patterns of the names of hosts
    domains: tuple[str, ...] = ()  # patterns of the recipients' domains
    providers: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()  # beginnings of the reply's code: "421", "4"
    status: tuple[str, ...] = ()  # of RFC 3463: "4.7.28", "x.7.28"
    texts: tuple[str, ...] = ()  # as in bounce patterns
    match: tuple[str, ...] = ()  # POSIX extended regular expressions
    after: Rate = Rate("1/1m")
    share: int = 0
    least: int = 20
    within: Duration = Duration("10m")
    action: Act
    # On what it acts: the source at the site, the whole site, the tenant at the site, the source at all a provider's.
    scope: Scope = "source"
    lasts: Duration = Duration("1h")
    rate: float = 0.5  # of `slow`: the part of its rates that is left
    connections: float = 0.5  # the same of its connections
    use: str = ""  # the source that takes over, of `use_source`; empty: any other of its pool
    notify: bool = False  # whether the postmaster gets a letter too


MOST_COUNTED = 1000
"""Replies of which each one's time is kept."""

_CONDITIONS = ("classes", "codes", "status", "texts", "match")


@cache
def shipped() -> tuple[Automation, ...]:
    """ConfigError: somebody has edited it."""
    document = Document(SHIPPED.read_text(encoding="utf-8"), SHIPPED)
    found = read_automation(document)
    if document.problems:
        raise ConfigError(SHIPPED, document.problems)
    return found


def read_automation(document: Document, classes: Collection[str] = CLASSES) -> tuple[Automation, ...]:
    """The tables ``[[automation]]`` of a file; mistakes are noted in it. ``classes``: all that replies may have."""
    tables = document.tables.get("automation", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        document.problem("automation", "must be tables, [[automation]]")
        return ()
    return tuple(_read(document, tables, classes))


def _read(document: Document, tables: list[dict[str, Any]], classes: Collection[str]) -> Iterator[Automation]:
    for number, table in enumerate(tables):
        place = f"automation.{number}"
        before = len(document.problems)
        if "action" not in table:
            document.problem(f"{place}.action", "is required")
            continue
        named = {"name": f"{document.path.name} {number + 1}", **table}
        found: Automation = document.section(place, Automation, named)
        for key, text in _wrong(found, classes):
            document.problem(f"{place}.{key}", text)
        if len(document.problems) == before:
            yield found


def _wrong(one: Automation, classes: Collection[str]) -> Iterator[tuple[str, str]]:
    """What is wrong with one: the key, and what to write."""
    if not any(getattr(one, key) for key in _CONDITIONS):
        yield "action", f"needs a condition: {', '.join(_CONDITIONS)}"
    yield from (
        ("classes", f"there is no class {name}{nearest(name, classes)}") for name in one.classes if name not in classes
    )
    for text in one.texts:
        if not text.strip("* "):
            yield "texts", f"{text!r} is in every reply"
    for text in one.match:
        try:
            compiled(text, casemap=True, limit=LARGEST_EXPRESSION)
        except ValueError as error:
            yield "match", f"{text!r}: {error}"
    if one.scope == "provider" and (not one.providers or one.sites or one.domains):
        yield "scope", '"provider" needs providers, and neither sites nor domains'
    for key in ("sites", "domains"):
        if any(pattern.count("*") > _MOST_STARS for pattern in getattr(one, key)):
            yield key, f"a pattern has {_MOST_STARS} stars at most"
    yield from _wrong_amounts(one)


def _wrong_amounts(one: Automation) -> Iterator[tuple[str, str]]:
    if not 0 <= one.share <= 100:
        yield "share", "must be per cent, from 1 to 100"
    if one.after.most > MOST_COUNTED:
        yield "after", f"counts {MOST_COUNTED} replies at most; of more, write a share"
    if one.least < 1:
        yield "least", "must be at least 1"
    for key in ("within", "lasts"):
        if getattr(one, key) <= 0:
            yield key, "must be longer than nothing"
    for key in ("rate", "connections"):
        if not 0 < getattr(one, key) <= 1:
            yield key, "must be a part, such as 0.5"
    if one.use and one.action != "use_source":
        yield "use", 'goes together with action = "use_source"'
