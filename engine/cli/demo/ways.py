"""The way of a message, read from the events that the servers write."""

import json
import re
from dataclasses import dataclass, field
from typing import Any

import trio

from engine.message import MessageId

DELIVERED, REFUSED, RETURNED = "delivered", "refused", "returned"
OTHER = "other"
"""How a message ends for one recipient."""

_OUTCOMES = ("delivered", "failed", "deferred", "discarded", "quarantined")
_TROUBLE = ("bug", "stage-failed", "worker-died", "queue-failed", "no-source")
_QUEUED = re.compile(r"queued as ([0-9A-Z]{26})")

Event = dict[str, Any]


class Lost(Exception):
    """A message whose end did not come; the text says what was seen last."""


class Journal:
    """The events of both servers in the order in which they came."""

    def __init__(self) -> None:
        self._events: list[tuple[str, Event]] = []
        self._more = trio.Event()
        self.last = ""

    def note(self, domain: str, line: bytes) -> None:
        """Add a line that the server of the domain has written."""
        self.last = line.decode(errors="replace")
        try:
            event = json.loads(line)
        except ValueError:  # the words of a Python that could not start
            return
        self._events.append((domain, event))
        self._more.set()
        self._more = trio.Event()

    async def find(self, domain: str, *names: str, **values: object) -> Event:
        """Wait for the first event of one of these names with these values."""
        while True:
            for where, event in self._events:
                if where == domain and event["event"] in names and values.items() <= event.items():
                    return event
            await self._more.wait()

    def trouble(self) -> list[str]:
        """Events that no demo should see."""
        return [f"{domain}: {json.dumps(event)}" for domain, event in self._events if event["event"] in _TROUBLE]


@dataclass(frozen=True, slots=True)
class Step:
    """A stage that the message met, and its verdict."""

    domain: str
    stage: str
    verdict: str
    took: str = ""


@dataclass(frozen=True, slots=True)
class End:
    """How it ended for one recipient."""

    recipient: str
    kind: str
    text: str


@dataclass(slots=True)
class Way:
    """Every step, and every end."""

    steps: list[Step] = field(default_factory=list)
    ends: list[End] = field(default_factory=list)


async def refusal(journal: Journal, domain: str, recipients: tuple[str, ...]) -> Way:
    """The short way of a message that was refused at RCPT."""
    way = Way()
    for recipient in recipients:
        event = await journal.find(domain, "recipient-refused", to=recipient)
        way.steps.append(Step(domain, "RCPT", f"reject: {event['code']} {event['text']}"))
        way.ends.append(End(recipient, REFUSED, "refused at RCPT, so that nothing must be returned"))
    return way


async def follow(journal: Journal, domains: tuple[str, str], identity: str, recipients: tuple[str, ...]) -> Way:
    """The way of a message from the first server on. Comes back once it has ended for every recipient."""
    return await _Follower(journal, *domains, began=MessageId.parse(identity).time).follow(identity, recipients)


@dataclass(slots=True)
class _Follower:
    journal: Journal
    here: str
    there: str
    began: float  # Unix time
    way: Way = field(default_factory=Way)

    async def follow(self, identity: str, recipients: tuple[str, ...]) -> Way:
        await self._arrival(self.here, identity)
        outcomes = [await self._outcome(self.here, identity, to) for to in recipients]
        self._steps(self.here, outcomes[0])  # every outcome has them all: it is told when the last one is known
        for outcome in outcomes:
            self.way.ends.append(await self._end(outcome))
        return self.way

    async def _end(self, outcome: Event) -> End:
        to = outcome["to"]
        onward = _QUEUED.search(outcome.get("reply", ""))
        if outcome["event"] == "failed" and outcome["from"]:
            return await self._returned(outcome)
        if outcome["event"] == "delivered" and "remote" in outcome and onward:
            await self._arrival(self.there, onward[1])
            outcome = await self._outcome(self.there, onward[1], to)
            self._steps(self.there, outcome)
        if outcome["event"] != "delivered":
            return End(to, OTHER, f"{outcome['event']}: {outcome.get('text') or outcome.get('reason', '')}")
        return End(to, DELIVERED, f"in the mailbox after {self._since(outcome)}")

    async def _returned(self, failed: Event) -> End:
        to = failed["to"]
        if "remote" in failed:
            refused = await self.journal.find(self.there, "recipient-refused", to=to)
            self.way.steps.append(Step(self.there, "RCPT", f"reject: {refused['code']} {refused['text']}"))
        bounce = await self.journal.find(self.here, "bounce", id=failed["id"])
        self.way.steps.append(Step(self.here, "queue", f"a report for {bounce['to']}"))
        outcome = await self._outcome(self.here, bounce["report"], bounce["to"])
        self._steps(self.here, outcome)
        if outcome["event"] != "delivered":
            return End(to, OTHER, f"the report to {bounce['to']} is {outcome['event']}")
        return End(to, RETURNED, f"{bounce['to']} has a report after {self._since(outcome)}")

    async def _arrival(self, domain: str, identity: str) -> None:
        accepted = await self.journal.find(domain, "accepted", id=identity)
        self._steps(domain, accepted)
        took = max(accepted["time"] - MessageId.parse(identity).time, 0.0)
        self.way.steps.append(Step(domain, "queue", "on disk, and the client hears 250", f"{took * 1000:.0f} ms"))

    async def _outcome(self, domain: str, identity: str, to: str) -> Event:
        return await self.journal.find(domain, *_OUTCOMES, id=identity, to=to)

    def _steps(self, domain: str, event: Event) -> None:
        self.way.steps += [Step(domain, stage, verdict, f"{took:.2f} ms") for stage, verdict, took in event["way"]]

    def _since(self, event: Event) -> str:
        return f"{(event['time'] - self.began) * 1000:.0f} ms"
