"""Counting: what several processes add is there once, in bounded room, until it is reported."""

from pathlib import Path

import msgspec
import pytest
import trio

from engine.reports import counts as counting
from engine.reports import tally as gathering
from engine.reports.counts import Counts, Gathered, Key, date, today
from engine.reports.rows import Observed
from engine.reports.tally import Tally
from engine.storage.environment import StorageError
from tests.reports.samples import PUBLISHED, ROW


def of(domain: str = "example.com", source: str = "192.0.2.1", **published: str) -> Observed:
    return Observed(
        msgspec.structs.replace(PUBLISHED, domain=domain, **published), msgspec.structs.replace(ROW, source=source)
    )


def gathered(*found: Observed, day: int = 7) -> Gathered:
    all_of_it = Gathered()
    for one in found:
        all_of_it.add(day, one)
    return all_of_it


@pytest.fixture
def counts(tmp_path: Path):
    with_it = Counts.open(tmp_path / "reports")
    yield with_it
    with_it.close()


def told(counts: Counts, key: Key) -> dict[str, int]:
    found = counts.read(key)
    assert found is not None
    return {row.source: count for row, count in found[1]}


def test_what_is_the_same_is_counted_together(counts: Counts) -> None:
    assert counts.write(gathered(of(), of(), of(source="192.0.2.2"))) == 0
    assert counts.write(gathered(of(), of("other.example", p="none"))) == 0
    keys = counts.due(8)
    assert [key.day for key in keys] == [7, 7]
    assert sorted([told(counts, key) for key in keys], key=len) == [{"192.0.2.1": 1}, {"192.0.2.1": 3, "192.0.2.2": 1}]


def test_days_are_told_apart_and_the_oldest_comes_first(counts: Counts) -> None:
    for day in (9, 7, 300):
        counts.write(gathered(of(), day=day))
    assert [key.day for key in counts.due(9)] == [7]
    assert [key.day for key in counts.due(301)] == [7, 9, 300]


def test_the_policy_is_the_one_that_was_seen_last(counts: Counts) -> None:
    counts.write(gathered(of(p="none")))
    counts.write(gathered(of(p="reject")))
    (key,) = counts.due(8)
    found = counts.read(key)
    assert found is not None
    assert found[0].p == "reject"


def test_what_is_claimed_is_never_read_again(counts: Counts) -> None:
    counts.write(gathered(of()))
    (key,) = counts.due(8)
    counts.claim(key)
    counts.write(gathered(of()))  # a process that was late
    assert counts.read(key) is None
    assert counts.claimed() == [(key, "example.com")]
    counts.unclaim(key)
    assert told(counts, key) == {"192.0.2.1": 2}
    counts.drop(key)
    assert (counts.due(8), counts.read(key), counts.claimed()) == ([], None, [])


def test_what_is_dropped_is_one_report_alone(counts: Counts) -> None:
    counts.write(gathered(of(), of("other.example")))
    one, other = counts.due(8)
    counts.drop(one)
    assert told(counts, other) == {"192.0.2.1": 1}


@pytest.mark.parametrize(
    ("limit", "lost"), [({"MOST_DOMAINS": 2}, 1), ({"MOST_ROWS": 3}, 1), ({"ROWS_OF_ONE": 1}, 1), ({}, 0)]
)
def test_room_is_bounded(counts: Counts, monkeypatch: pytest.MonkeyPatch, limit: dict[str, int], lost: int) -> None:
    for name, value in limit.items():
        monkeypatch.setattr(counting, name, value)
    found = [of("a.example"), of("b.example"), of("b.example", "192.0.2.2"), of("c.example")]
    assert counts.write(gathered(*found)) == lost
    assert counts.write(gathered(of("a.example"))) == 0  # what has a place keeps on being counted


def test_a_full_store(tmp_path: Path) -> None:
    counts = Counts.open(tmp_path / "reports", map_size=64 * 1024)
    with pytest.raises(StorageError):
        counts.write(gathered(*[of(source=f"2001:db8::{number:x}") for number in range(5000)]))
    counts.close()


def test_days_in_utc() -> None:
    assert [date(today(time)) for time in (0.0, 86_399.0, 86_400.0)] == ["1970-01-01", "1970-01-01", "1970-01-02"]


async def test_a_process_gathers_and_writes_now_and_then(tmp_path: Path, autojump_clock) -> None:
    tally = Tally(tmp_path / "reports", clock=lambda: 7)
    tally.count(of())
    assert not (tmp_path / "reports").exists()  # it is off
    tally.on = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tally.run)
        tally.count(of())
        while not tally.counts.due(8):
            await trio.sleep(gathering.EVERY)
        (key,) = tally.counts.due(8)
        assert told(tally.counts, key) == {"192.0.2.1": 1}
        tally.count(of())
        nursery.cancel_scope.cancel()
    tally.close()
    again = Counts.open(tmp_path / "reports")
    assert told(again, key) == {"192.0.2.1": 2}
    again.close()


async def test_memory_is_bounded_and_a_broken_store_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "reports").write_text("no folder")
    monkeypatch.setattr(gathering, "MOST_GATHERED", 3)
    tally = Tally(tmp_path / "reports")
    tally.on = True
    for number in range(10):
        tally.count(of(source=f"192.0.2.{number}"))
    tally.close()
    assert '"event":"reports-not-counted"' in capfd.readouterr().err.replace(" ", "")
