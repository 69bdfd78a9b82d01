"""What the outcomes of its recipients come to: who is tried again, who is parked, and whose sender is told."""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from msgspec.structs import replace

from engine.config import Queue
from engine.message import JUNK, Envelope, Fact, Recipient
from engine.observe.events import event
from engine.observe.measures import Counter, Histogram
from engine.protocols.address import normalised_domain
from engine.queue.bounce import Failure, wants_report
from engine.queue.delivery import Delivery
from engine.queue.lines import domain_of
from engine.queue.store import QUARANTINED, Record, with_recipients
from engine.units import spelled
from engine.verdict import Defer, Delivered, Discard, Quarantine, Reject, Verdict, is_held

_RECIPIENTS = Counter(
    "postroad_recipients_total",
    "What became of recipients, at each attempt; one that is `held` waits in a line.",
    ("outcome",),
)
_TOOK = Histogram(
    "postroad_delivery_seconds",
    "Time from acceptance until a recipient's mail was in its `mailbox`, or with another `server`.",
    ("to",),
    bounds=(0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0, 432_000.0),
)
_OF_DOMAIN = Counter(
    "postroad_domain_recipients_total",
    "What came into mailboxes of a domain, `received` or `junk`, and what its accounts `sent`, or got `returned`.",
    ("domain", "what"),
)
_TOLD = (Reject, Delivered)
_OUTCOMES = {
    Delivered: "delivered", Defer: "deferred", Reject: "failed", Discard: "discarded", Quarantine: "quarantined",
}  # fmt: skip

SOONEST = 1.0
"""Seconds that a deferral lasts at least: a stage that says 0 would spin."""

LATE = 60.0
"""Seconds after which an attempt counts as late, as those do that were owed during a long stop, or while the clock
jumped ahead; and by which a time must lie ahead of the clock for it to be another clock's."""

_EXPIRED = "5.4.7"
"""RFC 3463 3.5: delivery time expired."""

TOO_LATE = Reject("It could not be delivered by the time that its sender has set", _EXPIRED)


@dataclass(frozen=True, slots=True)
class Outcomes:
    """The recipients of one message, by what is to be done about them."""

    waiting: list[tuple[Recipient, Defer]] = field(default_factory=list)
    parked: list[tuple[Recipient, Quarantine]] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    traced: bool = False
    told: list[tuple[Recipient, Verdict]] = field(default_factory=list)

    def add(self, recipient: Recipient, verdict: Verdict) -> None:
        self.told.append((recipient, verdict))
        if isinstance(verdict, Defer):
            self.waiting.append((recipient, verdict))
        elif isinstance(verdict, Quarantine):
            self.parked.append((recipient, verdict))
        elif isinstance(verdict, _TOLD) and wants_report(recipient, verdict, traced=self.traced):
            self.failures.append(Failure(recipient, verdict))

    def park_refused(self, reason: str) -> None:
        """A refused recipient must not vanish without a word to the sender."""
        refused = (failure.recipient for failure in self.failures if isinstance(failure.verdict, Reject))
        self.parked.extend((recipient, Quarantine(reason)) for recipient in refused)

    @property
    def unreached(self) -> str:
        """The domain that all who wait wait for, because it cannot be reached; else empty."""
        if not self.waiting or not all(verdict.unreached for _, verdict in self.waiting):
            return ""
        return domain_of([recipient for recipient, _ in self.waiting])

    @property
    def held(self) -> str:
        """The line that all who wait are to stand in, because there was no slot for them; else empty."""
        names = {verdict.line for _, verdict in self.waiting}
        return names.pop() if len(names) == 1 and not self.parked else ""

    def left(self, old: Record, now: float, facts: Mapping[str, Fact]) -> Record | None:
        """What the record becomes; None when nobody is left. ``facts`` are kept of what is parked."""
        if not (self.waiting or self.parked):
            return None
        left = [recipient for recipient, _ in (*self.waiting, *self.parked)]
        new = with_recipients(old, with_lanes(left, old))
        envelope = new.envelope
        arrived = min(envelope.arrived, now)  # the clock may have been ahead then
        attempts = envelope.attempts + (not self.held)
        new = replace(new, envelope=replace(envelope, arrived=arrived, attempts=attempts), deaths=0)
        if self.parked:
            return parked(new, self.parked[0][1].reason, now, facts)
        due = now + max(min(verdict.retry_after or 0.0 for _, verdict in self.waiting), SOONEST)
        first = self.waiting[0][1]
        return replace(new, due=due, decided=now, reason=first.reply or first.text, line="")


def parked(record: Record, reason: str, now: float, facts: Mapping[str, Fact] = MappingProxyType({})) -> Record:
    """The record of a message that is parked, with what stages have found out about it."""
    envelope = replace(record.envelope, facts=MappingProxyType({**record.envelope.facts, **facts}))
    return replace(record, envelope=envelope, state=QUARANTINED, reason=reason, line="", due=now, decided=now)


