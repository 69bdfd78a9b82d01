"""Messages that come of another one: reports to its sender, what stages send because of it, recipients parked apart."""

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from engine.message import Content, Envelope, Message, MessageId, Octets, Recipient
from engine.observe.events import event
from engine.queue.bounce import Failure, bounce
from engine.queue.content import FileContent, link
from engine.queue.delivery import Delivery
from engine.queue.outcomes import parked, with_lanes
from engine.queue.store import Record, Shard, with_recipients
from engine.verdict import Delivered, Quarantine


def report(delivery: Delivery, failures: list[Failure], hostname: str, now: float) -> list[tuple[Record, Content]]:
    """The report to the sender, if there is one to be told."""
    if not failures:
        return []
    envelope = delivery.record.envelope
    if not envelope.sender:  # RFC 3464 1.3, RFC 5321 4.5.5: never a bounce of a bounce
        event("bounce-dropped", id=delivery.record.id, to=[failure.recipient.address for failure in failures])
        return []
    identity = MessageId.new(now)
    octets = bounce(identity, hostname, delivery.message, failures, now)
    told = Recipient(envelope.sender, notify="NEVER")
    record = Record(
        id=identity,
        envelope=Envelope("", (told,), arrived=now, smtputf8=envelope.smtputf8, requiretls=envelope.requiretls),
        lane=delivery.record.lane,
        size=len(octets),
        due=now,
        decided=now,
    )
    event("bounce", id=delivery.record.id, report=identity, to=envelope.sender)
    return [(record, Octets(octets))]


def sent(delivery: Delivery, shard: Shard, now: float) -> Iterator[tuple[Record, Content]]:
    """What the stages send because of this message, each once though several recipients may tell of it."""
    verdicts = [verdict for _, verdict in delivery.outcomes if isinstance(verdict, Delivered)]
    messages = {message.id: message for verdict in verdicts for message in verdict.sends}
    return (_new_message(delivery, shard, message, now) for message in messages.values())


def _new_message(delivery: Delivery, shard: Shard, message: Message, now: float) -> tuple[Record, Content]:
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
    if not old.in_file:
        return apart, Octets(b"".join(shard.content(old).chunks()))
    link(shard.file(old.id), shard.file(apart.id))
    return apart, shard.content(apart)
