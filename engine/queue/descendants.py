"""Messages that come of another one: reports to its sender, what stages send because of it, recipients parked apart."""

from collections.abc import Iterator, Sequence
from functools import partial

from msgspec.structs import replace

from engine.history import history
from engine.history.entries import born
from engine.message import Content, Message, MessageId, Octets, Recipient
from engine.observe.events import event
from engine.queue.bounce import ORDINARY, Failure, Letters, back, bounce, wants_report
from engine.queue.content import FileContent, link
from engine.queue.delivery import Delivery
from engine.queue.outcomes import parked, with_lanes
from engine.queue.store import Record, Shard, with_recipients
from engine.verdict import Defer, Delivered, Quarantine


def report(
    delivery: Delivery, failures: list[Failure], hostname: str, now: float, *, letters: Letters = ORDINARY
) -> list[tuple[Record, Content]]:
    """The report to the sender, if there is one to be told."""
    if not failures:
        return []
    record = delivery.record
    if not record.envelope.sender:  # RFC 3464 1.3, RFC 5321 4.5.5: never a bounce of a bounce
        event("bounce-dropped", id=record.id, to=[failure.recipient.address for failure in failures])
        return []
    new, octets = _reported(record, delivery.message, failures, hostname, now, letters=letters)
    event("bounce", id=record.id, report=new.id, to=record.envelope.sender)
    _note(new, octets, record.id, "report")
    return [(new, octets)]


def warning(
    record: Record,
    message: Message,
    waiting: Sequence[tuple[Recipient, Defer]],
    hostname: str,
    now: float,
    *,
    letters: Letters = ORDINARY,
) -> list[tuple[Record, Content]]:
    """The report that recipients have still to wait, if there is one to be told, and it wants to know."""
    delays = [Failure(recipient, verdict) for recipient, verdict in waiting if wants_report(recipient, verdict)]
    if not delays or not record.envelope.sender:
        return []
    new, octets = _reported(record, message, delays, hostname, now, letters=letters)
    event("delay-told", id=record.id, report=new.id, to=record.envelope.sender)
    _note(new, octets, record.id, "warning")
    return [(new, octets)]


def _reported(
    record: Record, message: Message, failures: Sequence[Failure], hostname: str, now: float, *, letters: Letters
) -> tuple[Record, Content]:
    envelope = record.envelope
    identity = MessageId.new(now)
    octets = bounce(identity, hostname, message, failures, now, letters=letters)
    new = Record(
        id=identity,
        envelope=back(envelope, octets, now),
        lane=record.lane,
        size=len(octets),
        due=now,
        decided=now,
    )
    return new, Octets(octets)


def sent(delivery: Delivery, shard: Shard, now: float) -> Iterator[tuple[Record, Content]]:
    """What the stages send because of this message, each once though several recipients may tell of it."""
    messages: dict[MessageId, Message] = {}
    for _, verdict in delivery.outcomes:
        if isinstance(verdict, Delivered):
            for message in verdict.sends:
                messages[message.id] = message
    return map(partial(_new_message, delivery, shard, now), messages.values())


def _new_message(delivery: Delivery, shard: Shard, now: float, message: Message) -> tuple[Record, Content]:
    old, content = delivery.record, message.content
    in_file = isinstance(content, FileContent)  # that of the message, or what a stage has made of it
    if isinstance(content, FileContent):
        link(content.path, shard.file(message.id))
    else:  # read it now: the change that stores it removes it, if it is that of the message
        content = Octets(b"".join(content.chunks()))
    event("sent", id=old.id, new=message.id, to=message.recipients, **{"from": message.sender})
    record = Record(
        id=message.id,
        envelope=replace(message.envelope, arrived=now),
        lane=old.lane,
        size=content.size,
        in_file=in_file,
        due=now,
        decided=now,
    )
    _note(record, content, old.id, "sent")
    return record, content


def parked_apart(
    delivery: Delivery, shard: Shard, recipients: Sequence[tuple[Recipient, Quarantine]], now: float
) -> tuple[Record, Content]:
    """A record of their own for recipients whose mail is parked."""
    old = delivery.record
    apart = with_recipients(old, with_lanes([recipient for recipient, _ in recipients], old))
    return set_apart(old, parked(apart, recipients[0][1].reason, now, delivery.facts), shard, now)


def set_apart(old: Record, new: Record, shard: Shard, now: float) -> tuple[Record, Content]:
    """``new`` as a message beside ``old``: with an id of its own, and a copy of the content."""
    apart = replace(new, id=MessageId.new(now))
    if old.in_file:
        link(shard.file(old.id), shard.file(apart.id))
        content = shard.content(apart)
    else:
        content = Octets(b"".join(shard.content(old).chunks()))
    _note(apart, content, old.id, "parted")
    return apart, content


def _note(record: Record, content: Content, parent: MessageId, why: str) -> None:
    if history.on:
        history(born(Message(record.id, record.envelope, content), parent, why))
