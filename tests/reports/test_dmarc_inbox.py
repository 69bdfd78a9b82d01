"""Aggregate reports that came: each kept once, for a time, in bounded room, and nobody takes the room of all."""

import msgspec
import pytest

from engine.reports import dmarc_inbox as keeping
from engine.reports.dmarc_inbox import DmarcStore, KeptRow, kept
from engine.reports.received import parse
from engine.reports.unpacked import Unreadable
from tests.reports.dmarc_samples import DAY, aggregate

NOW = 1_800_000_000.0
KEEP = 30.0 * DAY


def one(identity="1", end=NOW - DAY, signed=("google.com",), **said):
    report = parse(aggregate(identity=identity, begin=int(end) - DAY, end=int(end), **said))
    return kept(report, "example.org", NOW, signed)


@pytest.fixture
def store(tmp_path):
    with DmarcStore.open(tmp_path) as opened:
        yield opened


def names(store, since=0.0):
    return [one.identity for one in store.reports(since)]


def test_each_once_the_oldest_first(store):
    assert store.put(one("2"), KEEP)
    assert store.put(one("1", NOW - 2 * DAY), KEEP)
    assert not store.put(one("2"), KEEP)
    assert names(store) == ["1", "2"]
    assert names(store, NOW - 1.5 * DAY) == ["2"]


def test_it_is_the_report_that_came(store):
    store.put(one(), KEEP)
    (found,) = store.reports()
    report = found.report
    assert (report.org_name, report.domain, report.policy) == ("google.com", "example.org", {"p": "quarantine"})
    assert [(record.source, record.count, record.dkim, record.spf) for record in report.records] == [
        ("192.0.2.1", 7, "pass", "fail"),
        ("2001:db8::9", 2, "fail", "fail"),
    ]
    assert report.records[0].signatures[0].domain == "example.org"


def test_another_signer_cannot_take_the_place_of_a_report(store):
    assert store.put(one(signed=("evil.example",)), KEEP)
    assert store.put(one(signed=("google.com",)), KEEP)
    assert len(names(store)) == 2


@pytest.mark.parametrize("end", [NOW - KEEP - 1, NOW + 3 * DAY])
def test_a_time_that_is_not_kept(store, end):
    assert not store.put(one(end=end), KEEP)
    assert names(store) == []


def test_what_is_old_goes_when_others_come(store):
    store.put(one("old"), KEEP)
    later = NOW + KEEP + DAY
    store.put(msgspec.structs.replace(one("new", later - DAY), received=later), KEEP)
    assert names(store) == ["new"]


def test_the_room_is_bounded(store, monkeypatch):
    monkeypatch.setattr(keeping, "MOST", 3)
    for number in range(6):
        store.put(one(str(number), NOW - DAY + number, signed=(f"{number}.example",)), KEEP)
    assert names(store) == ["3", "4", "5"]


def test_who_floods_loses_his_own_and_nobody_elses(store, monkeypatch):
    monkeypatch.setattr(keeping, "MOST_OF_ONE", 3)
    store.put(one("honest", NOW - 9 * DAY), KEEP)
    for number in range(20):
        store.put(one(f"flood {number}", NOW - DAY + number, signed=("evil.example",)), KEEP)
    assert names(store) == ["honest", "flood 17", "flood 18", "flood 19"]


def test_of_a_large_report_the_totals_are_kept(monkeypatch):
    monkeypatch.setattr(keeping, "LARGEST", 2_000)
    rows = tuple((f"2001:db8::{number:x}", 500 - number, "none", "pass", "fail") for number in range(1, 400))
    found = one(rows=rows)
    assert sum(count for _, count in found.rows) == sum(count for _, count, *_ in rows)
    assert len(found.rows) < 60
    assert found.rows[0] == (KeptRow("2001:db8::1", True, False, "none", "example.org", "example.org", ""), 499)
    assert found.rows[-1][0] == KeptRow("", True, False, "none")


def test_the_same_rows_are_one():
    found = one(rows=(("192.0.2.1", 3, "none", "pass", "pass"), ("192.0.2.1", 4, "PASS", "pass", "pass")))
    assert [count for _, count in found.rows] == [7]


def test_what_cannot_be_is_not_kept():
    with pytest.raises(Unreadable, match="a time that cannot be"):
        kept(parse(aggregate(begin=10, end=9)), "example.org", NOW)
