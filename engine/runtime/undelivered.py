"""What is done about each recipient who did not get a message: a class for it, the log, webhooks, suppression."""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import trio

from engine.bounces import BadPatterns, Classifier, classifier
from engine.bounces.journal import FOLDER, Entry, Journal, Log
from engine.config import NOWHERE, Config, Fill, Webhook
from engine.message import CAMPAIGN, TENANT, Fact, MessageId, Recipient
from engine.observe.events import event
from engine.observe.measures import Counter
from engine.queue.delivery import Delivery
from engine.queue.lines import domain_of
from engine.return_path.hearing import Bounce, Complaint
from engine.suppression import Suppressions
from engine.verdict import Defer, Reject
from engine.webhooks import Outbox

_REPLIES = Counter(
    "postroad_replies_total", "What was heard of recipients who did not get a message, by its class.", ("class",)
)

SUPPRESSED = "suppressed: "
"""How a stage begins its note of a refusal by the suppression list."""


class Outcome(NamedTuple):
    """One recipient at one attempt, as the owner of the message has it."""

    id: MessageId
    sender: str
    to: Recipient
    verdict: Reject | Defer
    facts: Mapping[str, Fact]
    site: str
    attempts: int
    arrived: float
    now: float


class _Terms(NamedTuple):
    """What the configuration in force says of it."""

    classifier: Classifier
    log: Log | None
    deferrals: bool
    webhooks: tuple[Webhook, ...]
    fills: Mapping[str, Fill] | None


class Undelivered:
    """One object a process that owns messages. What is told is noted by a thread of its own."""

    def __init__(self, config: Config, suppressions: Suppressions) -> None:
        self._suppressions = suppressions
        self._outbox: Outbox | None = None
        self._data = config.server.data
        self._terms = self._of(config)
        self._journal: Journal[Outcome | Entry] = Journal(self._note)

    def use(self, config: Config) -> None:
        """Another configuration is in force."""
        try:
            self._terms = self._of(config)
        except (BadPatterns, OSError) as error:  # the file was changed since it was checked: the old ones go on
            event("bounces-not-noted", why=f"the old patterns stay: {error}")

    def _of(self, config: Config) -> _Terms:
        bounces = config.bounces
        return _Terms(
            classifier(bounces.patterns if bounces.patterns != NOWHERE else None),
            Log(self._data / FOLDER, keep=bounces.keep, size=bounces.log_size) if bounces.log else None,
            bounces.deferrals,
            config.webhooks,
            config.suppression,
        )

    @property
    def outbox(self) -> Outbox:
        """What waits for webhooks, opened when it is needed. StorageError."""
        if self._outbox is None:
            self._outbox = Outbox.open(self._data)
        return self._outbox

    def heard(self, delivery: Delivery, recipient: Recipient, verdict: Reject | Defer, now: float) -> None:
        """A recipient did not get it. This takes a microsecond or two, whatever is made of it."""
        envelope = delivery.record.envelope
        site = delivery.sites.get(recipient.address, "")
        self._journal.tell(
            Outcome(
                delivery.record.id,
                envelope.sender,
                recipient,
                verdict,
                envelope.facts,
                site,
                envelope.attempts + 1,
                envelope.arrived,
                now,
            )
        )

    async def returned(self, bounce: Bounce) -> None:
        """Another server has taken a message, and told later that a recipient did not get it."""
        if bounce.status.action in ("failed", "delayed"):
            self._journal.tell(entry_of_return(bounce, self._terms.classifier, time.time()))

    async def complained(self, complaint: Complaint) -> None:
        """Somebody does not want what we send."""
        self._journal.tell(entry_of_complaint(complaint, time.time()))

    async def unsubscribed(self, address: str, name: str, peer: str) -> None:
        """Somebody has left a list by a link of ours, and is on the suppression list from now on. Unavailable."""
        if self._terms.fills is not None:
            leave = partial(
                self._suppressions.leave, address, self._terms.fills, f"one click: {name}" if name else "one click"
            )
            await trio.to_thread.run_sync(leave)
        event("unsubscribed", to=address, list=name or None, peer=peer)
        self._journal.tell(
            Entry(
                time=round(time.time(), 3), event="unsubscribed", to=address, domain=address.rpartition("@")[2],
                which="unsubscribe", permanent=True, text=name, remote=peer,
            )
        )  # fmt: skip

    def note(self, entry: Entry) -> None:
        """Something else that webhooks may want to hear of."""
        self._journal.tell(entry)

    def close(self) -> None:
        self._journal.close()
        if self._outbox is not None:
            self._outbox.close()

    # By the thread of the journal

    def _note(self, some: Sequence[Outcome | Entry]) -> None:
        terms = self._terms
        entries = [one if isinstance(one, Entry) else entry_of(one, terms.classifier) for one in some]
        for entry in entries:
            if entry.which:
                _REPLIES.of(entry.which).value += 1
        try:
            if terms.fills is not None:
                for entry in entries:
                    self._fill(entry, terms.fills)
            if terms.webhooks and (lost := self.outbox.put(terms.webhooks, entries)):
                event("webhook-full", events=lost)
        finally:  # one's trouble is not that of the other
            if terms.log is not None:
                terms.log.write(entries if terms.deferrals else [one for one in entries if one.event != "deferred"])

    def _fill(self, entry: Entry, fills: Mapping[str, Fill]) -> None:
        """What is said for good of a recipient may put it onto the list."""
        if entry.event not in ("failed", "returned", "complaint") or not entry.permanent:
            return
        added = self._suppressions.heard(entry.which, entry.to, entry.tenant, fills, entry.reply or entry.text)
        if added is not None:
            event("suppressed", to=added.entry, **{"class": added.which}, tenant=added.tenant or None, id=entry.id)


