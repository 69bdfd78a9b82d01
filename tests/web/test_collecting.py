"""Gathering what the workers measure: all at once, none waited for too long, and not again for everyone who asks."""

import tempfile

import pytest
import trio

from engine.links.request import Unanswered, answer_requests
from engine.runtime.places import Process, between
from engine.runtime.revision import Here
from engine.runtime.services import MEASURES_SERVICE
from engine.web import collecting
from engine.web.asking import Asking
from engine.web.collecting import Collecting


class Worker:
    """One that answers at its address, and counts how often it was asked."""

    def __init__(self, value: float, delay: float = 0.0) -> None:
        self.value = value
        self.delay = delay
        self.asked = 0

    async def measures(self):
        self.asked += 1
        await trio.sleep(self.delay)
        return [["depth", [["link", "a"]], self.value]]

    async def families(self):
        return {"depth": ["gauge", "What waits."]}

    async def broken(self):
        raise RuntimeError("a fault")


@pytest.fixture
def here(context):
    with tempfile.TemporaryDirectory() as folder:  # a short path: those of sockets are bounded
        yield Here(Process("web", "web"), 1, folder, context, lambda _: None)


@pytest.fixture
async def workers(here, nursery):
    found = Asking(here)
    await nursery.start(found.run)
    return found


def come_up(here, workers, nursery, name: str, worker: Worker, *, life: int = 1) -> None:
    answers = {"measures": worker.measures, "families": worker.families, "broken": worker.broken}
    nursery.start_soon(answer_requests, here.context, between(here.folder, name, life, MEASURES_SERVICE), answers)
    workers.up(name, life)


async def test_all_are_asked_and_who_is_late_is_left_out(here, workers, nursery):
    for name, worker in {"a": Worker(1), "b": Worker(2), "late": Worker(3, delay=3600)}.items():
        come_up(here, workers, nursery, name, worker)
    workers.up("nobody", 1)
    assert await workers.ask_all(["a", "b", "late", "nobody"], MEASURES_SERVICE, "measures", 1.0) == {
        "a": [["depth", [["link", "a"]], 1]],
        "b": [["depth", [["link", "a"]], 2]],
    }
    assert await workers.ask_all(["a", "b"], MEASURES_SERVICE, "broken", 1.0) == {}
    nursery.cancel_scope.cancel()


async def test_one_that_comes_again_is_asked_at_its_new_address(here, workers, nursery):
    come_up(here, workers, nursery, "a", Worker(1))
    assert list(await workers.ask_all(["a"], MEASURES_SERVICE, "measures", 60)) == ["a"]
    workers.lost("a")
    assert await workers.ask_all(["a"], MEASURES_SERVICE, "measures", 60) == {}
    come_up(here, workers, nursery, "a", Worker(2), life=2)
    assert await workers.ask_all(["a"], MEASURES_SERVICE, "measures", 60) == {"a": [["depth", [["link", "a"]], 2]]}
    assert await workers.ask_all(["b"], MEASURES_SERVICE, "measures", 60) == {}
    nursery.cancel_scope.cancel()


async def test_many_who_ask_at_once_ask_the_workers_once(here, workers, nursery, monkeypatch):
    worker = Worker(1)
    come_up(here, workers, nursery, "a", worker)
    gathering = Collecting(workers, lambda: ["a", "gone"])
    found = []

    async def ask() -> None:
        found.append(await gathering.now())

    monkeypatch.setattr(collecting, "FRESH", 3600)
    async with trio.open_nursery() as crowd:
        for _ in range(100):
            crowd.start_soon(ask)
    assert (len(found), worker.asked) == (100, 1)
    assert found[0].samples == {"a": [("depth", (("link", "a"),), 1)]}
    assert found[0].families == {"depth": ("gauge", "What waits.")}
    assert found[0].expected == ["a", "gone"]
    assert found[0].values("depth") == [("a", {"link": "a"}, 1)]
    monkeypatch.setattr(collecting, "FRESH", 0)
    await ask()
    assert worker.asked == 2
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("asked", [True, False])
async def test_nobody_is_there_any_more_once_it_has_ended(here, nursery, asked):
    """What began as the server ended asked in the same turn of the event loop, and that was told as a bug."""
    async with trio.open_nursery() as its_own:
        ending = Asking(here)
        await its_own.start(ending.run)
        come_up(here, ending, nursery, "a", Worker(1))
        if asked:
            assert await ending.ask("a", MEASURES_SERVICE, "measures")
        its_own.cancel_scope.cancel()
    with pytest.raises(Unanswered, match="there is no worker a now"):
        await ending.ask("a", MEASURES_SERVICE, "measures", seconds=60)
    nursery.cancel_scope.cancel()
