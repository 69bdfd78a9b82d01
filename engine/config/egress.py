"""`[egress.source.NAME]` and `[egress.pool.NAME]`: the addresses that mail leaves from, and how it is shared out."""

import datetime
import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec

from engine.config.document import Document
from engine.config.errors import nearest
from engine.config.files import check_readable
from engine.config.names import a_label

Family: TypeAlias = Literal["any", "ipv4", "ipv6"]

NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}", re.IGNORECASE)
"""What sources, pools, tenants, campaigns and smart hosts may be called."""


class WarmUp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many messages a new address may send, a figure for each of its first days."""

    start: datetime.date
    plan: tuple[int, ...]
    days: int = 1  # for which each figure counts
    per: Literal["source", "site"] = "source"  # whether each site gets so many

    def ceiling(self, day: datetime.date) -> int | None:
        """How many on that day (UTC); None: as many as it likes, for the plan is done."""
        past = (day - self.start).days
        if past < 0:
            return 0
        step = past // self.days
        return self.plan[step] if step < len(self.plan) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressSource:
    ipv4: str = ""  # addresses of this machine that connections are bound to, or those of the proxy
    ipv6: str = ""
    ehlo: str = ""  # the name that EHLO gives, which the addresses should have in DNS; empty: [server] hostname
    family: Family = "any"  # of the servers that may be reached from it
    socks5: str = ""  # "host:port" of a proxy (RFC 1928)
    socks5_login_file: Path | None = None  # the name in its first line, the password in the second
    haproxy: str = ""  # "host:port" of a proxy that speaks the PROXY protocol
    proxy_version: Literal[1, 2] = 2  # of that protocol
    warm_up: WarmUp | None = None

    def serves(self, family: Family) -> bool:
        """Whether servers of that family can be reached from it: by its addresses, where it has any."""
        addresses: Mapping[str, str] = {"ipv4": self.ipv4, "ipv6": self.ipv6}
        has_any = bool(self.ipv4 or self.ipv6)
        return self.family in ("any", family) and (not has_any or bool(addresses.get(family)))


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressPool:
    sources: dict[str, int] = field(default_factory=dict)  # by name: how large its share is
    family: Family = "any"
    full: Literal["next", "wait"] = "next"  # what becomes of mail whose source may send no more today


@dataclass(frozen=True, slots=True)
class Egress:
    sources: Mapping[str, EgressSource] = field(default_factory=dict)
    pools: Mapping[str, EgressPool] = field(default_factory=dict)


KINDS: dict[str, type] = {"source": EgressSource, "pool": EgressPool}


def read_egress(document: Document) -> Egress:
    tables = document.table("egress")
    for name in tables:
        if name not in KINDS:
            document.problem(f"egress.{name}", f"unknown table{nearest(name, KINDS)}")
    sources: dict[str, EgressSource] = dict(_named(document, tables, "source"))
    pools: dict[str, EgressPool] = dict(_named(document, tables, "pool"))
    for name, source in sources.items():
        _check_source(document, f"egress.source.{name}", source)
    for name, pool in pools.items():
        _check_pool(document, f"egress.pool.{name}", pool, sources)
    return Egress(sources, pools)


def _named(document: Document, tables: Mapping[str, object], kind: str) -> Iterator[tuple[str, Any]]:
    return named(document, f"egress.{kind}", document.table(kind, tables, f"egress.{kind}"), KINDS[kind])


def named(document: Document, place: str, tables: Mapping[str, object], kind: type) -> Iterator[tuple[str, Any]]:
    """The tables `[place.NAME]`, each as a value of that kind."""
    for name in tables:
        at = f"{place}.{name}"
        if not NAME.fullmatch(name):
            document.problem(at, "a name has letters, digits, _, . and -, and at most 63 of them")
        yield name, document.section(at, kind, document.table(name, tables, at))


def check_pool_name(document: Document, key: str, pool: str, egress: Egress) -> None:
    if pool and pool not in egress.pools:
        document.problem(key, f"there is no [egress.pool.{pool}]{nearest(pool, egress.pools)}")


def _check_source(document: Document, place: str, source: EgressSource) -> None:
    for key, version in (("ipv4", 4), ("ipv6", 6)):
        text = getattr(source, key)
        if text and not _is_address(text, version):
            example = "192.0.2.1" if version == 4 else "2001:db8::1"
            document.problem(f"{place}.{key}", f'{text!r} is no IPv{version} address; write it like "{example}"')
    if source.ehlo:
        _check_host(document, f"{place}.ehlo", source.ehlo)
    if source.warm_up is not None:
        _check_warm_up(document, f"{place}.warm_up", source.warm_up)
    if not source.serves("ipv4") and not source.serves("ipv6"):
        document.problem(f"{place}.family", f"no address of the source is of the family {source.family}")
    _check_proxy(document, place, source)


def _check_proxy(document: Document, place: str, source: EgressSource) -> None:
    for key in ("socks5", "haproxy"):
        text = getattr(source, key)
        if text and not re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+):[1-9]\d{0,4}", text):
            document.problem(f"{place}.{key}", f'{text!r} is no proxy; write it like "proxy.example.org:1080"')
    if source.socks5 and source.haproxy:
        document.problem(f"{place}.haproxy", "a source has one proxy, and socks5 names another")
    if source.socks5 and (source.ipv4 or source.ipv6):
        document.problem(f"{place}.socks5", "such a proxy picks the address itself: leave out ipv4 and ipv6")
    if source.haproxy and not (source.ipv4 or source.ipv6):
        document.problem(f"{place}.haproxy", "such a proxy is told which of its addresses to use: write ipv4 or ipv6")
    if source.socks5_login_file is not None:
        check_readable(document, f"{place}.socks5_login_file", source.socks5_login_file)
        if not source.socks5:
            document.problem(f"{place}.socks5_login_file", "goes together with socks5")


def _check_warm_up(document: Document, place: str, warm_up: WarmUp) -> None:
    if not warm_up.plan or min(warm_up.plan) < 1:
        document.problem(place, "plan must name how many messages on each day, such as [50, 100, 500]")
    elif list(warm_up.plan) != sorted(warm_up.plan):
        document.problem(place, "plan must not fall from one day to the next")
    if warm_up.days < 1:
        document.problem(place, "days must be at least 1")


def _check_pool(document: Document, place: str, pool: EgressPool, sources: Mapping[str, EgressSource]) -> None:
    if not pool.sources:
        document.problem(f"{place}.sources", "names none; write them with their shares, like { mx1 = 2, mx2 = 1 }")
    for name, weight in pool.sources.items():
        if name not in sources:
            document.problem(f"{place}.sources", f"there is no [egress.source.{name}]{nearest(name, sources)}")
        elif pool.family != "any" and not sources[name].serves(pool.family):
            document.problem(f"{place}.sources", f"{name} cannot reach servers by {pool.family}")
        if weight < 1:
            document.problem(f"{place}.sources", f"the share of {name} must be at least 1")


def _check_host(document: Document, key: str, name: str) -> None:
    try:
        if "." not in a_label(name):
            document.problem(key, f'{name!r} must be a whole name, like "mx1.example.org" (RFC 5321 4.1.1.1)')
    except ValueError as error:
        document.problem(key, str(error))


def _is_address(text: str, version: int) -> bool:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return False
    return found.version == version and "%" not in text and not found.is_multicast and not found.is_unspecified
