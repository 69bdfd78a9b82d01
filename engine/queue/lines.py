"""Lines: how mail waits for a domain that cannot be reached, or that has its share of the places already.

What stands in a domain's line is not tried one by one. One message goes ahead when the line's turn has come; if that
shows the domain can be reached again, the others follow, the more the better it goes.
"""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Protocol

import outcome

from engine.message import MessageId, Recipient
from engine.observe.events import event
from engine.queue.store import Record, Shard
from engine.storage.writer import Writer

PAUSE = 300.0
"""Seconds for which new mail is not tried either, at most: a domain may be back long before its line has its turn."""

VENTURE = 60.0
"""Seconds that one new message has, after a pause, to find out before the next one is tried."""

PAUSES = 10_000
"""Domains whose pause is remembered; mail for others finds out by itself."""

AHEAD, PACE = 10, 10.0
"""Lines that may have their turns at once, and in a second after that, until one of them gets through. A turn costs as
much as ten deliveries, for servers are looked up anew; after a long stop all are owed theirs, and other mail waits."""


class Line:
    """A line that moves: ``away`` of its messages are on their way, of ``window`` that may be at once.

    A window of 0: it is about to rest, or over, as soon as the shard has it so.
    """

    __slots__ = ("away", "domain", "start", "window")

    def __init__(self, domain: str, window: int = 1) -> None:
        self.domain = domain
        self.window = window
        self.away = 0
        self.start = b""  # the first id that was not looked at


class Giver(Protocol):
    """Who gives out what goes ahead: the owner of the shard."""

    def places(self) -> int:
        """How many more messages may be on their way."""

    def share(self) -> int:
        """Places that one domain may have."""

    def is_away(self, identity: MessageId) -> bool:
        """Whether it is on its way."""

    def start(self, record: Record, line: Line) -> None:
        """Give it out."""

    def wake(self) -> None:
        """A line has its turn."""


