"""The queue's fixtures: a shard, and its owner in the test's hands."""

from pathlib import Path

import pytest
import trio
import trio.testing

from engine import Message, MessageId
from engine.config import Queue
from engine.queue.delivery import Delivery
from engine.queue.owner import Owner
from engine.queue.store import Shard, content_folder
from tests.support.post import MAP_SIZE, SETTINGS, Clock, Open, Post


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    content_folder(tmp_path).mkdir()
    return tmp_path


@pytest.fixture
def shard(data: Path):
    opened = Shard(data, 0, map_size=MAP_SIZE)
    yield opened
    opened.close()


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replaces the report's text, and keeps which recipients were reported."""
    found: list[str] = []

    def bounce(identity: MessageId, hostname: str, about: Message, failures, now: float, *, letters) -> bytes:
        found.extend(failure.recipient.address for failure in failures)
        return b"Subject: report\r\n\r\n"

    monkeypatch.setattr("engine.queue.descendants.bounce", bounce)
    return found


@pytest.fixture
async def opened(shard: Shard, clock: Clock, nursery: trio.Nursery):
    owners: list[Owner] = []

    def start(settings: Queue = SETTINGS, *, run: bool = True) -> Post:
        given: list[Delivery] = []
        owner = Owner(shard, settings, "mx.test", given.append, clock=clock)
        owners.append(owner)
        if run:
            nursery.start_soon(owner.run)
        return Post(owner, given, clock)

    yield start
    for owner in owners:
        owner.close()


@pytest.fixture
async def post(opened: Open) -> Post:
    started = opened()
    await trio.testing.wait_all_tasks_blocked()
    return started
