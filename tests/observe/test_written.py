"""Events: each line once and whole, in order, at once or once a turn of the event loop."""

import json
import os
import select
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from engine.observe import outputs
from engine.observe.events import Events
from engine.observe.turns import WrittenOnceATurn

ROOT = Path(__file__).parent.parent.parent


class Log:
    """Where a pipe's other end was given to write to: what came, write by write."""

    def __init__(self):
        self.writes = []

    def write(self, _fd, octets):
        self.writes.append(octets)
        return len(octets)

    @property
    def lines(self):
        return [json.loads(line) for line in b"".join(self.writes).splitlines()]

    def numbers(self):
        return [line["n"] for line in self.lines]


@pytest.fixture
def log(monkeypatch):
    log = Log()
    monkeypatch.setattr(outputs.os, "write", log.write)
    return log


@pytest.fixture
def event(monkeypatch):
    event = Events()
    monkeypatch.setattr("engine.observe.turns.event", event)
    return event


def run(function):
    trio.run(function, instruments=[WrittenOnceATurn()])


def test_outside_of_a_loop_each_line_is_written_at_once(event, log):
    for n in range(3):
        event("x", n=n, left_out=None)
        assert len(log.writes) == n + 1
    assert log.numbers() == [0, 1, 2]
    assert log.lines[0].keys() == {"time", "event", "process", "n"}


def test_in_a_loop_the_lines_of_a_turn_are_written_together(event, log):
    async def main():
        for turn in range(3):
            for n in range(4):
                event("x", n=4 * turn + n)
            assert len(log.writes) == turn
            await trio.lowlevel.checkpoint()
            assert len(log.writes) == turn + 1

    run(main)
    assert log.numbers() == list(range(12))


def test_a_loop_that_falls_asleep_has_written(event, log):
    async def main():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sleeper)
            await wait_all_tasks_blocked()
            assert log.numbers() == [1]
            nursery.cancel_scope.cancel()

    async def sleeper():
        event("x", n=1)
        await trio.sleep_forever()

    run(main)


def test_what_is_said_last_is_written_when_the_loop_ends(event, log):
    async def main():
        event("x", n=1)

    run(main)
    event("x", n=2)
    assert log.numbers() == [1, 2]
    assert len(log.writes) == 2


def test_what_is_said_before_an_exception_is_written(event, log):
    async def main():
        event("x", n=1)
        raise KeyError("gone")

    with pytest.raises(KeyError):
        run(main)
    assert log.numbers() == [1]


def test_a_bug_is_written_at_once_behind_what_came_before(event, log):
    async def main():
        event("x", n=1)
        event.bug("here", ValueError("odd"), n=2)
        assert log.numbers() == [1, 2]

    run(main)


def test_a_line_of_another_thread_is_written_at_once_behind_what_came_before(event, log):
    async def main():
        event("x", n=1)
        other = threading.Thread(target=event, args=("x",), kwargs={"n": 2})
        other.start()
        other.join()
        assert log.numbers() == [1, 2]
        event("x", n=3)

    run(main)
    assert log.numbers() == [1, 2, 3]


def test_threads_lose_and_double_nothing(event, log):
    def talk(name):
        for n in range(300):
            event("x", n=[name, n])

    async def main():
        threads = [threading.Thread(target=talk, args=(name,)) for name in range(3)]
        for thread in threads:
            thread.start()
        for n in range(300):
            event("x", n=[3, n])
            if n % 7 == 0:
                await trio.lowlevel.checkpoint()
        for thread in threads:
            await trio.to_thread.run_sync(thread.join)

    run(main)
    for name in range(4):
        assert [n for who, n in log.numbers() if who == name] == list(range(300))
    assert len(log.lines) == 1200


def test_no_write_is_more_than_a_pipe_takes_whole_unless_one_line_is(event, log):
    sizes = [100] * 200 + [3 * select.PIPE_BUF, 10, select.PIPE_BUF, 10]

    async def main():
        for n, size in enumerate(sizes):
            event("x", n=n, pad="." * size)

    run(main)
    assert log.numbers() == list(range(len(sizes)))
    assert len(log.writes) < 15
    for octets in log.writes:
        assert octets.endswith(b"\n")
        assert len(octets) <= select.PIPE_BUF or octets.count(b"\n") == 1


def test_a_log_that_nobody_reads_stops_nothing(event, monkeypatch):
    tried = []

    def broken(_fd, octets):
        tried.append(octets)
        raise BrokenPipeError

    monkeypatch.setattr(outputs.os, "write", broken)
    event("x", n=1)
    event("x", n=2)
    assert tried


@pytest.mark.parametrize("end", ["sys.exit(3)", "raise RuntimeError('oh')", "await trio.sleep(0)"])
def test_a_process_that_ends_has_written(end):
    program = f"""
import sys, trio
from engine.observe.events import event
from engine.observe.turns import WrittenOnceATurn
async def main():
    event("before", n=1)
    event("before", n=2)
    {end}
trio.run(main, instruments=[WrittenOnceATurn()])
"""
    command = [sys.executable, "-c", program]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, env=environment, check=False)
    assert ended.stderr.count(b'"event":"before"') == 2
