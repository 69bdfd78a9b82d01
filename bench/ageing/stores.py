"""The stores that age: a shard of the queue, and the mailboxes. Each takes what happens in one commit at a time."""

import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import trio

from bench.ageing.mail import FIRST, MIB, PACE, Mail, Step
from bench.ageing.space import Space, space
from bench.micro.samples import letter
from engine.config import Mailboxes, Queue
from engine.mailbox.large import is_large
from engine.mailbox.layout import LARGE, delivered_key
from engine.mailbox.owner import MailboxOwner
from engine.message import Content, Envelope, Message, Octets, Recipient
from engine.queue.content import PIECE
from engine.queue.incoming import ContentWriter
from engine.queue.store import Record, Shard, content_folder
from engine.queue.verify import Verification
from engine.storage.batch import Batch
from engine.storage.writer import Writer

_ACCOUNTS = 100

_WAIT = 900.0
"""Seconds until the next attempt."""

_OFFSETS = 4096
_OCTETS = letter(20 * MIB + _OFFSETS)
"""Content of each message is a part of this that begins somewhere in the first of it."""


@dataclass(frozen=True, slots=True)
class Commit:
    """What a commit took. This process does nothing else meanwhile."""

    messages: int  # that came with it
    seconds: float
    cpu: float  # seconds, which other programs and the disk have no part in


class _Watch:
    """Begins when it is made."""

    def __init__(self) -> None:
        self._cpu = time.process_time()
        self._begun = time.perf_counter()

    def commit(self, messages: int) -> Commit:
        """What it took until now."""
        return Commit(messages, time.perf_counter() - self._begun, time.process_time() - self._cpu)


class Store(Protocol):
    """One that ages."""

    async def change(self, step: Step) -> Commit:
        """Do all of it in one commit. Content that has a file of its own is written before, and not in what is said."""

    async def space(self) -> Space: ...

    def problems(self) -> list[str]:
        """What does not agree in it, in words."""


Opening = Callable[[Path], AbstractAsyncContextManager[Store]]


def _octets(mail: Mail) -> bytes:
    start = mail.number % _OFFSETS
    return _OCTETS[start : start + mail.size]


def _envelope(mail: Mail) -> Envelope:
    arrived = FIRST + PACE * mail.number
    recipients = (Recipient(f"receiver{mail.number}@site-{mail.number % 1000}.test"),)
    return Envelope(f"sender{mail.number}@source.test", recipients, arrived=arrived, attempts=mail.attempts)


class QueueStore:
    """A shard, its writer, and content in files, as the owner of a shard uses them."""

    def __init__(self, data: Path, shard: Shard, writer: Writer) -> None:
        self.shard = shard
        self._folder = content_folder(data)
        self._folder.mkdir(parents=True)
        self._writer = writer
        self._inline = Queue().inline
        self._records: dict[int, Record] = {}

    async def change(self, step: Step) -> Commit:
        contents: dict[int, Content] = {}
        async with trio.open_nursery() as nursery:
            for mail in step.new:
                nursery.start_soon(self._take_in, mail, contents)
        new = [(self._new(mail), contents[mail.number]) for mail in step.new]
        deferred = [self._deferred(mail) for mail in step.deferred]
        gone = [self._records.pop(mail.number) for mail in step.gone]

        def change(batch: Batch) -> None:
            for record, content in new:
                self.shard.put_new(batch, record, content)
            for old, record in deferred:
                self.shard.replace(batch, old, record)
            for record in gone:
                self.shard.remove(batch, record)

        watch = _Watch()
        await self._writer.apply(change)
        commit = watch.commit(len(step.new))
        for record in gone:
            if record.in_file:
                self.shard.file(record.id).unlink()
        return commit

    async def _take_in(self, mail: Mail, contents: dict[int, Content]) -> None:
        writer = ContentWriter(self._folder, mail.id, self._inline)
        octets = _octets(mail)
        for start in range(0, mail.size, PIECE):
            writer.write(octets[start : start + PIECE])
        contents[mail.number] = await writer.finish()

    def _new(self, mail: Mail) -> Record:
        self._records[mail.number] = record = self._record(mail)
        return record

    def _deferred(self, mail: Mail) -> tuple[Record, Record]:
        old = self._records[mail.number]
        return old, self._new(mail)

    def _record(self, mail: Mail) -> Record:
        envelope = _envelope(mail)
        due = envelope.arrived + _WAIT * mail.attempts
        reason = f"450 4.2.1 try again later ({mail.attempts})" if mail.attempts else ""
        return Record(mail.id, envelope, "inbound", mail.size, mail.size > self._inline, due=due, reason=reason)

    async def space(self) -> Space:
        environment = self.shard.environment
        databases = [environment.open_db(name.encode()) for name in ("envelopes", "content", "due", "lines", "turns")]
        with environment.begin() as transaction:
            return space(transaction, databases, self.shard.path, self._folder)

    def problems(self) -> list[str]:
        found = list(Verification(self.shard).problems())
        there = {path.name for path in self._folder.iterdir()}
        wanted = {str(record.id) for record in self._records.values() if record.in_file}
        return found + [f"{name} is left in content/" for name in sorted(there - wanted)]


@asynccontextmanager
async def queue(data: Path) -> AsyncIterator[QueueStore]:
    """A new one in ``data``."""
    shard = Shard(data, 0, map_size=Queue().map_size)
    writer = Writer(shard.environment, name="ageing")
    try:
        yield QueueStore(data, shard, writer)
    finally:
        writer.close()
        shard.close()


class MailboxStore:
    """Mailboxes to which messages are delivered, and from which those of an account are removed together."""

    def __init__(self, owner: MailboxOwner) -> None:
        self._owner = owner

    async def change(self, step: Step) -> Commit:
        messages = [Message(mail.id, _envelope(mail), Octets(_octets(mail))) for mail in step.new]
        accounts = [mail.number % _ACCOUNTS for mail in step.new]
        gone = self._places(step.gone)
        async with trio.open_nursery() as nursery:
            for account, message in zip(accounts, messages, strict=True):
                if is_large(message):
                    nursery.start_soon(self._owner.deliver, message, {account: "receiver@here.test"})
        watch = _Watch()
        async with trio.open_nursery() as nursery:
            for account, message in zip(accounts, messages, strict=True):
                if not is_large(message):
                    nursery.start_soon(self._owner.deliver, message, {account: "receiver@here.test"})
            for account, uids in gone.items():
                nursery.start_soon(self._owner.remove, account, uids)
        return watch.commit(len(step.new))

    def _places(self, mails: Sequence[Mail]) -> dict[int, list[int]]:
        """UIDs of messages by account."""
        places = defaultdict(list)
        with self._owner.reader.snapshot() as snapshot:
            for mail in mails:
                account = mail.number % _ACCOUNTS
                place = snapshot.get(self._owner.databases.delivered, delivered_key(mail.id, account))
                assert place is not None
                places[account].append(int.from_bytes(place[4:], "big"))
        return places

    async def space(self) -> Space:
        folder = self._owner.path
        databases = vars(self._owner.databases).values()
        return await self._owner.writer.apply(lambda batch: space(batch.transaction, databases, folder, folder / LARGE))

    def problems(self) -> list[str]:
        return self._owner.reader.verify()


@asynccontextmanager
async def mailboxes(data: Path) -> AsyncIterator[MailboxStore]:
    """New ones in ``data``."""
    with MailboxOwner(data / "mailbox", map_size=Mailboxes().map_size) as owner:
        yield MailboxStore(owner)


STORES: dict[str, Opening] = {"queue": queue, "mailboxes": mailboxes}
