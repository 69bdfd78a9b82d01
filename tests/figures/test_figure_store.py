"""Rows of minutes, ten minutes and hours: each counts all, once, whatever is killed, and there are never too many."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from engine.figures import store as kept
from engine.figures.gathering import Level, Mark
from engine.figures.store import HOUR, MINUTE, STEPS, TEN, FigureStore
from engine.storage.environment import StorageError
from tests.figures.figure_samples import gathered

BEGIN = 1_800_000_000.0  # a whole hour
IN = "arrived/accepted/in"


@pytest.fixture
def store(tmp_path: Path):
    with FigureStore.open(tmp_path) as opened:
        yield opened


def counts(store: FigureStore, step: int, key: str = IN) -> dict[int, int]:
    """By the seconds since BEGIN."""
    rows = store.rows(step, 0, 2**31)
    return {int(when - BEGIN): row.counts[key] for when, row in rows if key in row.counts}


def total(store: FigureStore, step: int, key: str = IN) -> int:
    return sum(counts(store, step, key).values())


def test_each_step_has_what_came_in_it(store):
    for minute in range(70):
        begin = BEGIN + minute * 60
        store.add(begin, begin + 60, gathered({IN: 2}), {"a": Mark(1.0, {IN: 2})}, 100)
    assert counts(store, HOUR) == {0: 120, 3600: 20}
    assert counts(store, TEN) == dict.fromkeys(range(0, 4200, 600), 20)
    assert counts(store, MINUTE) == dict.fromkeys(range(0, 4200, 60), 2)
    assert {row.seen for _, row in store.rows(MINUTE, 0, 2**31)} == {60.0}
    assert store.rows(HOUR, BEGIN + 1, BEGIN + 3600) == store.rows(HOUR, BEGIN + 3600, 2**31)


@pytest.mark.parametrize(
    ("begin", "end", "count", "expected"),
    [
        (0.02, 60.01, 7, {0: 7}),
        (59.0, 60.5, 3, {0: 2, 60: 1}),
        (30.0, 150.0, 4, {0: 1, 60: 2, 120: 1}),
        (0.0, 600.0, 3, {60: 1, 240: 1, 480: 1}),
        (10.0, 10.0, 5, {0: 5}),
        (90.0, 30.0, 5, {0: 5}),  # the clock was set back
    ],
)
def test_a_time_over_several_minutes_is_spread_and_nothing_is_lost(store, begin, end, count, expected):
    store.add(BEGIN + begin, BEGIN + end, gathered({IN: count}), {}, 100)
    assert sum(counts(store, MINUTE).values()) == count
    if count != 3 or end != 600.0:
        assert counts(store, MINUTE) == expected
    for step in STEPS:
        assert total(store, step) == count


def test_a_long_silence_makes_no_rows_without_end(store):
    store.add(BEGIN - 90 * 86_400, BEGIN, gathered({IN: 1_000_000}), {}, 10_000)
    assert len(store.rows(MINUTE, 0, 2**31)) <= kept.SPREAD + 1
    for step in STEPS:
        assert total(store, step) == 1_000_000


def test_the_oldest_rows_go_when_there_are_too_many(store, monkeypatch):
    monkeypatch.setattr(kept, "ROWS", {MINUTE: 3, TEN: 2})
    for minute in range(40):
        store.add(BEGIN + minute * 60, BEGIN + minute * 60 + 60, gathered({IN: 1}), {}, 5)
    assert sorted(counts(store, MINUTE)) == [37 * 60, 38 * 60, 39 * 60]
    assert sorted(counts(store, TEN)) == [1200, 1800]
    assert counts(store, HOUR) == {0: 40}


def test_a_clock_that_jumps_ahead_deletes_nothing(store):
    store.add(BEGIN, BEGIN + 60, gathered({IN: 1}), {}, 100)
    store.add(BEGIN + 10 * 366 * 86_400, BEGIN + 10 * 366 * 86_400 + 60, gathered({IN: 1}), {}, 100)
    store.add(BEGIN + 60, BEGIN + 120, gathered({IN: 1}), {}, 100)
    assert total(store, MINUTE) == 3


def test_levels_are_of_their_moment_and_add_up_within_a_step(store):
    store.add(BEGIN, BEGIN + 120, gathered({}, oldest=9.0), {}, 100)
    store.add(BEGIN + 120, BEGIN + 180, gathered({}, oldest=3.0), {}, 100)
    rows = dict(store.rows(MINUTE, 0, 2**31))
    assert [row.levels for row in rows.values()] == [
        {}, {"oldest": Level(9.0, 1, 9.0)}, {"oldest": Level(3.0, 1, 3.0)},
    ]  # fmt: skip
    ((_, hour),) = store.rows(HOUR, 0, 2**31)
    assert hour.levels == {"oldest": Level(12.0, 2, 9.0)}


def test_names_of_domains_do_not_fill_the_disk(store, monkeypatch):
    monkeypatch.setattr(kept, "KEYS", 3)
    names = {f"domain/{number}.example/received": 1 for number in range(9)}
    store.add(BEGIN, BEGIN + 60, gathered({IN: 4} | names), {}, 100)
    ((_, row),) = store.rows(MINUTE, 0, 2**31)
    assert len(row.counts) == 4
    assert row.counts["domain/other/received"] == 7
    assert row.counts[IN] == 4


def test_marks_are_those_of_the_last_commit(store, tmp_path):
    assert store.marks() == ({}, 0.0)
    store.add(BEGIN, BEGIN + 60, gathered({}), {"a": Mark(1.0, {IN: 2}), "gone": Mark(1.0, {})}, 100)
    store.add(BEGIN + 60, BEGIN + 120, gathered({}), {"a": Mark(2.0, {IN: 1})}, 100)
    assert store.marks() == ({"a": Mark(2.0, {IN: 1})}, BEGIN + 120)
    store.close()
    with FigureStore.open(tmp_path, read_only=True) as again:
        assert again.marks() == ({"a": Mark(2.0, {IN: 1})}, BEGIN + 120)


def test_where_nothing_is_there_is_nothing_to_read(tmp_path):
    with pytest.raises(StorageError):
        FigureStore.open(tmp_path / "nowhere", read_only=True)


WRITER = """
import sys
from pathlib import Path
from engine.figures.gathering import Gathered, Mark
from engine.figures.store import FigureStore

store, number = FigureStore.open(Path(sys.argv[1])), 0
marks, since = store.marks()
number = marks["a"].counts["n"] if marks else 0
while True:
    number += 1
    store.add(since or 1.8e9, (since or 1.8e9) + 60, Gathered({"n": 1}), {"a": Mark(1.0, {"n": number})}, 10_000)
    since = (since or 1.8e9) + 60
    print(number, flush=True)
"""


def test_who_is_killed_while_writing_has_counted_each_once(tmp_path):
    for _ in range(4):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        for _ in range(25):
            assert writer.stdout.readline()
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        with FigureStore.open(tmp_path) as store:
            marks, since = store.marks()
            written = marks["a"].counts["n"]
            assert since == 1.8e9 + 60 * written
            assert {total(store, step, "n") for step in STEPS} == {written}
    assert written >= 100
