"""Mail that goes straight on to where it is kept: it is stored here only if it has to wait."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import takewhile
from typing import TypeAlias

import outcome
import trio

from engine.message import MessageId
from engine.queue.bounce import wants_report
from engine.queue.delivery import Delivery, Unstored
from engine.queue.outcomes import not_taken
from engine.queue.store import Shard
from engine.storage.batch import Batch
from engine.storage.writer import Writer
from engine.verdict import Defer, Delivered
from engine.wakeup import Wakeup

PATIENCE = 0.3
"""Seconds that a client waits for what comes of its message, at most: then that is stored, and the client told so."""

REST, SHORT_REST = 60.0, 10.0
"""Seconds for which mail for a domain is stored at once: after some that went elsewhere, or took long."""

CAUTION = 3600.0
"""Seconds for which all mail is stored at once after an owner has died: if a message was the reason, and comes again,
its record will show that."""

DOMAINS = 10_000
"""Domains of which it is remembered that their mail cannot go straight."""


_Going: TypeAlias = tuple[Delivery, Unstored]


def _nothing() -> None:
    """There is nothing to go on with."""


class Straight:
    """Those messages of one owner. The client of each still waits: if this process dies, it sends its message again."""

    def __init__(self, shard: Shard, writer: Writer, failed: Callable[[BaseException], None], *, caution: bool) -> None:
        """``failed`` hears why one could not be stored. ``caution``: the owner before has died."""
        self._shard = shard
        self._writer = writer
        self._failed = failed
        self._clock = trio.lowlevel.current_clock().current_time  # two calls less, for what each message asks
        self._from = self._clock() + CAUTION if caution else 0.0
        self._under_way: dict[MessageId, _Going] = {}  # the oldest one first
        self._resting: dict[str, float] = {}  # domain → until when
        self._some = Wakeup()

    def __len__(self) -> int:
        return len(self._under_way)

    def is_open(self, domain: str) -> bool:
        """Whether another message may go, if all its recipients are of that domain."""
        now = self._clock()
        if now < self._from or not domain or now < self._resting.get(domain, 0.0):
            return False
        oldest = next(iter(self._under_way.values()), None)
        return oldest is None or oldest[1].began > now - PATIENCE

    def begin(self, delivery: Delivery, unstored: Unstored) -> None:
        """The message is given out."""
        if not self._under_way:
            self._some.wake()
        delivery.unstored = unstored
        self._under_way[delivery.record.id] = delivery, unstored

    def has_arrived(self, delivery: Delivery) -> bool:
        """Answer the client if all of it is where it is to be and nobody is to be told; whether that is so."""
        unstored = delivery.unstored
        if unstored is None or (unstored.storing and unstored.trouble is None) or not _is_simple(delivery):
            return False
        self._answer(delivery, unstored, None)
        return True

    def has_failed(self, delivery: Delivery) -> bool:
        """Answer the client if it could not be stored, as it would have to be; whether that is so."""
        unstored = delivery.unstored
        if unstored is None or unstored.trouble is None:
            return False
        self._answer(delivery, unstored, unstored.trouble)
        return True

    def keep(self, delivery: Delivery, then: Callable[[], None] = _nothing, *, rest: float = 0.0) -> None:
        """Store it, and answer the client; then go on, also where it could not be stored: see ``Unstored.trouble``.

        ``rest``: seconds for which mail for its domain is not to try that again.
        """
        if rest:
            self._rests(delivery.domain, rest)
        unstored = delivery.unstored
        if unstored is None or unstored.trouble is not None:
            then()
            return
        unstored.then.append(then)
        if not unstored.storing:
            unstored.storing = True
            self._writer.submit(partial(self._put, delivery, unstored), partial(self._was_put, delivery, unstored))

    def keep_all(self) -> None:
        """Let no client wait any longer."""
        for delivery, _ in list(self._under_way.values()):
            self.keep(delivery)

    async def run(self) -> None:
        """Store what is under way for too long, until cancelled."""
        while True:
            await self._some.wait()
            while self._under_way:
                for delivery, unstored in list(self._late(trio.current_time() - PATIENCE)):
                    if not unstored.storing:
                        self.keep(delivery, rest=SHORT_REST)
                await trio.sleep(PATIENCE / 4)

    def _late(self, began: float) -> Iterator["_Going"]:
        """Those that have begun no later than that."""
        return takewhile(lambda going: going[1].began <= began, self._under_way.values())

    def _put(self, delivery: Delivery, unstored: Unstored, batch: Batch) -> None:
        self._shard.put_new(batch, delivery.record, unstored.content)

    def _was_put(self, delivery: Delivery, unstored: Unstored, result: "outcome.Outcome[None]") -> None:
        if isinstance(result, outcome.Error):
            self._failed(result.error)
            unstored.trouble = not_taken(result.error)
        else:
            delivery.message = self._shard.message(delivery.record)
            self._answer(delivery, unstored, None)
        for then in unstored.then:
            then()

    def _answer(self, delivery: Delivery, unstored: Unstored, trouble: Defer | None) -> None:
        delivery.unstored = None
        self._under_way.pop(delivery.record.id, None)
        unstored.answer(trouble or Delivered(f"queued as {delivery.record.id}"))

    def _rests(self, domain: str, seconds: float) -> None:
        if len(self._resting) >= DOMAINS:
            self._resting.clear()
        self._resting[domain] = trio.current_time() + seconds


def _is_simple(delivery: Delivery) -> bool:
    """Whether every recipient has it, and nothing else comes of it."""
    traced = delivery.record.envelope.timing.traced
    return all(
        isinstance(verdict, Delivered) and not verdict.sends and not wants_report(recipient, verdict, traced=traced)
        for recipient, verdict in delivery.outcomes
    )
