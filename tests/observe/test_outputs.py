"""Where the lines of the log go: each output whole and in its own form, and what becomes of the file."""

import json
import multiprocessing
import os
import socket
from pathlib import Path

import pytest

from engine.observe import events, outputs
from engine.observe.events import Events
from engine.observe.files import Tail, files, lines
from engine.observe.outputs import File, Journal, Syslog, readable, severity

SIZE = 64 * 1024


def line(n: int, **values: object) -> bytes:
    return (
        json.dumps({"time": float(n), "event": "x", "process": "p", "n": n} | values, separators=(",", ":")).encode()
        + b"\n"
    )


def numbers(path: Path, **about: float) -> list[int]:
    return [json.loads(one)["n"] for one in lines(path, **about)]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(outputs, "LOOK", -1.0)  # at each write
    return tmp_path / "events.jsonl"


# -- the file


def test_lines_are_appended_for_their_owner_alone(path: Path) -> None:
    for n in range(3):
        file = File(path, size=SIZE, keep=1)
        file.write([line(2 * n), line(2 * n + 1)])
        file.close()
    assert numbers(path) == list(range(6))
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("keep", [0, 1, 3])
def test_a_full_file_is_turned_over(path: Path, keep: int) -> None:
    file = File(path, size=100, keep=keep)
    for n in range(10):
        file.write([line(n, pad="." * 100)])
    assert [one.name for one in files(path)] == [f"events.jsonl.{n}" for n in range(keep, 0, -1)] + ["events.jsonl"]
    assert numbers(path) == list(range(10 - keep - 1, 10))


def test_two_that_find_it_full_turn_it_over_once(path: Path) -> None:
    one, other = (File(path, size=100, keep=5) for _ in range(2))
    for n in range(0, 6, 2):
        one.write([line(n, pad="." * 100)])
        other.write([line(n + 1, pad="." * 100)])
    assert numbers(path) == list(range(6))
    assert all(one.stat().st_size for one in files(path)), "one was turned over twice"


def _talk(path: Path, who: int) -> None:
    outputs.LOOK = -1.0
    file = File(path, size=SIZE, keep=50)
    for n in range(500):
        file.write([line(n, who=who, pad="." * 300)])


def test_many_processes_lose_and_double_nothing(path: Path) -> None:
    processes = [multiprocessing.get_context("fork").Process(target=_talk, args=(path, who)) for who in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    found = [json.loads(one) for one in lines(path)]
    for who in range(4):
        assert sorted(one["n"] for one in found if one["who"] == who) == list(range(500))
    assert len(files(path)) > 5


def test_who_else_renames_it_need_tell_nobody(path: Path) -> None:
    file = File(path, size=SIZE, keep=1)
    file.write([line(0)])
    path.rename(path.with_name("events.jsonl.1"))
    file.write([line(1)])
    assert numbers(path) == [0, 1]
    assert numbers(path.with_name("events.jsonl.1")) == [0]


def test_a_link_is_no_log(path: Path) -> None:
    path.symlink_to("/etc/passwd")
    with pytest.raises(OSError, match="symbolic"):
        File(path, size=SIZE, keep=1)


# -- reading it


def test_lines_from_a_moment_on(path: Path) -> None:
    file = File(path, size=SIZE, keep=1)
    file.write([line(n) for n in range(10)])
    assert numbers(path, since=7.0) == [7, 8, 9]
    assert numbers(path, end=len(line(0)) * 3) == [0, 1, 2]


def test_a_tail_goes_on_in_the_next_file(path: Path) -> None:
    file = File(path, size=100, keep=3)
    file.write([line(0, pad="." * 100)])
    tail = Tail(path).lines()
    for n in range(1, 4):
        file.write([line(n, pad="." * 100)])
        assert json.loads(next(tail))["n"] == n


def test_a_tail_gives_whole_lines(path: Path) -> None:
    path.touch()
    tail, whole = Tail(path).lines(), line(1)
    with path.open("ab", buffering=0) as file:
        file.write(line(0) + whole[:9])
        assert next(tail) == line(0)
        file.write(whole[9:])
        assert next(tail) == whole


# -- the others


def test_the_journal_gets_fields(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as there:
        there.bind(str(tmp_path / "socket"))
        journal = Journal(str(tmp_path / "socket"))
        journal.write([line(1, id="M1", event="bug"), line(2)])
        found = there.recv(65536)
        assert b"POSTROAD_ID=M1\n" in found
        assert b"PRIORITY=3\n" in found
        assert b"\nPOSTROAD_JSON=" + line(1, id="M1", event="bug") in found
        assert b"POSTROAD_ID" not in there.recv(65536)
        journal.close()


def test_a_journal_that_does_not_read_blocks_nobody(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as there:
        there.bind(str(tmp_path / "socket"))
        journal = Journal(str(tmp_path / "socket"))
        with pytest.raises(BlockingIOError):
            journal.write([line(n) for n in range(100_000)])


def test_syslog_by_udp_is_that_of_the_standard() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as there:
        there.bind(("127.0.0.1", 0))
        syslog = Syslog(f"udp:127.0.0.1:{there.getsockname()[1]}", "mx.example.org")
        syslog.write([line(1, event="worker-died")])
        head, _, rest = there.recv(65536).partition(b" - ")
        pid = str(os.getpid()).encode()
        assert head == b"<20>1 1970-01-01T00:00:01.000Z mx.example.org postroad " + pid + b" worker-died"
        assert json.loads(rest)["n"] == 1
        syslog.close()


@pytest.mark.parametrize(
    ("event", "level"),
    [
        ({"event": "bug"}, 3),
        ({"event": "worker-died"}, 4),
        ({"event": "log", "level": "warning"}, 4),
        ({"event": "accepted"}, 6),
    ],
)
def test_how_grave_an_event_is(event: dict[str, str], level: int) -> None:
    assert severity(event) == level


def test_a_person_s_line_obeys_nothing() -> None:
    found = readable(line(1, text="a\x1b[2J", list=["\x9b2J"], id="M1")).decode()
    assert " p x M1  n=1 " in found
    assert found.endswith("\n")
    assert found[:-1].isprintable()


# -- events


class Full:
    """An output that takes nothing for a while."""

    def __init__(self) -> None:
        self.full = False
        self.lines: list[dict[str, object]] = []
        self.closed = False

    def write(self, lines: list[bytes]) -> None:
        if self.full:
            raise OSError("full")
        self.lines += map(json.loads, lines)

    def close(self) -> None:
        self.closed = True


def test_what_was_lost_is_told_once_somebody_reads_again(monkeypatch: pytest.MonkeyPatch) -> None:
    event, full, other = Events(), Full(), Full()
    monkeypatch.setattr(events, "event", event)
    event.to([full, other])
    event("a")
    full.full = True
    event("b")
    event("c")
    full.full = False
    event("d")
    assert [one["event"] for one in full.lines] == ["a", "d", "log-lines-lost"]
    assert full.lines[2]["lines"] == 2
    assert [one["event"] for one in other.lines] == ["a", "b", "c", "d", "log-lines-lost"]


def test_another_output_takes_over() -> None:
    event, before, after = Events(), Full(), Full()
    event.to([before])
    event("a")
    event.to([after])
    event("b")
    assert before.closed
    assert [one["event"] for one in after.lines] == ["b"]
