"""What Postfix's maps become: routes for transports, and commands that fill the directory for aliases and mailboxes."""

import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from engine.cli.convert import main_cf
from engine.cli.convert.main_cf import MainCf

Note: TypeAlias = Callable[[str], None]

SERVER = "smart_host"
"""The setting for a server that takes mail by SMTP."""

_PROGRAM = re.compile(r'"?[|/:]')
"""What is no address: a command, a file, an :include:."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where mail for some recipients goes. ``to`` as `[[route]]` has it; empty: only the lane is said."""

    to: str
    lane: str
    key: str = ""  # the setting that says where to: SERVER, or that of a store
    place: str = ""  # empty: a lane that is there anyway
    source: str = ""


def routes(cf: MainCf, note: Note) -> list[Route]:
    """Of `transport_maps`, the most special first, and of where local mail goes."""
    found = []
    for setting in ("virtual_transport", "mailbox_transport", "local_transport"):
        if text := cf[setting] if setting in cf.given else "":
            way = _store(text)
            if way is not None:
                found.append(Route("", "local", way.key, way.place, setting))
                break
            if not text.startswith(("virtual", "local")):
                note(f"{setting} = {text}: mail goes into mailboxes of Postroad (docs/operating.md)")
    lanes: dict[str, str] = {}
    special = []
    for word in cf.words("transport_maps"):
        try:
            entries = cf.entries(word)
        except LookupError as error:
            note(f"transport_maps: {error}: write [[route]] rules")
            continue
        for pattern, value in entries.items():
            way = _transport(pattern, value, lanes)
            if way is None:
                note(f"transport_maps: {pattern} {value} was left out")
            else:
                special.append(way)
    return [*found, *sorted(special, key=lambda way: ("@" not in way.to, way.to.startswith("*")))]


def _transport(pattern: str, value: str, lanes: dict[str, str]) -> Route | None:
    to = f"*{pattern}" if pattern.startswith(".") else pattern
    kind, _, hop = value.partition(":")
    if kind in ("local", "virtual"):
        return Route(to, "local")
    if kind in ("smtp", "relay", "") and not hop:
        return Route(to, "remote")
    match = re.fullmatch(r"\[?([\w.-]+)\]?(?::(\d+))?", hop)
    if kind in ("smtp", "relay") and match:
        way = Route(to, "", SERVER, f"{match[1]}:{match[2] or 25}", "transport_maps")
    elif (store := _store(value)) is not None:
        way = Route(to, "", store.key, store.place, "transport_maps")
    else:
        return None
    lane = lanes.setdefault(f"{way.key} {way.place}", f"transport_{len(lanes) + 1}")
    return Route(to, lane, way.key, way.place, way.source)


def _store(value: str) -> Route | None:
    """``lmtp:unix:/path``, ``lmtp:inet:host:port`` or ``lmtp:host``."""
    kind, _, hop = value.partition(":")
    if kind != "lmtp":
        return None
    if hop.startswith("unix:"):
        path = hop.removeprefix("unix:")
        return Route("", "", "socket", path if path.startswith("/") else f"/var/spool/postfix/{path}")
    return Route("", "", "host", re.sub(r"[\[\]]", "", hop.removeprefix("inet:")))


def directory_commands(cf: MainCf, local: list[str], note: Note) -> str:
    """A script that adds accounts and aliases; `$POSTROAD` may say how the command is called."""
    lines = ["#!/bin/sh", "# Accounts and aliases, as Postfix had them. Each account asks for a password.",
             ': "${POSTROAD:=postroad}"', ""]  # fmt: skip
    lines += (f"$POSTROAD account add {shlex.quote(address)}" for address in _mailboxes(cf, note))
    aliases = _aliases(cf, local, note)
    lines += (f"$POSTROAD alias add {shlex.quote(name)} {shlex.join(targets)}" for name, targets in aliases)
    return "\n".join(lines) + "\n"


def _mailboxes(cf: MainCf, note: Note) -> Iterator[str]:
    for word in cf.words("virtual_mailbox_maps"):
        try:
            yield from (address for address in cf.entries(word) if not address.startswith("@"))
        except LookupError as error:
            note(f"virtual_mailbox_maps: {error}: add its accounts, or name a [directory] (docs/operating.md)")


def _aliases(cf: MainCf, local: list[str], note: Note) -> Iterator[tuple[str, list[str]]]:
    origin = cf["myorigin"] if cf["myorigin"] in local or not local else local[0]
    for setting in ("virtual_alias_maps", "alias_maps"):
        for word in cf.words(setting):
            try:
                entries = _of_aliases(cf, word) if setting == "alias_maps" else cf.entries(word)
            except LookupError as error:
                note(f"{setting}: {error}: `postroad alias add` (docs/operating.md)")
                continue
            for name, value in entries.items():
                yield from alias(name, value, origin, local, note)


def _of_aliases(cf: MainCf, word: str) -> dict[str, str]:
    """aliases(5) has colons behind the names. LookupError."""
    kind, _, name = word.removeprefix("proxy:").rpartition(":")
    if kind in ("", *main_cf.TEXT_MAPS):
        return dict(main_cf.aliases(cf.text_of(name)))
    return cf.entries(word)


def alias(name: str, value: str, origin: str, local: list[str], note: Note) -> Iterator[tuple[str, list[str]]]:
    targets = [target for target in re.split(r"\s*,\s*|\s+", value) if target]
    if not targets or any(_PROGRAM.match(target) for target in targets):
        if targets:
            note(f"the alias {name} leads to a program, a file or a list: {value}; a group, a filter or a Sieve script")
        return
    address = name if "@" in name else f"{name}@{origin}"
    if name in local:  # a virtual domain's own line says nothing
        return
    whole = [target.lstrip("\\") if "@" in target else f"{target.lstrip(chr(92))}@{origin}" for target in targets]
    if whole != [address]:
        yield address, whole
