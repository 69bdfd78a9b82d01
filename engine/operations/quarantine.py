"""What operators do with parked mail: they look for it and at it, let it go on, delete it, and learn from it.

Who may touch some domains alone sees of a message no recipients but those there, and decides for these alone.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar

import msgspec

from engine.lanes import MAIL
from engine.links.request import Unanswered
from engine.message import MessageId
from engine.operations.moments import Moment, at
from engine.operations.operator import Operator
from engine.operations.reading import Ask
from engine.quarantine.held import Held, Wanted, find, held, is_at
from engine.quarantine.look import beginning, header
from engine.queue.store import Shard
from engine.runtime.services import QUEUE_SERVICE
from engine.spam import SERVER, Kind, Learnt, Lesson, Letter, Words, lesson, teach

T = TypeVar("T")
Decision: TypeAlias = Literal["release", "delete"]

_ANY = Wanted()


class ParkedRow(msgspec.Struct, frozen=True, kw_only=True, rename={"sender": "from"}):
    """A parked message as it is listed, since when it is. ``size`` in octets; the sender is empty for a bounce."""

    id: str
    parked: Moment
    sender: str
    to: tuple[str, ...]
    subject: str
    score: float | None
    stage: str
    reason: str
    size: int


class Parked(ParkedRow, frozen=True, kw_only=True, rename={"sender": "from"}):
    """A parked message with all that is known of it; ``text`` is how it begins."""

    arrived: Moment
    peer: str
    helo: str
    login: str
    attempts: int
    facts: dict[str, Any]
    header: str
    text: str


@dataclass(frozen=True, slots=True)
class Chosen:
    """A parked message that is to be decided about, for some of its recipients; without any named, for all."""

    held: Held
    to: tuple[str, ...] = ()

    @property
    def id(self) -> MessageId:
        return self.held.record.id


def listed(opened: Sequence[Shard], by: Operator, wanted: Wanted = _ANY) -> list[ParkedRow]:
    """What is parked and wanted, the oldest first. StorageError."""
    found = (one for one in held(opened, wanted) if _whose(by, one))
    return [row(by, one) for one in sorted(found, key=lambda one: one.since)]


def newest(opened: Sequence[Shard], by: Operator, wanted: Wanted, most: int) -> tuple[int, list[ParkedRow]]:
    """How many are parked and wanted, and so many of them, the newest first. StorageError."""
    count = 0

    def counted() -> Iterator[Held]:
        nonlocal count
        for one in held(opened, wanted):
            if _whose(by, one):
                count += 1
                yield one

    found = heapq.nlargest(most, counted(), key=lambda one: (one.since, bytes(one.record.id)))
    return count, [row(by, one) for one in found]


def looked_into(opened: Sequence[Shard], by: Operator, identity: MessageId, look: Callable[[Held], T]) -> T | None:
    """What a look into one of them finds; None when it is not parked, or not for them. StorageError."""
    one = find(opened, identity)
    return look(one) if one is not None and _whose(by, one) else None


def shown(opened: Sequence[Shard], by: Operator, identity: MessageId) -> Parked | None:
    """All of one of them; None when it is not parked, or not for them. StorageError."""
    one = find(opened, identity)
    if one is None or not _whose(by, one):
        return None
    envelope, session, message = one.record.envelope, one.record.envelope.session, one.message
    return Parked(
        **msgspec.structs.asdict(row(by, one)),
        arrived=at(envelope.arrived),
        peer=session.peer,
        helo=session.helo,
        login=session.login,
        attempts=envelope.attempts,
        facts=dict(envelope.facts),
        header=header(message),
        text=beginning(message),
    )


def row(by: Operator, one: Held) -> ParkedRow:
    """What a list shows of it."""
    return ParkedRow(
        id=str(one.record.id),
        parked=at(one.since),
        sender=one.record.envelope.sender,
        to=tuple(_whose(by, one)),
        subject=one.message.header("Subject") or "",
        score=one.score,
        stage=one.stage,
        reason=one.record.reason,
        size=one.record.size,
    )


def choose(
    opened: Sequence[Shard], by: Operator, identities: Iterable[MessageId], wanted: Wanted = _ANY
) -> tuple[list[Chosen], list[MessageId]]:
    """Those of these ids that are wanted, or without any all that are; and the ids that are not there. StorageError."""
    named = list(dict.fromkeys(identities))
    if not named:
        found = (_chosen(by, one, wanted) for one in held(opened, wanted))
        return [one for one in found if one is not None], []
    chosen, missing = [], []
    for identity in named:
        parked = find(opened, identity)
        one = _chosen(by, parked, wanted) if parked is not None else None
        if one is None:
            missing.append(identity)
        else:
            chosen.append(one)
    return chosen, missing


def decide(ask: Ask, by: Operator, decision: Decision, chosen: Chosen) -> str:
    """Have it done by the owner of its shard: why it was not, empty when it was."""
    worker = f"{MAIL}-{chosen.held.shard.number}"
    try:
        said: str = ask(worker, QUEUE_SERVICE, decision, bytes(chosen.id), *chosen.to)
    except Unanswered as error:
        return str(error)
    if not said:
        by.tell("parked-decided", id=str(chosen.id), decision=decision, to=chosen.to or None)
    return said


def lessons(by: Operator, kind: Kind, chosen: Iterable[Chosen]) -> dict[MessageId, list[Lesson]]:
    """What the spam filter can learn, for all accounts, of messages while they can be read. StorageError."""
    by.check_all()
    return {one.id: list(lesson(Letter(one.held.message.chunks()), kind, [SERVER])) for one in chosen}


def learn(words: Words, by: Operator, learnt: Iterable[Sequence[Lesson]]) -> Learnt:
    """Teach the spam filter. StorageError."""
    by.check_all()
    return teach(words, (one for each in learnt for one in each))


def _whose(by: Operator, one: Held) -> list[str]:
    """Its recipients, as far as they are for the operator."""
    return by.seen(one.to)


def _chosen(by: Operator, one: Held, wanted: Wanted) -> Chosen | None:
    """It, for those of its recipients who are meant and for the operator; None: there are none, or it is not wanted."""
    theirs = _whose(by, one)
    meant = [address for address in theirs if is_at(wanted.to, address)] if wanted.to else theirs
    if not meant or not wanted.fits(one):
        return None
    return Chosen(one, () if not wanted.to and len(theirs) == len(one.to) else tuple(meant))
