"""The bounce log: lines of JSON by days, bounded, and noted by a thread that never holds anybody up."""

import json
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from engine.bounces.journal import Entry, Journal, Log, entries, files

DAY = 86_400.0
NOON = 1_790_000_000.0 // DAY * DAY + DAY / 2


def entry(time: float, to: str = "b@example.net") -> Entry:
    return Entry(time=time, event="failed", to=to, which="policy", permanent=True, reply="550 No")


def test_a_line_for_each_and_a_file_for_each_day(tmp_path: Path) -> None:
    log = Log(tmp_path, keep=30 * DAY, size=10**9)
    log.write([entry(NOON), entry(NOON + 1), entry(NOON + DAY)])
    log.write([entry(NOON + DAY + 1)])
    assert len(files(tmp_path)) == 2
    lines = [json.loads(line) for path in files(tmp_path) for line in path.read_text().splitlines()]
    assert lines[0] == {
        "time": NOON, "event": "failed", "to": "b@example.net", "class": "policy", "permanent": True, "reply": "550 No",
    }  # fmt: skip
    assert list(entries(tmp_path)) == [entry(NOON), entry(NOON + 1), entry(NOON + DAY), entry(NOON + DAY + 1)]
    assert list(entries(tmp_path, NOON + DAY)) == [entry(NOON + DAY), entry(NOON + DAY + 1)]
    assert files(tmp_path)[0].stat().st_mode & 0o777 == 0o600


def test_two_processes_append_to_the_same_file(tmp_path: Path) -> None:
    one, two = (Log(tmp_path, keep=DAY, size=10**9) for _ in range(2))
    for number in range(50):
        one.write([entry(NOON, f"one{number}@example.net")])
        two.write([entry(NOON, f"two{number}@example.net")])
    assert len(list(entries(tmp_path))) == 100


def test_what_is_old_or_too_much_goes(tmp_path: Path) -> None:
    log = Log(tmp_path, keep=2 * DAY, size=10**9)
    for day in range(5):
        log.write([entry(NOON + day * DAY)])
    assert [found.time for found in entries(tmp_path)] == [NOON + 2 * DAY, NOON + 3 * DAY, NOON + 4 * DAY]
    small = Log(tmp_path, keep=30 * DAY, size=files(tmp_path)[0].stat().st_size - 1)
    small.write([entry(NOON + 5 * DAY)])
    assert [found.time for found in entries(tmp_path)] == [NOON + 5 * DAY]


def test_one_day_fills_no_more_than_there_may_be(tmp_path: Path) -> None:
    log = Log(tmp_path, keep=30 * DAY, size=2000)
    with pytest.raises(OSError, match="alone has 2000 octets"):
        all(log.write([entry(NOON)]) is None for _ in range(1000))
    assert files(tmp_path)[0].stat().st_size < 2400
    with pytest.raises(OSError, match="may have no more"):
        Log(tmp_path, keep=30 * DAY, size=2000).write([entry(NOON)])
    log.write([entry(NOON + DAY)])
    assert [found.time for found in entries(tmp_path)] == [NOON + DAY]


def test_a_line_that_was_broken_off_is_left_out(tmp_path: Path) -> None:
    log = Log(tmp_path, keep=DAY, size=10**9)
    log.write([entry(NOON)])
    with files(tmp_path)[0].open("ab") as file:
        file.write(b'{"time": 1, "eve\n')
    log.write([entry(NOON + 1)])
    assert [found.time for found in entries(tmp_path)] == [NOON, NOON + 1]


def test_all_that_is_told_is_noted_in_order() -> None:
    noted: list[int] = []
    journal: Journal[int] = Journal(noted.extend)
    for number in range(5000):
        journal.tell(number)
    journal.close()
    assert noted == list(range(5000))


def test_trouble_of_the_disk_loses_what_is_in_hand_alone(capfd: pytest.CaptureFixture[str]) -> None:
    noted: list[str] = []

    def note(some: Sequence[str]) -> None:
        if "bad" in some:
            raise OSError(28, "No space left on device")
        noted.extend(some)

    journal: Journal[str] = Journal(note)
    for _ in range(3):
        journal.tell("bad")
        done = threading.Event()
        while journal._waiting:
            done.wait(0.001)
    journal.tell("good")
    journal.close()
    assert noted == ["good"]
    assert capfd.readouterr().err.count('"bounces-not-noted"') == 1  # once, however often it happens


def test_more_than_can_be_noted_is_left_out_and_nobody_waits(capfd: pytest.CaptureFixture[str]) -> None:
    begun, go_on = threading.Event(), threading.Event()
    noted: list[int] = []

    def note(some: Sequence[int]) -> None:
        begun.set()
        go_on.wait()
        noted.extend(some)

    journal: Journal[int] = Journal(note, most=10)
    journal.tell(-1)
    begun.wait()
    for number in range(100):
        journal.tell(number)
    go_on.set()
    journal.close()
    assert noted == [-1, *range(10)]
    assert '"entries":90' in capfd.readouterr().err
