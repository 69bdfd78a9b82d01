"""What an operator has done with mail in the queue: tried now, held back, sent another way, given up, forgotten."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import msgspec
import trio
from msgspec.structs import replace

from engine.history import history
from engine.history.entries import Noted
from engine.message import NEXT_HOP, MessageId
from engine.observe.events import event
from engine.queue.lines import domain_of
from engine.queue.owner import Owner
from engine.queue.shares import flow_of
from engine.queue.store import HELD, QUARANTINED, WAITING, Record, Shard
from engine.verdict import Reject

GIVEN_UP = Reject("The administrator of this server has given its delivery up", "5.4.7")

RETURNED, RETURNED_CODE = "The administrator of this server has returned it", "5.7.0"

Order: TypeAlias = Literal["retry", "hold", "release", "reroute", "expire", "bounce", "delete"]

MEANT: Mapping[Order, frozenset[str]] = {
    "retry": frozenset({WAITING}),
    "hold": frozenset({WAITING}),
    "release": frozenset({HELD, QUARANTINED}),
    "reroute": frozenset({WAITING, HELD}),
    "expire": frozenset({WAITING, HELD}),
    "bounce": frozenset({WAITING, HELD, QUARANTINED}),
    "delete": frozenset({WAITING, HELD, QUARANTINED}),
}
"""In which states messages are that an order can be about."""


NOTED: Mapping[Order, str] = {
    "retry": "tried now",
    "hold": "held",
    "reroute": "rerouted",
}
"""What the history says when it is done. Of what ends it says it before, and of what is let go one by one."""


class Word(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is to be done, and who wants it, for the log."""

    order: Order
    by: str = ""  # the name of the operator
    which: str = ""  # how they were chosen
    text: str = RETURNED  # bounce: what the sender is told
    code: str = RETURNED_CODE  # and the enhanced status code
    lane: str = ""  # reroute: the lane that they go on in; empty: the same
    to_site: str | None = None  # reroute: the server that takes them, "host" or "host:port"; "": whichever the DNS says


