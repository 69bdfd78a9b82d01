"""An owner of a queue's shard in a test's hands: what it gives out, and the clock that it sees."""

from collections.abc import Callable

import trio
import trio.testing

from engine import Delivered, Duration, Message, MessageId, Size, Verdict
from engine.config import Queue
from engine.queue.delivery import Delivery
from engine.queue.owner import Owner
from engine.queue.store import Shard, identity_at
from engine.wakeup import Answer

MAP_SIZE = 2**26
SETTINGS = Queue(
    reserve=Size(0),
    in_flight=100,
    retry=(Duration("1m"), Duration("5m")),
    expire=Duration("1h"),
)


class Clock:
    """A wall clock that stands still until it is set."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Post:
    """An owner with what it gives out, and a way to wait until the shard has all changes."""

    def __init__(self, owner: Owner, given: list[Delivery], clock: Clock) -> None:
        self.owner = owner
        self.given = given
        self.clock = clock

    async def admit(self, *messages: Message) -> None:
        for one in messages:
            assert isinstance(await self.stored(one), Delivered)

    async def stored(self, one: Message) -> Verdict:
        answer = Answer()
        self.owner.admit(one, "inbound", answer.give)
        return await answer.wait()  # type: ignore[return-value]

    async def settled(self) -> None:
        await self.owner.writer.apply(lambda _batch: None)
        await trio.testing.wait_all_tasks_blocked()

    async def settle(self, delivery: Delivery, *verdicts: Verdict) -> None:
        recipients = delivery.record.envelope.recipients
        delivery.outcomes += zip(
            recipients, verdicts * len(recipients) if len(verdicts) == 1 else verdicts, strict=True
        )
        self.owner.settle(delivery)
        await self.settled()

    async def until(self, now: float) -> None:
        """Let the wall clock reach ``now``; the owner looks at it at the latest after a minute."""
        self.clock.now = now
        await self.wait(60)

    async def wait(self, seconds: float) -> None:
        """Let the loop's own clock go on."""
        trio.lowlevel.current_clock().jump(seconds)  # a test that waits asks for mock_clock
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(3):  # what was stored may lead to something else that is stored
            await self.settled()

    @property
    def ids(self) -> list[MessageId]:
        return [delivery.record.id for delivery in self.given]


def standing(shard: Shard, line: str) -> list[MessageId]:
    """Who stands in the line, tenant by tenant, each one's in their order."""
    return [identity_at(place) for flow in shard.flows(line) for place in shard.in_line(line, flow, b"", 1000)]


Open = Callable[..., Post]
