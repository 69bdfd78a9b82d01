"""The schedule: what is due next, among few and among many that wait."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from bench.micro.measure import Measure
from engine.message import MessageId
from engine.queue.store import Shard

pytestmark = pytest.mark.benchmark(group="Schedule")

NOW = 1_760_000_000.0  # Unix time at which the first is due; from then on one each second
PAGE = 64


class Backlog:
    """A shard whose due index holds ``count`` messages. It holds nothing else of them: that would take minutes."""

    def __init__(self, folder: Path, count: int) -> None:
        self.count = count
        self.shard = Shard(folder, 0, map_size=1 << 32)
        due = self.shard.environment.open_db(b"due")
        with self.shard.environment.begin(write=True) as transaction:
            keys = ((self.key(number), b"") for number in range(count))
            transaction.cursor(due).putmulti(keys, append=True)

    @staticmethod
    def time(number: int) -> float:
        return NOW + number

    @classmethod
    def identity(cls, number: int) -> MessageId:
        return MessageId(int(cls.time(number) * 1000).to_bytes(6, "big") + number.to_bytes(10, "big"))

    @classmethod
    def key(cls, number: int) -> bytes:
        """The key in the index, which is also the position up to which the index was looked at."""
        return int(cls.time(number) * 1000).to_bytes(8, "big") + cls.identity(number)


@pytest.fixture(scope="module", params=[10_000, 1_000_000], ids=["10,000", "1,000,000"])
def backlog(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backlog]:
    found = Backlog(tmp_path_factory.mktemp("backlog"), request.param)
    yield found
    found.shard.close()


def test_next_due(measure: Measure, backlog: Backlog) -> None:
    numbers = count(0, 7919)  # a prime: all over the index, never the same page again at once
    asked: list[int] = []

    def work() -> float | None:
        number = next(numbers) % (backlog.count - 1)
        asked[:] = [number]
        return backlog.shard.next_due(backlog.key(number))

    found = measure(f"time of the next among {backlog.count:,}", work)
    assert found == backlog.time(asked[0] + 1)


def test_due_page(measure: Measure, backlog: Backlog) -> None:
    numbers = count(0, 7919)
    asked: list[int] = []

    def work() -> tuple[list[MessageId], bytes]:
        number = next(numbers) % (backlog.count - PAGE - 1)
        asked[:] = [number]
        return backlog.shard.due_from(backlog.key(number), PAGE, backlog.time(backlog.count))

    identities, position = measure(f"the next {PAGE} that are due among {backlog.count:,}", work)
    assert identities == [backlog.identity(number) for number in range(asked[0] + 1, asked[0] + 1 + PAGE)]
    assert position == backlog.key(asked[0] + PAGE)
