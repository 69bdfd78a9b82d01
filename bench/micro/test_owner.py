"""The owner of a shard: messages taken in, given out and settled, as all mail goes that waits for nothing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from bench.micro.loop import held
from bench.micro.measure import Measure
from bench.micro.samples import KIB, letter, message
from engine.config import Queue
from engine.message import Message, MessageId, Octets
from engine.queue.delivery import Delivery
from engine.queue.owner import Owner
from engine.queue.store import Shard, content_folder
from engine.units import Size
from engine.verdict import Delivered, Verdict
from engine.wakeup import Wakeup

pytestmark = pytest.mark.benchmark(group="The owner of a shard")

BATCH = 256  # messages under way together


class Post:
    """An owner that gives out to somebody who delivers at once."""

    def __init__(self, shard: Shard) -> None:
        self.owner = Owner(shard, Queue(reserve=Size(0)), "mx.test", self._deliver)
        self.given: list[Delivery] = []
        self._content = Octets(letter(4 * KIB))
        self._envelope = message().envelope
        self._left = 0
        self._done = Wakeup()

    def _deliver(self, delivery: Delivery) -> None:
        self.given.append(delivery)
        if len(self.given) == self._left:
            self._done.wake()

    async def turn(self, count: int) -> int:
        """Take so many in, and settle each; how many are left."""
        self.given.clear()
        self._left, self._done = count, Wakeup()
        for _ in range(count):
            self.owner.admit(Message(MessageId.new(), self._envelope, self._content), "relay", _nothing)
        await self._done.wait()
        for delivery in self.given:
            delivery.told(delivery.record.envelope.recipients, Delivered("250 ok", "mx.example.net"))
            self.owner.settle(delivery)
        await self.owner.writer.apply(lambda _: None)
        return self.owner.shard.count()


def _nothing(_: Verdict) -> None:
    """Nobody waits for it."""


@asynccontextmanager
async def post(folder: Path) -> AsyncIterator[Post]:
    content_folder(folder).mkdir()
    shard = Shard(folder, 0, map_size=1 << 32)
    opened = Post(shard)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(opened.owner.run)
        await trio.sleep(0)
        try:
            yield opened
        finally:
            nursery.cancel_scope.cancel()
            opened.owner.close()
            shard.close()


def test_taken_in_given_out_and_settled(measure: Measure, tmp_path: Path) -> None:
    with held(post(tmp_path)) as loop:
        left = measure(
            "take in, give out and settle a message of 4 KiB", loop.run, loop.opened.turn, BATCH, operations=BATCH
        )
    assert left == 0
