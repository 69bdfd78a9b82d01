"""A message that is away from the queue."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from engine.history.entries import Leg
from engine.links.link import Way
from engine.message import Content, Fact, Message, Recipient
from engine.queue.line import Line
from engine.queue.store import Record
from engine.verdict import Defer, Verdict


@dataclass(slots=True)
class Unstored:
    """What is to be known of a message that was given out before it was stored: see `engine/queue/straight.py`."""

    answer: Callable[[Verdict], None]
    content: Content
    began: float  # by the clock of the event loop
    then: list[Callable[[], None]] = field(default_factory=list)  # what waits until it is stored, or cannot be
    storing: bool = False
    trouble: Defer | None = None  # why it could not be


@dataclass(slots=True)
class Delivery:
    """A message that is away from the queue: what has become of each recipient so far."""

    record: Record
    message: Message
    waiting: list[Recipient]  # recipients without an outcome; an alias has been replaced by its members
    domain: str = ""  # of all recipients
    flow: str = ""  # whose mail it is
    line: Line | None = None  # that it was taken from
    note: int = 0  # that it is away
    given: float = 0.0  # when it was given out, in Unix time
    outcomes: list[tuple[Recipient, Verdict]] = field(default_factory=list)
    sites: dict[str, str] = field(default_factory=dict)  # where mail was to go, by recipient, where it did not get
    way: Way = field(default_factory=list)
    legs: list[Leg] = field(default_factory=list)  # the same for the history
    revision: int = 0  # of the configuration that it went by
    facts: dict[str, Fact] = field(default_factory=dict)  # what stages have found out about what is to be parked
    unstored: Unstored | None = None  # None: it is in the queue, as nearly always

    def became(self, recipient: Recipient, others: Sequence[Recipient]) -> None:
        """An alias stands for others, or one recipient goes down several lanes."""
        self._forget(recipient)
        self.waiting += others

    def told(self, recipients: Sequence[Recipient], verdict: Verdict) -> None:
        """These recipients have their outcome."""
        for recipient in recipients:
            self._forget(recipient)
            self.outcomes.append((recipient, verdict))

    def _forget(self, recipient: Recipient) -> None:
        for index, waiting in enumerate(self.waiting):
            if waiting.address == recipient.address:
                del self.waiting[index]
                return