def final(verdict: Verdict, delivery: Delivery, settings: Queue) -> Verdict:
    """A deferral that carries no time of its own follows our schedule; at the last attempt it is a refusal."""
    if not isinstance(verdict, Defer):
        return verdict
    envelope = delivery.record.envelope
    if is_too_late(envelope, delivery.given):
        return dataclasses.replace(TOO_LATE, log=verdict.log, reply=verdict.reply, remote=verdict.remote)
    expires = verdict.expires
    if expires is None and (verdict.retry_after is None or verdict.line):
        expires = envelope.begun + settings.expire
    if expires is not None and _was_the_last(delivery, expires):
        text = f"It could not be delivered for {spelled(delivery.given - envelope.begun)}: {verdict.text}"
        return Reject(text, _EXPIRED, verdict.log, verdict.reply, verdict.remote, verdict.source)
    if verdict.retry_after is not None:
        return verdict
    return dataclasses.replace(verdict, retry_after=settings.retry[min(envelope.attempts, len(settings.retry) - 1)])


def is_too_late(envelope: Envelope, now: float) -> bool:
    """Whether it is to be returned rather than delivered so late (RFC 2852 4)."""
    timing = envelope.timing
    return timing.returns and now >= timing.by


def _was_the_last(delivery: Delivery, expires: float) -> bool:
    """Whether an attempt had to be the last one. Not one that comes late to what was still young when it was owed:
    after a long stop, or a jump of the clock that may be an error, mail is tried once more before it is returned."""
    due = delivery.record.due
    return delivery.given > expires and (delivery.given - due <= LATE or due > expires + LATE)


def not_taken(error: BaseException) -> Defer:
    """What a client hears whose message could not be stored."""
    return Defer("The queue cannot take the message now", "4.3.1", log=str(error))


def is_over(verdict: Verdict) -> bool:
    """Whether nothing needs to be done about a recipient but to forget it."""
    return isinstance(verdict, Discard) or (isinstance(verdict, Delivered) and not verdict.sends)


def spoken_to(verdict: Verdict) -> bool:
    """Whether the other side has said something about the message, so that it can be reached."""
    if isinstance(verdict, Delivered):
        return verdict.tell != "expanded"
    return (
        isinstance(verdict, Reject | Defer)
        and bool(verdict.reply)
        and not (verdict.code == _EXPIRED or (isinstance(verdict, Defer) and verdict.unreached))
    )


def with_lanes(recipients: Sequence[Recipient], record: Record) -> tuple[Recipient, ...]:
    """The recipients as they are stored: only a lane that was picked before `queue` is kept, others are found anew."""
    lanes = {recipient.address: recipient.lane for recipient in record.envelope.recipients}
    return tuple(replace(recipient, lane=lanes.get(recipient.address, "")) for recipient in recipients)


def _named(verdict: Verdict) -> str:
    """The outcome in one word."""
    if isinstance(verdict, Delivered):
        return "expanded" if verdict.tell == "expanded" else "delivered"
    return "held" if is_held(verdict) else _OUTCOMES[type(verdict)]


def _count(envelope: Envelope, recipient: Recipient, verdict: Verdict) -> None:
    """Whoever has a name for the other side has handed the mail on; else it is in a mailbox of ours."""
    named = _named(verdict)
    _RECIPIENTS.of(named).value += 1
    login = envelope.session.login
    by = normalised_domain(login.rpartition("@")[2]) if login else ""
    if isinstance(verdict, Delivered) and named == "delivered":
        _TOOK.of("server" if verdict.remote else "mailbox").observe(max(time.time() - envelope.begun, 0.0))
        if not verdict.remote:
            what = "junk" if envelope.facts.get(JUNK) else "received"
            _OF_DOMAIN.of(normalised_domain(recipient.address.rpartition("@")[2]), what).value += 1
        elif by:
            _OF_DOMAIN.of(by, "sent").value += 1
    elif isinstance(verdict, Reject) and by:
        _OF_DOMAIN.of(by, "returned").value += 1


def tell(delivery: Delivery, recipient: Recipient, verdict: Verdict) -> None:
    """Say in an event what became of a recipient."""
    record = delivery.record
    common = {"id": record.id, "to": recipient.address, "from": record.envelope.sender, "way": delivery.way}
    _count(record.envelope, recipient, verdict)
    match verdict:
        case Delivered(tell="expanded"):
            event("expanded", **common)
        case Delivered(reply, remote):
            event("delivered", **common, remote=remote or None, reply=reply or None)
        case Defer(text, code, log, retry_after, reply, remote):
            if is_held(verdict):  # the line is told of, once
                return
            event("deferred", **common, code=code, text=text, log=log or None, remote=remote or None,
                  reply=reply or None, retry_after=round(retry_after or 0, 1))  # fmt: skip
        case Reject(text, code, log, reply, remote):
            event("failed", **common, code=code, text=text, log=log or None, remote=remote or None,
                  reply=reply or None)  # fmt: skip
        case Discard(reason):
            event("discarded", **common, reason=reason)
        case Quarantine(reason):
            event("quarantined", **common, reason=reason)
