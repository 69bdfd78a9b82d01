"""What others have reported, over time: days, results, who may see it, and what strangers write into it."""

import dataclasses

import msgspec
import pytest

from engine.operations import reported
from engine.operations.operator import Forbidden, Operator
from engine.reports.dmarc_inbox import kept
from engine.reports.inbox import Kept
from engine.reports.received import parse
from engine.reports.tls_received import Failure, Policy, TlsReport
from tests.reports.dmarc_samples import DAY, aggregate

NOW = 1_800_000_000.0
TODAY = int(NOW) // DAY * DAY
ROOT = Operator("root")
SOME = Operator("admin@one.example", frozenset({"one.example"}))


def report(domain="one.example", day=1, ours="", **said):
    octets = aggregate(domain, begin=TODAY - day * DAY, **said)
    return kept(parse(octets), ours or domain, NOW, ("google.com",))


def tls(*policies, day=1, org="Google"):
    begin = TODAY - day * DAY
    return Kept(TlsReport(org, "", "1", begin, begin + DAY - 1, policies), NOW, ("google.com",))


def lines(charts, name):
    return {line.name: line.values for one in charts if one.name == name for line in one.series}


def test_mail_is_counted_on_its_day_by_what_it_passed():
    rows = (
        ("192.0.2.1", 1, "none", "pass", "pass"), ("192.0.2.2", 2, "none", "pass", "fail"),
        ("192.0.2.3", 4, "none", "fail", "pass"), ("192.0.2.4", 8, "reject", "fail", "fail"),
    )  # fmt: skip
    times, charts = reported.dmarc_days([report(rows=rows), report(day=3, rows=rows[:1])], 5, NOW)
    assert times == [TODAY - 4 * DAY, TODAY - 3 * DAY, TODAY - 2 * DAY, TODAY - DAY, TODAY, TODAY + DAY]
    assert lines(charts, "dmarc-results") == {
        "both": (0, 1, 0, 1, 0), "dkim": (0, 0, 0, 2, 0), "spf": (0, 0, 0, 4, 0), "failed": (0, 0, 0, 8, 0),
    }  # fmt: skip
    assert lines(charts, "dmarc-dispositions") == {
        "none": (0, 1, 0, 7, 0), "quarantine": (0,) * 5, "reject": (0, 0, 0, 8, 0),
    }  # fmt: skip


def test_who_reports():
    found = reported.dmarc_reporters([report(), report(day=2), report(org="tiny.example", rows=())])
    assert [
        dataclasses.astuple(one) if dataclasses.is_dataclass(one) else msgspec.structs.astuple(one) for one in found
    ] == [
        ("google.com", ("google.com",), 2, 18, 4),
        ("tiny.example", ("google.com",), 1, 0, 0),
    ]


def test_who_sees_reports_on_whom():
    all_of_them = [
        report(),
        report("two.example"),
        report("news.one.example", ours="one.example"),
        report("sub.one.example"),
    ]
    assert len(reported.dmarc_of(all_of_them, ROOT)) == 4
    assert [one.domain for one in reported.dmarc_of(all_of_them, SOME)] == ["one.example", "news.one.example"]
    assert [one.domain for one in reported.dmarc_of(all_of_them, ROOT, "Two.example")] == ["two.example"]
    with pytest.raises(Forbidden):
        reported.dmarc_of(all_of_them, SOME, "two.example")
    on_tls = [tls(Policy("one.example", "sts", succeeded=1)), tls(Policy("two.example", "sts", succeeded=1))]
    assert len(reported.tls_of(on_tls, SOME)) == 1
    with pytest.raises(Forbidden):
        reported.tls_of(on_tls, SOME, "two.example")


def test_sessions_are_counted_by_result_and_by_policy():
    failures = (Failure("certificate-expired", 2), Failure("certificate-expired", 1), Failure("tlsa-invalid", 4))
    kept_ones = [
        tls(Policy("one.example", "sts", succeeded=10, failed=9, failures=failures)),
        tls(Policy("one.example", "no-policy-found", succeeded=5), Policy("two.example", "sts", succeeded=70), day=0),
    ]
    _, charts = reported.tls_days(kept_ones, 2, NOW)
    assert lines(charts, "tls-received") == {
        "success": (10, 75), "certificate-expired": (3, 0), "tlsa-invalid": (4, 0), "unexplained": (2, 0),
    }  # fmt: skip
    assert lines(charts, "tls-received-policies") == {"sts": (9, 0), "tlsa": (0, 0), "no-policy-found": (0, 0)}
    _, charts = reported.tls_days(kept_ones, 2, NOW, "one.example")
    assert lines(charts, "tls-received")["success"] == (10, 5)


def test_what_a_stranger_makes_up_has_no_line_of_its_own():
    failures = tuple(Failure(f"made-up-{number}", 1) for number in range(500))
    _, charts = reported.tls_days([tls(Policy("one.example", "x" * 200, failed=500, failures=failures))], 2, NOW)
    assert lines(charts, "tls-received") == {"success": (0, 0), "unexplained": (500, 0)}
    assert lines(charts, "tls-received-policies")["no-policy-found"] == (500, 0)


def test_what_is_about_another_time_is_left_out():
    _, charts = reported.dmarc_days([report(day=40), report(day=-1)], 31, NOW)
    assert not any(any(values) for values in lines(charts, "dmarc-results").values())


def test_for_programs():
    told = reported.told(*reported.dmarc_days([report()], 3, NOW))
    assert len(told.times) == 4
    assert [one.name for one in told.charts] == ["dmarc-results", "dmarc-dispositions"]
