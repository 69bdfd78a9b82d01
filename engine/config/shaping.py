"""`[shaping]`, and the file that it names: rules about how much mail goes to which sites, and how."""

import dataclasses
import datetime
import re
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from engine.bounces.classes import CLASSES
from engine.config.automation import read_automation, shipped
from engine.config.document import Document
from engine.config.errors import ConfigError, nearest
from engine.config.names import a_label
from engine.config.rules import ABOUT, FOR_EVER, KINDS, PAUSE, TOGETHER, VALUES, Kind, Place, Provider, Rule, Rules
from engine.config.tables import NOWHERE, Shaping

SHIPPED = Path(__file__).parent.parent / "shaping" / "providers.toml"
"""The rules that come with Postroad."""

_MOST_STARS = 3
"""In a pattern: with more of them, to look for one takes long."""

_AT_LEAST_ONE = ("connections", "provider_connections", "messages_per_connection", "recipients_per_transaction")

_NOT_NOTHING = (*(name for name in VALUES if name.endswith("_timeout")), "expire")

_TABLES = (*KINDS, "automation")

_LISTS = {"mx": tuple[str, ...], "domains": tuple[str, ...]}


def read_rules(document: Document, shaping: Shaping, classes: Collection[str]) -> Rules:
    """The rules that hold. Mistakes in their file are noted with those in ``document``.

    ``classes``: all that replies may have.
    """
    before = _shipped() if shaping.providers else Rules()
    if shaping.file == NOWHERE:
        return before
    try:
        inner = Document(document.read(shaping.file), shaping.file)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        document.problem("shaping.file", f"cannot read {shaping.file}: {reason}")
        return before
    except ConfigError as error:
        document.problems += [dataclasses.replace(one, path=error.path) for one in error.problems]
        return before
    rules = _read(inner, before, classes)
    document.problems += [dataclasses.replace(one, path=inner.path) for one in inner.problems]
    return rules


@cache
def _shipped() -> Rules:
    """ConfigError: somebody has edited it."""
    document = Document(SHIPPED.read_text(), SHIPPED)
    rules = _read(document, Rules(automation=shipped()), CLASSES)
    if document.problems:
        raise ConfigError(SHIPPED, document.problems)
    return rules


def _read(document: Document, before: Rules, classes: Collection[str]) -> Rules:
    for name in document.tables:
        if name not in _TABLES:
            document.problem(name, f"unknown table{nearest(name, _TABLES)}")
    providers = {**before.providers, **_providers(document, before.providers)}
    automation = (*before.automation, *read_automation(document, classes))
    return Rules((*before.rules, *_in_order(document)), providers, automation)


def _in_order(document: Document) -> Iterator[Rule]:
    """All rules of the file, as they stand in it."""
    if "default" in document.tables:
        yield _rule(document, "default", document.table("default"), Rule("default"))
    for name in document.table("source"):
        table = document.table(name, document.table("source"), f"source.{name}")
        yield _rule(document, f"source.{name}", table, Rule("source", source=name))
    for kind in ABOUT:
        for name in document.table(kind):
            yield from _rules_about(document, kind, name)


def _rules_about(document: Document, kind: Kind, name: str) -> Iterator[Rule]:
    """What a table says, and those below it for single sources."""
    place = f"{kind}.{name}"
    table = document.table(name, document.table(kind), place)
    about = Rule(kind, name if kind == "provider" else _pattern(document, place, name))
    own = {key: value for key, value in table.items() if key != "source" and key not in _lists_of(kind)}
    yield _rule(document, place, own, about)
    for source in document.table("source", table, f"{place}.source"):
        at = f"{place}.source.{source}"
        within = document.table(source, table["source"], at)
        yield _rule(document, at, within, dataclasses.replace(about, source=source))


def _lists_of(kind: Kind) -> tuple[str, ...]:
    return tuple(_LISTS) if kind == "provider" else ()


def _providers(document: Document, known: Mapping[str, Provider]) -> dict[str, Provider]:
    """Those of the file. One that is known already keeps what is not written anew."""
    found = {}
    for name in document.table("provider"):
        place = f"provider.{name}"
        table = document.table(name, document.table("provider"), place)
        lists = document.values(place, {key: table[key] for key in _LISTS if key in table}, _LISTS)
        lists = {key: tuple(_pattern(document, f"{place}.{key}", one) for one in some) for key, some in lists.items()}
        if name not in known and not any(key in table for key in _LISTS):
            hint = nearest(name, known)
            hint = hint if "did you mean" in hint else ""
            document.problem(place, f'says neither mx = ["*.example.net"] nor domains = ["example.org"]{hint}')
        found[name] = dataclasses.replace(known.get(name, Provider(name)), **lists)
    return found


def _pattern(document: Document, place: str, text: str) -> str:
    """The pattern as names are compared with it."""
    plain = text.rstrip(".").lower()
    if plain.count("*") > _MOST_STARS:
        document.problem(place, f"{text!r} has more than {_MOST_STARS} stars")
    elif "*" in plain:
        if not re.fullmatch(r"[a-z0-9_.*-]+", plain) or ".." in plain:
            document.problem(place, f'{text!r} is no pattern; write it like "*.example.org"')
    elif ":" not in plain:  # else it is the address of a server
        try:
            return a_label(plain)
        except ValueError as error:
            document.problem(place, str(error))
    return plain


def _rule(document: Document, place: str, table: Mapping[str, Any], about: Rule) -> Rule:
    own = {key: value for key, value in table.items() if key != PAUSE}
    known = VALUES | TOGETHER if about.kind == "provider" else VALUES
    for key in own.keys() - known.keys():
        text = f"unknown key{nearest(key, [*known, PAUSE, *_lists_of(about.kind)])}"
        document.problem(f"{place}.{key}", "goes into [provider.NAME]" if key in TOGETHER else text)
    values = document.values(place, {key: own[key] for key in own if key in known}, known)
    for key, text in _wrong(values):
        document.problem(f"{place}.{key}", text)
    if PAUSE in table:
        values[PAUSE] = _until(document, f"{place}.{PAUSE}", table[PAUSE])
    places = {key: Place(document.path, document.line(f"{place}.{key}")) for key in values}
    return dataclasses.replace(about, values=values, places=places)


def _wrong(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield from ((key, "must be at least 1") for key in _AT_LEAST_ONE if values.get(key, 1) < 1)
    yield from ((key, "must be longer than nothing") for key in _NOT_NOTHING if values.get(key, 1) <= 0)
    if not values.get("retry", ("5m",)):
        yield "retry", 'must name at least one pause, such as ["5m"]'
    for key in ("messages", "recipients", "provider_messages", "provider_recipients"):
        rates = values.get(key, ())
        if len({rate.period for rate in rates}) < len(rates):
            yield key, "has two rates over the same time"


def _until(document: Document, place: str, value: object) -> float:
    """Unix time at which a pause ends; 0: there is none."""
    if isinstance(value, bool):
        return FOR_EVER if value else 0.0
    if isinstance(value, datetime.datetime):
        return value.timestamp()
    document.problem(place, "must be true, false, or a time, like 2026-03-01T08:00:00Z")
    return 0.0
