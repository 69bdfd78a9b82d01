"""Sessions with other servers as they count for reports on TLS (RFC 8460 4): rows, their store, and who counts."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec

from engine.net.dns import Answer, Ask, DnsTrouble, side_by_side
from engine.policies.results import TlsResult
from engine.protocols.tls_reporting import record_name, report_uris
from engine.reports.counts import DayCounts, Gathered, today
from engine.reports.rows import LONGEST, Seen
from engine.reports.tally import Gathering

LINES = 64
"""Lines of a policy, and patterns for its hosts, that are told."""

SIDE_BY_SIDE = 50
"""Questions to the DNS at a time."""


class Wanted(msgspec.Struct, frozen=True, array_like=True):
    """A domain that wants reports. ``rua`` is empty where the DNS could not say yet."""

    domain: str
    rua: str = ""


class SessionRow(msgspec.Struct, frozen=True, array_like=True):
    """Sessions that are told together, named as in TlsResult. Of those that were as they should be, no ends."""

    policy_type: str
    policy: tuple[str, ...] = ()
    mx_patterns: tuple[str, ...] = ()
    result: str = ""
    reason: str = ""
    sending_ip: str = ""
    mx_hostname: str = ""
    mx_helo: str = ""
    receiving_ip: str = ""


class SessionCounts(DayCounts[Wanted, SessionRow]):
    """The store."""

    published = msgspec.msgpack.Decoder(Wanted)
    row = msgspec.msgpack.Decoder(SessionRow)

    def plain(self, row: SessionRow) -> SessionRow:
        """What failed, without the ends: a server that has another name each time leaves the totals right."""
        return SessionRow(row.policy_type, result=row.result)


class SessionTally(Gathering[Wanted, SessionRow]):
    """Counts for the domains that ask for it."""

    kind = SessionCounts

    def __init__(self, path: Path, ask: Callable[[], Ask], clock: Callable[[], int] = today) -> None:
        super().__init__(path, clock)
        self._ask = ask

    def heard(self, result: TlsResult) -> None:
        """One session, or one that did not come about."""
        if self.on:
            self.count(seen(result))

    async def _wanted(self, gathered: Gathered[Wanted, SessionRow]) -> Gathered[Wanted, SessionRow]:
        """Those of domains with a record. Who has none takes no room on the disk."""
        if not gathered.rows:
            return gathered
        domains, ask = list({domain for _, domain in gathered.published}), self._ask()
        rua: dict[str, str | None] = {}
        for start in range(0, len(domains), SIDE_BY_SIDE):
            some = domains[start : start + SIDE_BY_SIDE]
            rua |= zip(some, await side_by_side([partial(asked_for, ask, one) for one in some]), strict=True)
        wanted: Gathered[Wanted, SessionRow] = Gathered()
        for (day, domain), published in gathered.published.items():
            if (uris := rua[domain]) != "":
                wanted.published[day, domain] = Wanted(domain, uris) if uris else published
        for (day, domain, row), count in gathered.rows.items():
            if (day, domain) in wanted.published:
                wanted.rows[day, domain, row] = count
        return wanted


async def asked_for(ask: Ask, domain: str) -> str | None:
    """Where reports on a domain go: its rua=, empty where it wants none; None where the DNS would not say."""
    name = record_name(domain)
    outcome = await ask(name, "TXT") if len(name) <= 253 else None
    if isinstance(outcome, DnsTrouble):
        return None
    return report_uris(outcome.records) if isinstance(outcome, Answer) else ""


def seen(result: TlsResult) -> Seen[Wanted, SessionRow]:
    """A result as it is counted."""
    lines, patterns = _kept_all(result.policy), _kept_all(result.mx_patterns)
    if not result.failed:
        return Seen(Wanted(result.domain), SessionRow(result.policy_type, lines, patterns))
    ends = (result.reason, result.sending_ip, result.mx_hostname, result.mx_helo, result.receiving_ip)
    row = SessionRow(result.policy_type, lines, patterns, result.result, *map(_kept, ends))
    return Seen(Wanted(result.domain), row)


def _kept_all(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(_kept, texts[:LINES]))


def _kept(text: str) -> str:
    """As it can be stored, and written as JSON."""
    return text[:LONGEST].encode(errors="replace").decode()
