"""`[unsubscribe]`, `[tls_reports]` and `[mta_sts]`: what the listener `web` has for everybody, without a login."""

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.config.document import Document
from engine.config.files import check_secrets
from engine.config.names import a_label
from engine.protocols.mta_sts import LONGEST_AGE, sts_policy
from engine.units import Duration, Rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsubscribe:
    secret_file: Path  # one secret a line, any of which may have signed a link
    max_age: Duration = Duration("52w")  # of a link


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsReports:
    keep: Duration = Duration("53w")
    per_network: Rate = Rate("100/1h")  # reports, or what is none


@dataclass(frozen=True, slots=True, kw_only=True)
class MtaSts:
    mode: Literal["testing", "enforce", "none"] = "testing"
    max_age: Duration = Duration("1w")
    mx: tuple[str, ...] = ()  # hosts, "*.example.org" among them; empty: ourselves
    domains: tuple[str, ...] = ()  # whose policy it is, as A-labels; empty: all that are local
    certificates: bool = True  # whether [acme] gets those that it is served with

    def hosts(self, local: Sequence[str]) -> tuple[str, ...]:
        """The names that it is served by (RFC 8461 3.3), where these domains are local."""
        return tuple(f"mta-sts.{domain}" for domain in self.domains or local)

    def policy(self, hostname: str) -> str:
        """The file, where that is our name."""
        return sts_policy(self.mx or (hostname,), self.mode, int(self.max_age))


@dataclass(frozen=True, slots=True)
class Open:
    """What there is of it."""

    unsubscribe: Unsubscribe | None = None
    tls_reports: TlsReports | None = None
    mta_sts: MtaSts | None = None


TABLES: dict[str, type] = {"unsubscribe": Unsubscribe, "tls_reports": TlsReports, "mta_sts": MtaSts}


def read_open(document: Document) -> Open:
    """Mistakes are noted in the document."""
    found = {name: document.section(name, kind) for name, kind in TABLES.items() if name in document.tables}
    for name in found:
        if "web" not in document.table("listen"):
            document.problem(name, 'is served by a listener: write [listen] web = "*:443"')
    if (unsubscribe := found.get("unsubscribe")) is not None:
        _check_unsubscribe(document, unsubscribe)
    if (reports := found.get("tls_reports")) is not None and reports.keep <= 0:
        document.problem("tls_reports.keep", "must be longer than nothing")
    if "mta_sts" in found:
        found["mta_sts"] = _checked(document, found["mta_sts"])
    return Open(**found)


def _check_unsubscribe(document: Document, unsubscribe: Unsubscribe) -> None:
    if "secret_file" in document.table("unsubscribe"):
        check_secrets(document, "unsubscribe.secret_file", unsubscribe.secret_file)
    if unsubscribe.max_age <= 0:
        document.problem("unsubscribe.max_age", "must be longer than nothing")
    if "suppression" not in document.tables:
        document.problem("unsubscribe", "puts people onto the suppression list: write a table [suppression]")


def _checked(document: Document, sts: MtaSts) -> MtaSts:
    if not 0 <= sts.max_age <= LONGEST_AGE:
        document.problem("mta_sts.max_age", "must be a year at most (RFC 8461 3.2)")
    hosts = tuple(_host(document, host) for host in sts.mx)
    return dataclasses.replace(sts, mx=hosts, domains=tuple(_domain(document, name) for name in sts.domains))


def _host(document: Document, text: str) -> str:
    """A name of a host, or a pattern whose star stands for one label (RFC 8461 4.1)."""
    bare = text.removeprefix("*.")
    try:
        host = a_label(bare.rstrip(".").lower())
    except ValueError as error:
        document.problem("mta_sts.mx", str(error))
        return text
    if not re.fullmatch(r"[a-z0-9.-]+", host) or "." not in host:
        document.problem("mta_sts.mx", f'{text!r} is no host; write it like "mx.example.org" or "*.example.org"')
    return text.removesuffix(bare) + host


def _domain(document: Document, text: str) -> str:
    try:
        return a_label(text.rstrip(".").lower())
    except ValueError as error:
        document.problem("mta_sts.domains", str(error))
        return text
