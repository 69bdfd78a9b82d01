"""What others have reported, over time: on mail in the name of our domains (DMARC), and on TLS with our servers."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import msgspec

from engine.figures.charts import Chart, Series, Unit
from engine.figures.spans import days
from engine.operations import figures
from engine.operations.figures import Figures
from engine.operations.moments import at
from engine.operations.operator import Operator
from engine.operations.reports import Dmarc, dmarc, mine_of
from engine.reports.dmarc_inbox import KeptDmarc, KeptRow
from engine.reports.inbox import Kept

DAY = 86_400

RESULTS: Mapping[tuple[bool, bool], str] = {
    (True, True): "both", (True, False): "dkim", (False, True): "spf", (False, False): "failed",
}  # fmt: skip
"""By what mail passed, that is by which it was aligned with the domain in From: DKIM, SPF."""

DISPOSITIONS = ("none", "quarantine", "reject")

POLICIES = ("sts", "tlsa", "no-policy-found")


class Reporter(msgspec.Struct, frozen=True):
    """Who has sent reports: as they call themselves, and whose signatures were on them. ``counted``: messages, or
    sessions, of which so many ``failed``."""

    org: str
    signed_by: tuple[str, ...]
    reports: int
    counted: int
    failed: int


def since(count: int, now: float) -> float:
    """When so many days in UTC began, today the last."""
    return float(days(count, now)[0])


def dmarc_of(kept: Iterable[KeptDmarc], by: Operator, domain: str = "") -> list[KeptDmarc]:
    """The reports that are for the operator; on one domain of ours and what is below it, if it is named. Forbidden."""
    if domain:
        by.check(domain)
    return [one for one in kept if by.may(one.ours) and (not domain or one.ours == domain.lower())]


def dmarc_summed(kept: Sequence[KeptDmarc]) -> Dmarc:
    """Who sent mail, and how much of it passed: what failed first."""
    return dmarc([one.report for one in kept], Operator(""))


def dmarc_days(kept: Iterable[KeptDmarc], count: int, now: float) -> tuple[list[int], tuple[Chart, ...]]:
    """The days, and mail on each of them: by what it passed, and by what was done with it."""
    table = _Days(count, now)
    for one in kept:
        for row, messages in one.rows:
            table.add(one.begin, one.end, f"dmarc-results/{_result(row)}", messages)
            table.add(one.begin, one.end, f"dmarc-dispositions/{row.disposition}", messages)
    return table.times, (
        table.chart("dmarc-results", "messages", tuple(RESULTS.values())),
        table.chart("dmarc-dispositions", "messages", DISPOSITIONS),
    )


def dmarc_reporters(kept: Iterable[KeptDmarc]) -> list[Reporter]:
    """Who has reported, those first who have most to tell."""
    rows = ((one.org, one.signed, sum(count for _, count in one.rows), _failed(one)) for one in kept)
    return _reporters(rows)


def tls_of(kept: Iterable[Kept], by: Operator, domain: str = "") -> list[Kept]:
    """The reports that are for the operator; on one domain, if it is named. Forbidden."""
    return mine_of(kept, by, domain)


def tls_days(kept: Iterable[Kept], count: int, now: float, domain: str = "") -> tuple[list[int], tuple[Chart, ...]]:
    """The days, and sessions on each of them: by how they ended, and of those that failed by policy."""
    table, results = _Days(count, now), dict[str, None]()
    for one in kept:
        begin, end = one.report.begin, one.report.end
        for policy in one.report.policies:
            if domain and policy.domain != domain.lower():
                continue
            table.add(begin, end, "tls-received/success", policy.succeeded)
            table.add(begin, end, f"tls-received-policies/{_policy(policy.type)}", policy.failed)
            told = {failure.result: 0 for failure in policy.failures}
            for failure in policy.failures:
                told[failure.result] += failure.count
            told["unexplained"] = max(policy.failed - sum(told.values()), 0)
            for result, sessions in told.items():
                results[_result_type(result)] = None
                table.add(begin, end, f"tls-received/{_result_type(result)}", sessions)
    known = sorted(name for name in results if table.has(f"tls-received/{name}"))
    return table.times, (
        table.chart("tls-received", "sessions", ("success", *known)),
        table.chart("tls-received-policies", "sessions", POLICIES),
    )


def tls_reporters(kept: Iterable[Kept]) -> list[Reporter]:
    """Who has reported, those first who have most to tell."""
    rows = (
        (one.report.org_name, one.signed, one.report.succeeded + one.report.failed, one.report.failed) for one in kept
    )
    return _reporters(rows)


def told(times: Sequence[int], charts: Iterable[Chart]) -> Figures:
    """Charts by day for programs."""
    return Figures(
        "days",
        tuple(map(at, times)),
        tuple(
            figures.Chart(
                one.name, one.form, one.unit, tuple(figures.Series(line.name, line.values) for line in one.series)
            )
            for one in charts
        ),
    )


RESULT_TYPES = frozenset((
    "starttls-not-supported", "certificate-host-mismatch", "certificate-expired", "certificate-not-trusted",
    "validation-failure", "tlsa-invalid", "dnssec-invalid", "dane-required", "sts-policy-fetch-error",
    "sts-policy-invalid", "sts-webpki-invalid", "unexplained",
))  # fmt: skip
"""RFC 8460 4.3, and what a report counts as failed and does not explain."""


class _Days:
    """Counts by day and name. What a report tells is of the day that is in the middle of its time."""

    def __init__(self, count: int, now: float) -> None:
        self.times = days(count, now)
        self._counts: dict[str, dict[int, int]] = {}

    def add(self, begin: int, end: int, name: str, count: int) -> None:
        day = (begin + end) // 2 // DAY * DAY
        if count and self.times[0] <= day < self.times[-1]:
            of_name = self._counts.setdefault(name, {})
            of_name[day] = of_name.get(day, 0) + count

    def has(self, name: str) -> bool:
        return name in self._counts

    def chart(self, name: str, unit: Unit, lines: Iterable[str]) -> Chart:
        begins = [begin for begin, _ in pairwise(self.times)]
        known = {line: self._counts.get(f"{name}/{line}", {}) for line in lines}
        series = (Series(line, tuple(of.get(day, 0) for day in begins)) for line, of in known.items())
        return Chart(name, "stack", unit, tuple(series))


def _result(row: KeptRow) -> str:
    return RESULTS[row.dkim, row.spf]


def _failed(one: KeptDmarc) -> int:
    return sum(count for row, count in one.rows if not (row.dkim or row.spf))


def _policy(said: str) -> str:
    return said if said in POLICIES else "no-policy-found"


def _result_type(said: str) -> str:
    """What strangers write makes no lines of its own."""
    return said if said in RESULT_TYPES else "unexplained"


def _reporters(rows: Iterable[tuple[str, tuple[str, ...], int, int]]) -> list[Reporter]:
    found: dict[tuple[str, tuple[str, ...]], Reporter] = {}
    for org, signed, counted, failed in rows:
        before = found.get((org, signed)) or Reporter(org, signed, 0, 0, 0)
        found[org, signed] = Reporter(org, signed, before.reports + 1, before.counted + counted, before.failed + failed)
    return sorted(found.values(), key=lambda one: (-one.counted, one.org))