class Orders:
    """For the mail of one shard, to its owner."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._ways: Mapping[Order, Callable[[Sequence[Record], Word], Awaitable[Sequence[Record]]]] = {
            "retry": self._retry,
            "hold": self._hold,
            "reroute": self._reroute,
            "expire": self._expire,
            "bounce": self._bounce,
            "delete": self._delete,
        }

    async def give(self, word: Word, identities: Sequence[MessageId]) -> int:
        """Have it done to these, as far as they are in a state for it and not on their way; how many they are.
        StorageError."""
        if word.order == "release":
            done = await self._release(identities)
        else:
            async with self._owner.parked.word:  # nobody else decides about what is parked meanwhile
                done = await self._ways[word.order](self._owner.at_rest(identities, MEANT[word.order]), word)
        _note(done, NOTED.get(word.order, ""), self._owner.time())
        for record in done:
            event("ordered", id=record.id, order=word.order, by=word.by or None, which=word.which or None)
        return len(done)

    async def put_back(self, folder: Path, number: int, identities: Sequence[MessageId], by: str) -> int:
        """Take in messages of that shard of a snapshot, which was unpacked into ``folder``; how many. StorageError."""
        with closing(Shard(folder, number, map_size=self._owner.settings.map_size, read_only=True)) as saved:
            done = await self._owner.put_back(saved, identities)
        _note(done, "put back from a snapshot", self._owner.time())
        for record in done:
            event("ordered", id=record.id, order="restore", by=by or None)
        return len(done)

    async def _retry(self, records: Sequence[Record], _: Word) -> Sequence[Record]:
        """Not what a sender has set a time for."""
        now = self._owner.time()
        ripe = [one for one in records if one.envelope.timing.release <= now]
        return await self._changed(ripe, lambda record: replace(record, line="", due=now, decided=now))

    async def _hold(self, records: Sequence[Record], _: Word) -> Sequence[Record]:
        now = self._owner.time()

        def held(record: Record) -> Record:
            return replace(record, state=HELD, line="", back=record.line, decided=now)

        return await self._changed(records, held)

    async def _release(self, identities: Sequence[MessageId]) -> Sequence[Record]:
        """What is held goes back to where it was, what is parked goes on."""
        now, owner = self._owner.time(), self._owner

        def freed(record: Record) -> Record:
            return replace(record, state=WAITING, line=record.back, back="", decided=now)

        done = list(await self._changed(owner.at_rest(identities, {HELD}), freed))
        _note(done, "released", now)
        for record in owner.at_rest(identities, {QUARANTINED}):
            if not await owner.parked.release(record.id):
                done.append(record)
        return done

    async def _reroute(self, records: Sequence[Record], word: Word) -> Sequence[Record]:
        """What is held stays so."""
        now = self._owner.time()

        def rerouted(record: Record) -> Record:
            due = max(now, record.envelope.timing.release)
            new = replace(record, line="", back="", due=due, decided=now, sites=())
            if word.lane:
                recipients = tuple(replace(one, lane="") for one in record.envelope.recipients)
                new = replace(new, lane=word.lane, envelope=replace(new.envelope, recipients=recipients))
            if word.to_site is not None:
                facts = {name: value for name, value in new.envelope.facts.items() if name != NEXT_HOP}
                named = {NEXT_HOP: word.to_site} if word.to_site else {}
                new = replace(new, envelope=replace(new.envelope, facts=MappingProxyType({**facts, **named})))
            return new

        return await self._changed(records, rerouted)

    async def _changed(self, records: Sequence[Record], change: Callable[[Record], Record]) -> Sequence[Record]:
        """Each becomes another record; what is known of where it goes must not keep it from being tried."""
        if not records:
            return ()
        changes = [(record, change(record)) for record in records]
        for record, new in changes:
            if new.state == WAITING and not new.line:
                self._owner.lines.forget(domain_of(record.envelope.recipients), flow_of(record.envelope))
        await self._owner.change(changes)
        return records

    async def _expire(self, records: Sequence[Record], _: Word) -> Sequence[Record]:
        return await self._ended(records, GIVEN_UP)

    async def _bounce(self, records: Sequence[Record], word: Word) -> Sequence[Record]:
        return await self._ended(records, Reject(word.text, word.code))

    async def _ended(self, records: Sequence[Record], verdict: Reject) -> Sequence[Record]:
        _note(records, "given up" if verdict is GIVEN_UP else "returned", self._owner.time())
        for record in records:
            self._owner.end(record, verdict)
        await self._owner.writer.apply(lambda _: None)  # behind what that has stored
        return records

    async def _delete(self, records: Sequence[Record], _: Word) -> Sequence[Record]:
        await self._owner.remove(records)
        for record in records:
            event("deleted", id=record.id, to=[one.address for one in record.envelope.recipients])
        return records

    async def turn(self, line: str, by: str = "") -> bool:
        """Let a line have its turn now; whether there is such a line. ``by``: the operator. StorageError."""
        if not await self._turned(line):
            return False
        event("ordered", line=line, order="retry", by=by or None)
        return True

    async def let_go(self, held: Callable[[str, str], bool]) -> int:
        """Let those lines have their turns now of which ``held`` says so, by their names and the domain of what stands
        first in them; how many they are. StorageError."""
        names = await trio.to_thread.run_sync(self._held, held)
        return sum([await self._turned(name) for name in names])

    def _held(self, held: Callable[[str, str], bool]) -> list[str]:
        shard = self._owner.shard
        found = []
        for name in shard.line_names():
            first = shard.records(shard.line_from(name, b"", 1)[0])
            if held(name, domain_of(first[0].envelope.recipients[:1]) if first else ""):
                found.append(name)
        return found

    async def _turned(self, line: str) -> bool:
        owner, now = self._owner, self._owner.time()
        if owner.shard.turn(line) is None:
            return False
        await owner.writer.apply(lambda batch: owner.shard.set_turn(batch, line, now, now))
        owner.lines.hasten(line)
        owner.wake()
        return True


def _note(records: Sequence[Record], what: str, now: float) -> None:
    if what and history.on:
        for record in records:
            history(Noted(record.id, now, what))


def answers_of(owner: Owner) -> Mapping[str, Callable[..., Awaitable[Any]]]:
    """What other processes can ask of it, by the name of the question."""
    orders = Orders(owner)

    async def order(word: Mapping[str, Any], identities: list[bytes]) -> int:
        return await orders.give(msgspec.convert(word, Word), list(map(MessageId, identities)))

    async def put_back(folder: str, number: int, identities: list[bytes], by: str) -> int:
        return await orders.put_back(Path(folder), number, list(map(MessageId, identities)), by)

    return {"order": order, "turn": orders.turn, "put_back": put_back}
