"""The queue on a disk: messages taken in and settled, few and many in a commit. Every commit is synced."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import outcome
import pytest

from bench.micro.loop import held
from bench.micro.measure import Measure
from bench.micro.samples import KIB, letter, message
from engine.message import MessageId, Octets
from engine.queue.store import Record, Shard
from engine.storage.batch import Batch
from engine.storage.writer import Writer
from engine.wakeup import Wakeup

pytestmark = pytest.mark.benchmark(group="Queue on a disk")

TURNS = 4  # in a round


class Queue:
    """A shard and its writer; each message has an id of its own, as in life."""

    def __init__(self, shard: Shard, writer: Writer, octets: bytes) -> None:
        self.shard = shard
        self.writer = writer
        self.content = Octets(octets)
        self.envelope = message().envelope

    def new(self) -> Record:
        envelope = self.envelope
        return Record(MessageId.new(), envelope, "relay", self.content.size, due=envelope.arrived)

    async def all(self, works: list[Callable[[Batch], None]]) -> None:
        """Have all the changes committed together."""
        left = len(works)
        ended = Wakeup()

        def done(result: "outcome.Outcome[None]") -> None:
            nonlocal left
            result.unwrap()
            left -= 1
            if not left:
                ended.wake()

        for work in works:
            self.writer.submit(work, done)
        await ended.wait()

    async def admit(self, records: list[Record]) -> None:
        shard, content = self.shard, self.content
        await self.all([partial(shard.put_new, record=record, content=content) for record in records])

    async def settle(self, records: list[Record]) -> None:
        await self.all([partial(self.shard.remove, record=record) for record in records])

    async def turn(self, count: int) -> bool:
        """Take ``count`` messages in and settle them; whether all were there between, and none is after."""
        records = [self.new() for _ in range(count)]
        await self.admit(records)
        there = self.shard.count() == count
        await self.settle(records)
        return there and self.shard.count() == 0

    async def look(self) -> tuple[list[object], list[object]]:
        """What the shard has of one message while it is there, and what is left of it: record, due time, content."""
        record = self.new()
        await self.admit([record])
        there = self._seen(record)
        assert there[0] == record
        await self.settle([record])
        return there[1:], self._seen(record)

    def _seen(self, record: Record) -> list[object]:
        try:
            octets = b"".join(self.shard.content(record).chunks())
        except LookupError:
            octets = b""
        return [*self.shard.records([record.id]), self.shard.next_due(b""), octets]

    async def turns(self, count: int) -> tuple[int, int, bool]:
        """So many turns: commits, changes in them, and whether all went well."""
        commits, changes = self.writer.commits, self.writer.changes
        good = [await self.turn(count) for _ in range(TURNS)]
        return self.writer.commits - commits, self.writer.changes - changes, all(good)


@asynccontextmanager
async def queue(folder: Path, size: int) -> AsyncIterator[Queue]:
    shard = Shard(folder, 0, map_size=1 << 32)
    writer = Writer(shard.environment, name="bench")
    try:
        yield Queue(shard, writer, letter(size))
    finally:
        writer.close()
        shard.close()


@pytest.mark.parametrize("size", [4 * KIB, 64 * KIB], ids=["4 KiB", "64 KiB"])
@pytest.mark.parametrize("count", [1, 64])
def test_admit_and_settle(measure: Measure, tmp_path: Path, count: int, size: int) -> None:
    with held(queue(tmp_path, size)) as loop:
        what = f"admit and settle a message of {size // KIB} KiB, {count} in a commit"
        found = measure(what, loop.run, loop.opened.turns, count, operations=count * TURNS)
        there, left = loop.run(loop.opened.look)
    assert found == (2 * TURNS, 2 * TURNS * count, True)
    assert there == [loop.opened.envelope.arrived, letter(size)]
    assert left == [None, b""]
