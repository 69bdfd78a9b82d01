"""What an operator has done with mail that waits: tried now, or given up."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from engine.history import history
from engine.history.entries import Noted
from engine.message import MessageId
from engine.queue.lines import domain_of
from engine.queue.owner import Owner
from engine.queue.shares import flow_of
from engine.queue.store import Record
from engine.verdict import Reject

GIVEN_UP = Reject("The administrator of this server has given its delivery up", "5.4.7")


class Orders:
    """For the mail of one shard, to its owner."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner

    async def retry(self, identities: Sequence[MessageId]) -> int:
        """Try these now, as far as they wait; how many they are. Not what a sender has set a time for. StorageError."""
        owner, now = self._owner, self._owner.time()
        records = [one for one in owner.at_rest(identities) if one.envelope.timing.release <= now]
        for record in records:
            owner.lines.forget(domain_of(record.envelope.recipients), flow_of(record.envelope))
        if records:
            await owner.change([(record, replace(record, line="", due=now, decided=now)) for record in records])
            _note(records, "tried now", now)
        return len(records)

    async def expire(self, identities: Sequence[MessageId]) -> int:
        """Return these to their senders now, as far as they wait; how many they are. StorageError."""
        records = self._owner.at_rest(identities)
        _note(records, "given up", self._owner.time())
        for record in records:
            self._owner.end(record, GIVEN_UP)
        await self._owner.writer.apply(lambda _: None)  # behind what that has stored
        return len(records)

    async def turn(self, line: str) -> bool:
        """Let a line have its turn now; whether there is such a line. StorageError."""
        owner, now = self._owner, self._owner.time()
        if owner.shard.turn(line) is None:
            return False
        await owner.writer.apply(lambda batch: owner.shard.set_turn(batch, line, now, now))
        owner.lines.hasten(line)
        owner.wake()
        return True


def _note(records: Sequence[Record], what: str, now: float) -> None:
    if history.on:
        for record in records:
            history(Noted(record.id, now, what))


def answers_of(owner: Owner) -> Mapping[str, Callable[..., Awaitable[Any]]]:
    """What other processes can ask of it, by the name of the question."""
    orders = Orders(owner)

    async def retry(identities: list[bytes]) -> int:
        return await orders.retry(list(map(MessageId, identities)))

    async def expire(identities: list[bytes]) -> int:
        return await orders.expire(list(map(MessageId, identities)))

    return {"retry": retry, "expire": expire, "turn": orders.turn}