class Lines:
    """The lines of one shard: which of them move, which domains are left alone, how many places each domain has."""

    def __init__(self, shard: Shard, writer: Writer, giver: Giver) -> None:
        self._shard = shard
        self._writer = writer
        self._giver = giver
        self._moving: dict[str, Line] = {}
        self._away: Counter[str] = Counter()
        self._paused: dict[str, tuple[float, float]] = {}  # until when, and the age at which mail for it expires
        self._credit = float(AHEAD)  # lines that may have their turns now
        self._credited = 0.0  # when that was, in Unix time

    @property
    def idle(self) -> bool:
        """Whether no domain is different from others, as nearly always."""
        return not self._moving and not self._paused

    def must_wait(self, domain: str, now: float) -> bool:
        """Whether a message for the domain has to stand in line. The first one after a pause need not."""
        pause = self._paused.get(domain)
        if pause is None:
            return 0 < self._giver.share() <= self._away[domain]
        if self._is_paused(domain, now):
            return True
        self._paused[domain] = (now + VENTURE, pause[1])
        return False

    def _is_paused(self, domain: str, now: float) -> bool:
        until = self._paused.get(domain, (0.0, 0.0))[0]
        return now < until <= now + PAUSE  # a longer one was meant for a clock that was ahead

    def age(self, domain: str, default: float) -> float:
        """The age in seconds at which mail for the domain expires."""
        return self._paused[domain][1] if domain in self._paused else default

    def stored(self, record: Record) -> None:
        """A record that stands in line was committed."""
        line = self._moving.get(record.line)
        if line is not None:
            line.start = min(line.start, record.id)
        elif record.line not in self._paused:  # it only waits for a place
            line = self._moving[record.line] = Line(record.line, max(self._giver.share(), 1))
        if line is not None:
            self._advance(line)

    def left(self, domain: str, line: Line | None) -> None:
        """A message for the domain is on its way, taken from that line if from one."""
        self._away[domain] += 1
        if line is not None:
            line.away += 1

    def back(self, domain: str, line: Line | None) -> None:
        """It no longer is."""
        self._away[domain] -= 1
        if not self._away[domain]:
            del self._away[domain]
        if line is not None:
            line.away -= 1
        moving = self._moving.get(domain)
        if moving is not None:
            self._advance(moving)

    def unreached(self, domain: str, line: Line | None, turn: float, age: float, now: float) -> bool:
        """A message, taken from that line if from one, could not reach its domain. Whether that is news.

        ``turn``: when to try again, in Unix time; ``age``: in seconds, at which mail for the domain expires. If it is
        news, ``rests`` must follow.
        """
        went_ahead = line is not None and self._moving.get(domain) is line
        if not went_ahead and self._is_paused(domain, now):
            return False
        self._moving[domain] = Line(domain, 0)
        self._paused.pop(domain, None)  # who is told of last is forgotten last
        if len(self._paused) >= PAUSES:
            del self._paused[next(iter(self._paused))]
        self._paused[domain] = (min(turn, now + PAUSE), age)
        return True

    def rests(self, domain: str) -> None:
        """The turn of a domain that could not be reached was committed."""
        self._moving.pop(domain, None)
        if domain not in self._paused:  # it was reached meanwhile
            self._advance(self._moving.setdefault(domain, Line(domain)))

    def reached(self, domain: str) -> None:
        """A server of the domain was spoken to: its line, if it has one, may move, or move faster."""
        line = self._moving.get(domain)
        if self._paused.pop(domain, None) is not None:
            event("reached", domain=domain)
            if line is None:
                line = self._moving[domain] = Line(domain)
        if line is not None:
            if line.window == 1:  # it was worth its turn: another line may have one at once
                self._credit += 1
                self._giver.wake()
            line.window = min(2 * line.window, max(self._giver.share(), 1))
            self._advance(line)

    def take_turns(self, now: float) -> float | None:
        """Let one message go ahead from each line whose turn has come, as far as there is room. When the next one has.

        Those that go ahead have at most half of a domain's share together: each may take long to find out.
        """
        for line in [line for line in self._moving.values() if not line.away]:
            self._advance(line)
        going_ahead = sum(line.window == 1 for line in self._moving.values())
        room = min(self._giver.places(), max(self._giver.share() // 2, 1) - going_ahead, self._credit_at(now))
        domains, turn = self._shard.turns(max(room, 0), now, self._moving)
        self._credit -= len(domains)
        for domain in domains:
            line = self._moving[domain] = Line(domain)
            self._advance(line)
        return now + 1 / PACE if turn is not None and turn <= now else turn

    def _credit_at(self, now: float) -> int:
        passed = max(now - self._credited, 0.0)  # the clock may have been set back
        self._credit = min(self._credit + passed * PACE, AHEAD)
        self._credited = now
        return int(self._credit)

    def _advance(self, line: Line) -> None:
        """Give out from a line what may be on its way at once; forget the line when it is over."""
        if line.away > line.window // 2:
            return
        room = min(line.window - line.away, self._giver.share() - self._away[line.domain], self._giver.places())
        if room <= 0:
            return
        identities = self._shard.in_line(line.domain, line.start, room)
        if identities:
            line.start = identities[-1] + b"\0"
        for record in self._shard.records([i for i in identities if not self._giver.is_away(i)]):
            self._giver.start(record, line)
        if not identities and not line.away:
            line.window = 0
            self._writer.submit(lambda batch: self._shard.end_line(batch, line.domain), partial(self._ended, line))

    def _ended(self, line: Line, _: "outcome.Outcome[None]") -> None:
        """A line was looked through. What came into it meanwhile has its turn at once."""
        if self._moving.get(line.domain) is line:
            del self._moving[line.domain]
        self._giver.wake()


def domain_of(recipients: Sequence[Recipient]) -> str:
    """The domain of all of them, in lower case; empty when they have several."""
    domain = recipients[0].address.rpartition("@")[2].lower()
    for recipient in recipients[1:]:
        if recipient.address.rpartition("@")[2].lower() != domain:
            return ""
    return domain