def entry_of(one: Outcome, known: Classifier) -> Entry:
    """What the log has of it."""
    verdict = one.verdict
    found = known.classify(verdict.reply or verdict.text, status=verdict.code)
    deferred = isinstance(verdict, Defer)
    suppressed = not deferred and verdict.log.startswith(SUPPRESSED)
    return Entry(
        time=round(one.now, 3),
        event="deferred" if deferred else "suppressed" if suppressed else "failed",
        id=str(one.id),
        to=one.to.address,
        sender=one.sender,
        domain=domain_of([one.to]),
        site=one.site,
        source=verdict.source,
        remote=verdict.remote,
        which="suppressed" if suppressed else found.name,
        permanent=not deferred and (found.permanent or not verdict.reply),
        code=verdict.code,
        reply=verdict.reply,
        text=verdict.text,
        tenant=str(one.facts.get(TENANT) or ""),
        campaign=str(one.facts.get(CAMPAIGN) or ""),
        attempts=one.attempts,
        arrived=round(one.arrived, 3),
        again=round(one.now + (verdict.retry_after or 0.0), 3) if isinstance(verdict, Defer) else 0.0,
        by=found.by,
    )


def entry_of_return(bounce: Bounce, known: Classifier, now: float) -> Entry:
    """What the log has of a report that came back."""
    status = bounce.status
    found = known.classify(status.diagnostic, status=status.status)
    return Entry(
        time=round(now, 3),
        event="returned",
        id=bounce.message,
        to=bounce.recipient,
        domain=bounce.recipient.rpartition("@")[2],
        remote=status.remote or bounce.reporter,
        which=found.name,
        permanent=status.action == "failed" and found.permanent,
        code=status.status,
        reply=status.diagnostic,
        arrived=bounce.sent,
        by=found.by,
    )


def entry_of_complaint(complaint: Complaint, now: float) -> Entry:
    """What the log has of it."""
    by = " ".join(filter(None, [complaint.agent, complaint.message_id]))
    return Entry(
        time=round(now, 3),
        event="complaint",
        id=complaint.message,
        to=complaint.recipient,
        domain=complaint.recipient.rpartition("@")[2],
        remote=complaint.reporter,
        which=_CLASSES.get(complaint.kind.removesuffix("-list"), "complaint"),
        permanent=complaint.proven and bool(complaint.recipient),
        text=f"{complaint.kind}: {by}" if by else complaint.kind,
        arrived=complaint.sent,
    )


_CLASSES = {"opt-out": "unsubscribe", "virus": "virus"}
"""Of complaints that are no complaint about spam."""
