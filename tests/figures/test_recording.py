"""The recorder: a look every ten seconds, a commit every minute, and what it does when it cannot write."""

import pytest
import trio

from engine.figures import recording
from engine.figures.recording import Recorder
from engine.figures.store import MINUTE, FigureStore
from engine.observe.events import event
from engine.storage.environment import Full
from tests.figures.figure_samples import queue, worker

NOW = 1_800_000_000.0
IN = "arrived/accepted/in"


@pytest.fixture
def store(tmp_path):
    with FigureStore.open(tmp_path) as opened:
        yield opened


class Server:
    """Workers as they are now."""

    def __init__(self):
        self.workers = {}

    async def look(self):
        return self.workers


@pytest.fixture
def server():
    return Server()


def minutes(store):
    return {int(when - NOW): row.counts.get(IN, 0) for when, row in store.rows(MINUTE, 0, 2**31)}


async def test_a_minute_is_written_when_it_is_over(store, server):
    recorder = Recorder(lambda: store, server.look, lambda: 30 * 86_400)
    for number in range(19):
        server.workers = {"mail-0": worker(NOW - 5000, **{"in": 100 + number}), "q": queue("0", number, 1.0)}
        await recorder.once(NOW + number * 10)
    assert minutes(store) == {0: 6, 60: 6, 120: 6}
    levels = [row.levels["queue/under-way"].most for _, row in store.rows(MINUTE, 0, 2**31)]
    assert levels == [6.0, 12.0, 18.0]


async def test_another_recorder_goes_on_where_one_was_killed(store, server):
    first = Recorder(lambda: store, server.look, lambda: 30 * 86_400)
    server.workers = {"mail-0": worker(NOW - 5000, **{"in": 10})}
    await first.once(NOW)
    server.workers = {"mail-0": worker(NOW - 5000, **{"in": 15})}
    await first.once(NOW + 60)
    await first.once(NOW + 90)  # not written, and lost with the process
    second = Recorder(lambda: store, server.look, lambda: 30 * 86_400)
    server.workers = {"mail-0": worker(NOW - 5000, **{"in": 25})}
    await second.once(NOW + 180)
    assert sum(minutes(store).values()) == 15
    assert minutes(store) == {0: 5, 60: 5, 120: 5}


async def test_what_cannot_be_written_comes_with_the_next_commit(store, server):
    def stores():
        if is_full:
            raise Full("cannot write to the store: the disk is full")
        return store

    is_full = False
    recorder = Recorder(stores, server.look, lambda: 30 * 86_400)
    for moment, count, is_full in ((0, 10, False), (60, 12, False), (120, 14, True), (180, 16, True), (240, 20, False)):
        server.workers = {"mail-0": worker(NOW - 5000, **{"in": count})}
        if is_full:
            with pytest.raises(Full):
                await recorder.once(NOW + moment)
            assert minutes(store) == {0: 2}
        else:
            await recorder.once(NOW + moment)
    assert sum(minutes(store).values()) == 10
    assert set(minutes(store)) == {0, 60, 120, 180}


async def test_nothing_is_kept_where_that_is_not_wanted(store, server):
    recorder = Recorder(lambda: store, server.look, lambda: 0.0)
    server.workers = {"mail-0": worker(NOW - 5000, **{"in": 10})}
    for moment in (0, 60, 120):
        await recorder.once(NOW + moment)
    assert store.rows(MINUTE, 0, 2**31) == []


async def test_trouble_is_told_once_in_a_while_and_ends_nothing(server, autojump_clock, monkeypatch):
    monkeypatch.setattr(recording, "SAY_AGAIN", 60.0)
    told = []
    monkeypatch.setattr(event, "instead", lambda name, values: told.append((name, values)))

    def stores():
        raise Full("cannot write to the store: the disk is full")

    with trio.move_on_after(100):
        await Recorder(stores, server.look, lambda: 86_400.0).run()
    assert told == [("figures-failed", {"error": "cannot write to the store: the disk is full"})] * 2
