"""What operators see of others' reports: on mail in the name of our domains (DMARC), and on TLS with our servers."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import msgspec

from engine.directory import Account
from engine.mailbox import MessageGone
from engine.operations.moments import Moment, at
from engine.operations.operator import Operator
from engine.operations.reading import Reading
from engine.reports import received, tls_received
from engine.reports.inbox import Kept
from engine.reports.received import Record, Report
from engine.reports.tls_received import Policy, TlsReport
from engine.reports.unpacked import LIMIT, Form, NoReport, Unreadable, unpacked

T = TypeVar("T")

_REASONS = 3
"""Reasons of one kind of failure that are shown: servers word them differently."""


class DmarcSource(msgspec.Struct, frozen=True, kw_only=True, rename={"header_from": "from"}):
    """Messages in the name of a domain that came from one address. ``dkim`` and ``spf``: those that passed by these and
    were aligned with the domain in From.
    """

    domain: str
    source: str
    messages: int
    passed: int
    failed: int
    dkim: int
    spf: int
    disposition: tuple[str, ...]
    header_from: tuple[str, ...]
    signed_by: tuple[str, ...]
    reasons: tuple[str, ...]


class DmarcSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What one provider says of a domain. ``policy``: the domain's at that time."""

    org: str
    domain: str
    policy: str
    begin: Moment
    end: Moment
    messages: int
    passed: int
    errors: tuple[str, ...]


class Dmarc(msgspec.Struct, frozen=True):
    """Reports, and whoever sent mail: what failed first, then by number of messages."""

    reports: tuple[DmarcSummary, ...]
    sources: tuple[DmarcSource, ...]


class TlsResult(msgspec.Struct, frozen=True, kw_only=True, rename={"orgs": "from"}):
    """Sessions that ended in the same way at the same server of ours, as those in ``orgs`` say."""

    domain: str
    policy: str
    result: str
    server: str
    sessions: int
    orgs: tuple[str, ...]
    reason: tuple[str, ...]


class TlsSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What one sender says. ``signed_by``: the domains whose DKIM signatures were good."""

    org: str
    domains: tuple[str, ...]
    begin: Moment
    end: Moment
    succeeded: int
    failed: int
    signed_by: tuple[str, ...]


class Tls(msgspec.Struct, frozen=True):
    """Reports, and how sessions ended: what failed first."""

    reports: tuple[TlsSummary, ...]
    results: tuple[TlsResult, ...]


@dataclass(slots=True)
class Gathering(Generic[T]):
    """Reports as they are found, each once; ``errors``: what could not be read, and why."""

    form: Form
    parse: Callable[[bytes], tuple[object, T]]
    found: dict[object, T] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    @property
    def reports(self) -> list[T]:
        return list(self.found.values())

    def add(self, letters: Iterable[tuple[str, bytes]], *, may_be_other_mail: bool = False) -> None:
        """Take what is in them, each with its name."""
        for name, octets in letters:
            try:
                for key, report in map(self.parse, unpacked(octets, self.form)):
                    self.found.setdefault(key, report)
            except Unreadable as error:
                if not (may_be_other_mail and isinstance(error, NoReport)):
                    self.errors.append(f"{name}: {error}")


def dmarc_reports() -> Gathering[Report]:
    """To gather reports on mail."""
    return Gathering("XML", _dmarc)


def tls_reports() -> Gathering[TlsReport]:
    """To gather reports on TLS."""
    return Gathering("JSON", _tls)


def letters(read: Reading, by: Operator, account: Account) -> Iterator[tuple[str, bytes]]:
    """All messages of an account, which the server may take in and hand out meanwhile, each with what it is called."""
    by.check(account.address)
    with read() as mailboxes:
        for entry in mailboxes.messages(account.id):
            with suppress(MessageGone):
                yield f"message {entry.uid} of {account.address}", bounded(mailboxes.chunks(account.id, entry.uid))


def bounded(pieces: Iterable[bytes]) -> bytes:
    """So much of it that one which is too large is seen to be."""
    octets = b""
    for piece in pieces:
        octets += piece
        if len(octets) > LIMIT:
            break
    return octets


def dmarc(found: Sequence[Report], by: Operator) -> Dmarc:
    """What reports say, of the domains that are for the operator."""
    mine = [report for report in found if by.may(report.domain)]
    return Dmarc(tuple(map(summary, mine)), tuple(by_source(mine)))


def tls(kept: Iterable[Kept], by: Operator, domain: str = "") -> Tls:
    """What reports say that the server has taken in: of one domain, or of all that are for the operator."""
    mine = mine_of(kept, by, domain)
    return Tls(
        tuple(tls_summary(one.report, one.signed) for one in mine),
        tuple(by_failure([one.report for one in mine], domain)),
    )


def mine_of(kept: Iterable[Kept], by: Operator, domain: str = "") -> list[Kept]:
    """The reports on TLS that are for the operator; on one domain, if it is named. Forbidden."""
    if domain:
        by.check(domain)
    named = domain.lower()
    return [one for one in kept if all(map(by.may, one.report.domains)) and (not named or named in one.report.domains)]


def summary(report: Report) -> DmarcSummary:
    """What one report says in all."""
    return DmarcSummary(
        org=report.org_name,
        domain=report.domain,
        policy=report.policy.get("p", "none"),
        begin=at(report.begin),
        end=at(report.end),
        messages=_messages(report.records),
        passed=_messages(report.records, passed=True),
        errors=tuple(filter(None, report.errors)),
    )


def by_source(found: Iterable[Report]) -> list[DmarcSource]:
    """Whoever sent mail, and how much of it passed: what failed first, then by number of messages."""
    together: dict[tuple[str, str], list[Record]] = {}
    for report in found:
        for record in report.records:
            together.setdefault((report.domain, record.source), []).append(record)
    rows = [_source(domain, source, records) for (domain, source), records in together.items()]
    return sorted(rows, key=lambda row: (-row.failed, -row.messages, row.source))


def tls_summary(report: TlsReport, signed: Sequence[str] = ()) -> TlsSummary:
    """What one report says in all."""
    return TlsSummary(
        org=report.org_name,
        domains=tuple(report.domains),
        begin=at(report.begin),
        end=at(report.end),
        succeeded=report.succeeded,
        failed=report.failed,
        signed_by=tuple(signed),
    )


def by_failure(found: Iterable[TlsReport], domain: str = "") -> list[TlsResult]:
    """What failed in the same way at the same server, what failed first; and one for what did not fail."""
    together: dict[tuple[str, ...], TlsResult] = {}
    for report in found:
        for policy in report.policies:
            if domain and policy.domain != domain.lower():
                continue
            for result, server, count, reason in _results(policy):
                key = policy.domain, policy.type, result, server
                before = together.get(key) or _nothing_yet(policy, result, server)
                together[key] = msgspec.structs.replace(
                    before,
                    sessions=before.sessions + count,
                    orgs=_unique([*before.orgs, report.org_name]),
                    reason=_unique([*before.reason, reason])[:_REASONS],
                )
    return sorted(together.values(), key=lambda row: (row.result == "success", -row.sessions, row.domain))


def _nothing_yet(policy: Policy, result: str, server: str) -> TlsResult:
    return TlsResult(
        domain=policy.domain, policy=policy.type, result=result, server=server, sessions=0, orgs=(), reason=()
    )


def _dmarc(octets: bytes) -> tuple[object, Report]:
    """What makes a report one, and the report. Unreadable."""
    report = received.parse(octets)
    return (report.org_name, report.identity, report.domain, report.begin), report


def _tls(octets: bytes) -> tuple[object, TlsReport]:
    report = tls_received.parse(octets)
    return (report.org_name, report.identity, *report.domains, report.begin), report


def _messages(records: Iterable[Record], *, passed: bool = False) -> int:
    return sum(record.count for record in records if record.passed or not passed)


def _source(domain: str, source: str, records: Sequence[Record]) -> DmarcSource:
    count, passed = _messages(records), _messages(records, passed=True)
    return DmarcSource(
        domain=domain,
        source=source,
        messages=count,
        passed=passed,
        failed=count - passed,
        dkim=sum(record.count for record in records if record.dkim == "pass"),
        spf=sum(record.count for record in records if record.spf == "pass"),
        disposition=_unique(record.disposition for record in records),
        header_from=_unique(record.header_from for record in records),
        signed_by=_unique(each.domain for record in records for each in record.signatures if each.result == "pass"),
        reasons=_unique(reason for record in records for reason in record.reasons),
    )


def _unique(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, texts)))


def _results(policy: Policy) -> Iterator[tuple[str, str, int, str]]:
    """Result, server, sessions and reason. What a report counts as failed and does not explain comes too."""
    if policy.succeeded:
        yield "success", "", policy.succeeded, ""
    for failure in policy.failures:
        yield failure.result, failure.mx_hostname or failure.receiving_ip, failure.count, failure.reason
    unexplained = policy.failed - sum(failure.count for failure in policy.failures)
    if unexplained > 0:
        yield "unexplained", "", unexplained, ""
