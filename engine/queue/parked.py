"""What is parked in a shard: let go on, deleted, and deleted when it has become too old. One word at a time."""

from collections.abc import Callable, Collection
from types import MappingProxyType

import trio
from msgspec.structs import replace

from engine.history import history
from engine.history.entries import Noted
from engine.message import PARK, RELEASED, Content, Envelope, MessageId, Recipient
from engine.observe.events import event
from engine.queue.content import remove
from engine.queue.descendants import set_apart
from engine.queue.store import QUARANTINED, WAITING, Record, Shard, with_recipients
from engine.storage.batch import Batch
from engine.storage.writer import Writer

PAGE = 500
"""Messages that expire in one commit: mail that comes in does not wait long behind it."""

NOT_PARKED = "it is not parked"


class Parked:
    """A part of the shard's owner. Nothing of a message that is being decided about is decided twice."""

    def __init__(self, shard: Shard, writer: Writer, now: Callable[[], float], go_on: Callable[[Record], None]) -> None:
        """``go_on`` hears of each record that waits again, when it is committed. Who decides otherwise about what is
        parked holds ``word`` meanwhile."""
        self._shard = shard
        self._writer = writer
        self._now = now
        self._go_on = go_on
        self.word = trio.Lock()

    async def release(self, identity: MessageId, to: Collection[str] = ()) -> str:
        """Let a parked message go on: for those of its recipients in ``to``, or for all. Empty when that is done, else
        why it cannot be. Who is let go before the others goes on in a message of their own.
        """
        async with self.word:
            record = self._parked(identity)
            chosen, left = _parted(record, to)
            if record is None or not chosen:
                return NOT_PARKED if record is None or not to else f"{NOT_PARKED} for {', '.join(to)}"
            now = self._now()
            new = with_recipients(record, chosen)
            new = replace(new, envelope=_released(new), state=WAITING, due=now, decided=now, reason="")
            if left:
                new, content = set_apart(record, new, self._shard, now)
                await self._writer.apply(self._part(record, left, new, content))
            else:
                await self._writer.apply(lambda batch: self._shard.replace(batch, record, new))
            event("released", id=identity, to=[one.address for one in chosen], new=new.id if left else None)
            self._note(record, "released", chosen)
            self._go_on(new)
            return ""

    def _part(self, old: Record, left: tuple[Recipient, ...], new: Record, content: Content) -> Callable[[Batch], None]:
        def change(batch: Batch) -> None:
            self._shard.put_new(batch, new, content)
            self._shard.replace(batch, old, with_recipients(old, left))

        return change

    async def delete(self, identity: MessageId, to: Collection[str] = ()) -> str:
        """Delete a parked message: for those of its recipients in ``to``, or for all. Empty when that is done, else why
        it cannot be.
        """
        async with self.word:
            record = self._parked(identity)
            chosen, left = _parted(record, to)
            if record is None or not chosen:
                return NOT_PARKED if record is None or not to else f"{NOT_PARKED} for {', '.join(to)}"
            if left:
                await self._writer.apply(
                    lambda batch: self._shard.replace(batch, record, with_recipients(record, left))
                )
            else:
                await self._remove([record])
            event("deleted", id=identity, to=[one.address for one in chosen])
            self._note(record, "deleted", chosen)
            return ""

    async def expire(self, before: float) -> int:
        """Delete what was parked before ``before`` (Unix time), and how many messages that were. StorageError."""
        count = 0
        while True:
            async with self.word:
                identities, _ = self._shard.parked_from(b"", PAGE, before)
                records = self._shard.records(identities)
                if records:
                    await self._remove(records)
            for record in records:
                event(
                    "expired",
                    id=record.id,
                    to=[one.address for one in record.envelope.recipients],
                    parked=round(record.due, 3),
                    reason=record.reason,
                    **{"from": record.envelope.sender},
                )
                self._note(record, "expired", record.envelope.recipients)
            count += len(records)
            if len(identities) < PAGE:
                return count

    def _note(self, record: Record, what: str, to: tuple[Recipient, ...]) -> None:
        if history.on:
            history(Noted(record.id, self._now(), what, record.reason, tuple([one.address for one in to])))

    async def _remove(self, records: list[Record]) -> None:
        def change(batch: Batch) -> None:
            for record in records:
                self._shard.remove(batch, record)

        await self._writer.apply(change)
        for record in records:
            if record.in_file:
                remove(self._shard.file(record.id))

    def _parked(self, identity: MessageId) -> Record | None:
        found = self._shard.records([identity])
        return found[0] if found and found[0].state == QUARANTINED else None


def _parted(record: Record | None, to: Collection[str]) -> tuple[tuple[Recipient, ...], tuple[Recipient, ...]]:
    """Those who are meant, and the others."""
    recipients = record.envelope.recipients if record else ()
    if not to:
        return recipients, ()
    meant = {address.lower() for address in to}
    chosen = tuple(one for one in recipients if one.address.lower() in meant)
    return chosen, tuple(one for one in recipients if one not in chosen)


def _released(record: Record) -> Envelope:
    facts = {name: value for name, value in record.envelope.facts.items() if name != PARK}
    before = facts.get(RELEASED)
    reasons = [*(before if isinstance(before, list) else ()), record.reason]
    return replace(record.envelope, facts=MappingProxyType({**facts, RELEASED: reasons}))
