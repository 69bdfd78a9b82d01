"""Reports that came: each kept once, for a time, in bounded room."""

from pathlib import Path

import msgspec
import pytest

from engine.reports import inbox as keeping
from engine.reports import inbox_store
from engine.reports.inbox import Inbox, Kept, ReportStore
from engine.reports.tls_received import Failure, Policy, TlsReport
from engine.storage.environment import StorageError

DAY = 86_400
NOW = 1_800_000_000.0
KEEP = 30.0 * DAY


def report(identity: str = "1", end: float = NOW - DAY, **changes: object) -> TlsReport:
    policy = Policy("example.org", "sts", succeeded=3, failed=1, failures=(Failure("certificate-expired", 1),))
    whole = TlsReport("Google", "x@google.com", identity, int(end) - DAY, int(end), (policy,))
    return msgspec.structs.replace(whole, **changes)


def kept(one: TlsReport, now: float = NOW, *signed: str) -> Kept:
    return Kept(one, now, signed)


@pytest.fixture
def store(tmp_path: Path):
    with ReportStore.open(tmp_path) as opened:
        yield opened


def names(store: ReportStore, since: float = 0.0) -> list[str]:
    return [one.report.identity for one in store.reports(since)]


def test_each_once_the_oldest_first(store: ReportStore) -> None:
    assert store.put(kept(report("2", NOW - DAY)), KEEP)
    assert store.put(kept(report("1", NOW - 2 * DAY)), KEEP)
    assert not store.put(kept(report("2", NOW - DAY)), KEEP)
    assert names(store) == ["1", "2"]
    assert names(store, NOW - 1.5 * DAY) == ["2"]
    (first, _) = store.reports()
    assert first == kept(report("1", NOW - 2 * DAY))


def test_another_signer_cannot_take_the_place_of_a_report(store: ReportStore) -> None:
    assert store.put(kept(report(), NOW, "evil.example"), KEEP)
    assert store.put(kept(report(), NOW, "google.com"), KEEP)
    assert [one.signed for one in store.reports()] in (
        [("evil.example",), ("google.com",)],
        [("google.com",), ("evil.example",)],
    )


@pytest.mark.parametrize("end", [NOW - KEEP - 1, NOW + 3 * DAY, -5.0, 0.0])
def test_a_time_that_cannot_be(store: ReportStore, end: float) -> None:
    assert not store.put(kept(report(end=end)), KEEP)
    assert not store.put(kept(report(end=min(end, 0.0))), 1e12)
    assert names(store) == []


def test_what_is_old_goes_when_others_come(store: ReportStore) -> None:
    store.put(kept(report("old")), KEEP)
    later = NOW + KEEP + DAY
    store.put(kept(report("new", later - DAY), later), KEEP)
    assert names(store) == ["new"]


def test_the_room_is_bounded(store: ReportStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "MOST", 3)
    for number in range(6):
        store.put(kept(report(str(number), NOW - DAY + number)), KEEP)
    assert names(store) == ["3", "4", "5"]


def test_of_a_large_report_the_totals_are_kept(store: ReportStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "LARGEST", 300)
    store.put(kept(report(org_name="x" * 90)), KEEP)
    (found,) = store.reports()
    assert (found.report.succeeded, found.report.failed) == (3, 1)
    assert found.report.policies[0].failures == ()
    assert not store.put(kept(report("2", org_name="x" * 400)), KEEP)


def test_many_are_read_bit_by_bit(store: ReportStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox_store, "PAGE", 3)
    for number in range(10):
        store.put(kept(report(str(number), NOW - DAY + number)), KEEP)
    assert names(store) == [str(number) for number in range(10)]


def test_a_store_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        ReportStore.open(tmp_path / "file")
    with pytest.raises(StorageError):
        ReportStore.open(tmp_path / "nowhere", read_only=True)


def test_it_is_opened_when_the_first_one_comes(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    inbox.close()
    assert not list(tmp_path.iterdir())
    import time

    assert inbox.take(report(end=time.time() - DAY), KEEP, signed=("google.com",), identity="id")
    inbox.close()
    with ReportStore.open(tmp_path, read_only=True) as store:
        assert [one.signed for one in store.reports()] == [("google.com",)]
