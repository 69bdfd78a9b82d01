"""Lines: how mail waits for a domain that cannot be reached, for a site that is busy, or for a place on the way.

What stands in a line is not tried one by one. One message goes ahead when the line's turn has come; if that gets
through, the others follow, the more the better it goes. In a line, tenants take turns by their weights; of one tenant's
mail what is urgent goes first, then the oldest.
"""

import heapq
from collections.abc import Sequence
from functools import partial
from itertools import islice
from typing import Protocol

import outcome

from engine.message import MessageId, Recipient
from engine.observe.events import event
from engine.queue.delivery import Delivery
from engine.queue.line import Flow, Line
from engine.queue.shares import Shares, flow_of, tenant_line
from engine.queue.store import Record, Shard, identity_at
from engine.storage.writer import Writer

PAUSE = 300.0
"""Seconds for which new mail is not tried either, at most: a domain may be back long before its line has its turn."""

VENTURE = 60.0
"""Seconds that one new message has, after a pause, to find out before the next one is tried."""

PAUSES = 10_000
"""Domains whose pause is remembered; mail for others finds out by itself. As many may wait for busy sites unasked."""

LINES = 10_000
"""Lines of busy sites that move at once; what is held for others is put off like all that must wait."""

AHEAD, PACE = 10, 10.0
"""Lines that may have their turns at once, and in a second after that, until one of them gets through. A turn costs as
much as ten deliveries, for servers are looked up anew; after a long stop all are owed theirs, and other mail waits."""

LOT, FULL = 32, 128
"""Messages that are taken from a line together, where so many of it are on their way: a look into the store for one
costs as much as for all of them."""

STARVED = 100
"""Lines that want places, of which it is seen at once whether there are some again."""


class Giver(Protocol):
    """Who gives out what goes ahead: the owner of the shard."""

    def places(self) -> int:
        """How many more messages may be on their way."""

    def most(self) -> int:
        """How many places there are."""

    def time(self) -> float:
        """Unix time."""

    def is_away(self, identity: MessageId) -> bool:
        """Whether it is on its way."""

    def start(self, record: Record, line: Line) -> None:
        """Give it out."""

    def move(self, record: Record, line: str) -> None:
        """Have it stand in another line."""

    def wake(self) -> None:
        """A line has its turn."""


class Lines:
    """The lines of one shard: which of them move, and which domains are left alone."""

    def __init__(self, shard: Shard, writer: Writer, giver: Giver, shares: Shares) -> None:
        self._shard = shard
        self._writer = writer
        self._giver = giver
        self._shares = shares
        self._moving: dict[str, Line] = {}
        self._paused: dict[str, tuple[float, float]] = {}  # until when, and the age at which mail for it expires
        self._busy: dict[tuple[str, str], str] = {}  # by whose mail, and for which domain, the line that it stands in
        self._rests: list[tuple[float, str]] = []  # a heap: lines that rest, by the time of their turns
        self._starved: dict[str, Line] = {}  # that would move, had they places
        self._advancing = False
        self._looked = b""  # up to where in the index of turns all lines are moving ones
        self._credit = float(AHEAD)  # lines that may have their turns now
        self._credited = 0.0  # when that was, in Unix time

    @property
    def idle(self) -> bool:
        """Whether no domain and no site is different from others, as nearly always."""
        return not self._moving and not self._paused

    @property
    def _widest(self) -> int:
        """The window of a line that nothing narrows."""
        return max(self._giver.most(), 1)

    def line_for(self, domain: str, flow: str, now: float) -> str:
        """The line that mail must stand in; empty when it may be tried. The first one after a pause may."""
        if domain in self._paused:
            if self._is_paused(domain, now):
                return domain
            self._paused[domain] = (now + VENTURE, self._paused[domain][1])
        elif self._busy and (busy := self._busy.get((flow, domain)) or self._busy.get((flow, ""))):
            return busy
        elif self._shares.domain_has_its_own(domain):
            return domain
        return tenant_line(flow) if self._shares.flow_must_wait(flow) else ""

    def _is_paused(self, domain: str, now: float) -> bool:
        until = self._paused.get(domain, (0.0, 0.0))[0]
        return now < until <= now + PAUSE  # a longer one was meant for a clock that was ahead

    def age(self, domain: str, default: float) -> float:
        """The age in seconds at which mail for the domain expires."""
        return self._paused[domain][1] if domain in self._paused else default

    def stored(self, record: Record) -> None:
        """A record that stands in line was committed, or came back into the line that it stands in."""
        line = self._moving.get(record.line)
        if line is not None:
            line.add(record)
        elif record.line not in self._paused:  # it only waits for a place
            line = self._open(record.line, self._widest)
        else:
            self._looked = b""
        if line is not None:
            self._advance(line)

    def rejoined(self, record: Record) -> None:
        """A record stands again in the line that it was taken from: it waits for its turn with the others."""
        line = self._moving.get(record.line)
        if line is not None:
            line.add(record)
            self._advance(line)
        else:
            self._looked = b""
            self._giver.wake()

    def _open(self, name: str, window: float = 1.0) -> Line:
        """A line that begins to move, with all that stands in it."""
        line = self._moving[name] = Line(name, window)
        for marked in self._shard.flows(name):
            line.add_flow(marked)
        return line

    def left(self, domain: str, flow: str, line: Line | None) -> None:
        """Mail for the domain is on its way, taken from that line if from one."""
        self._shares.left(domain, flow)
        if line is not None:
            line.away += 1
            line.left += 1

    def back(self, domain: str, flow: str, line: Line | None) -> None:
        """It no longer is."""
        self._shares.back(domain, flow)
        if line is not None:
            line.away -= 1
        if not self._moving:
            return
        own = self._moving.get(domain)
        if own is not None:
            self._advance(own)
        busy = line if line is not None else self._moving.get(self._busy.get((flow, domain), ""))
        if busy is not None and busy is not own and self._moving.get(busy.name) is busy:
            self._advance(busy)
        self._feed(1, own)

    def _feed(self, count: int, served: Line | None = None) -> None:
        """See whether there are places for lines that wanted some, each in its turn; not for one just ``served``."""
        wanting = (name for name, line in self._starved.items() if line is not served)
        for name in list(islice(wanting, count)):
            line = self._starved.pop(name)
            if self._moving.get(name) is line:
                self._advance(line)

    # -- domains that cannot be reached

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
            self._advance(self._open(domain))

    def reached(self, domain: str, delivery: Delivery) -> None:
        """A server of the domain said something of a message: lines that this shows to be open may move, or faster."""
        line, given = delivery.line, delivery.given
        own = self._moving.get(domain)
        if self._paused.pop(domain, None) is not None:
            event("reached", domain=domain)
            if own is None:
                own = self._open(domain)
        busy = line if line is not None else self._moving.get(self._busy.get((delivery.flow, domain), ""))
        if own is not None:
            self._grow(own, given)
        if busy is not None and busy is not own and self._moving.get(busy.name) is busy:
            self._grow(busy, given)

    def _grow(self, line: Line, given: float) -> None:
        if line.busy:
            line.gets_through(given, self._giver.most(), self._giver.time())
            self._await(line)
        else:
            if line.window == 1:  # it was worth its turn: another line may have one at once
                self._credit += 1
                self._giver.wake()
            elif line.window == self._widest:  # nothing more may leave than before
                return
            line.window = min(2 * line.window, self._widest)
        self._advance(line)

    # -- sites that are busy

    def is_busy(self, name: str) -> bool:
        """Whether there was no slot for mail of that line lately."""
        line = self._moving.get(name)
        return line is not None and line.busy

    def held(self, name: str, delivery: Delivery, rest: float) -> Line | None:
        """There was no slot for a message: the line of that name, which now rests for ``rest`` seconds. None when there
        are too many such lines."""
        found = self._moving.get(name)
        if found is None:
            if len(self._moving) >= LINES:
                return None
            found = self._open(name)
        elif not found.busy:
            found.window = 1.0
        now = self._giver.time()
        found.holds(delivery.given, rest, now, ours=found is delivery.line)
        domain, flow = delivery.domain, delivery.flow
        of_tenant = name == tenant_line(flow)
        if (domain or of_tenant) and len(self._busy) < PAUSES:
            pair = flow, "" if of_tenant else domain
            self._busy[pair] = name
            found.joined.add(pair)
        self._await(found)
        return found

    def _await(self, line: Line) -> None:
        """Have it take its turn when it has rested, if that is not awaited sooner."""
        if line.until and not 0.0 < line.timed <= line.until:
            line.timed = line.until
            heapq.heappush(self._rests, (line.until, line.name))
            self._giver.wake()

    def _end_rests(self, now: float) -> float | None:
        """Lines that have rested have their turns; when the next one has."""
        while self._rests and self._rests[0][0] <= now:
            when, name = heapq.heappop(self._rests)
            line = self._moving.get(name)
            if line is None or line.timed != when:  # it is awaited for another time
                continue
            line.timed = 0.0
            if line.until > now:  # it came back again meanwhile
                self._await(line)
            else:
                line.until = 0.0
                self._advance(line)
        return self._rests[0][0] if self._rests else None

    def forget(self, domain: str, flow: str) -> None:
        """Mail for the domain is to be tried now, whatever is known."""
        self._paused.pop(domain, None)
        for pair in ((flow, domain), (flow, "")):
            name = self._busy.pop(pair, None)
            if name is not None and name in self._moving:
                self._moving[name].joined.discard(pair)

    def hasten(self, name: str) -> None:
        """A line is to have its turn now, whatever is known."""
        self._paused.pop(name, None)
        self._looked = b""
        line = self._moving.get(name)
        if line is not None and line.until:
            line.until = 0.0
            self._advance(line)

    def hastened(self) -> None:
        """Turns were brought forward."""
        self._looked = b""
        now = self._giver.time()
        self._rests.clear()
        for line in self._moving.values():
            line.believe(now)
            line.timed = 0.0
            self._await(line)

    # -- turns

    def take_turns(self, now: float) -> float | None:
        """Let one message go ahead from each line whose turn has come, as far as there is room. When the next one has.

        Those that go ahead have at most half of a domain's share together: each may take long to find out.
        """
        self._feed(STARVED)
        rested = self._end_rests(now)
        going_ahead = sum(line.window == 1 and not line.busy for line in self._moving.values())
        room = min(self._giver.places(), max(self._giver.most() // 4, 1) - going_ahead, self._credit_at(now))
        names, turn, self._looked = self._shard.turns(self._looked, max(room, 0), now, self._moving)
        self._credit -= len(names)
        for name in names:
            self._advance(self._open(name))
        if turn is not None and turn <= now:
            turn = now + 1 / PACE
        return min((when for when in (turn, rested) if when is not None), default=None)

    def _credit_at(self, now: float) -> int:
        passed = max(now - self._credited, 0.0)  # the clock may have been set back
        self._credit = min(self._credit + passed * PACE, AHEAD)
        self._credited = now
        return int(self._credit)

    def _advance(self, line: Line) -> None:
        """Give out from a line what may be on its way at once; forget the line when it is over."""
        room = line.room(self._giver.time())
        if room <= 0:
            return
        if self._advancing:  # a message that was just given out has come to its end already
            self._starved[line.name] = line
            self._giver.wake()
            return
        self._advancing = True
        try:
            self._give(line, room)
        finally:
            self._advancing = False
        if not line.flows and not line.until:
            self._disperse(line)
            if not line.away:
                line.window = 0.0
                self._writer.submit(lambda batch: self._shard.end_line(batch, line.name), partial(self._ended, line))

    def _give(self, line: Line, room: int) -> None:
        while room > 0 and line.flows:
            flow, most = self._next(line)
            if flow is None or (most < LOT and line.away >= FULL and len(line.flows) == 1):
                if line.flows:
                    self._starved[line.name] = line
                return
            room -= self._take(line, flow, min(room, most) if len(line.flows) == 1 else 1)

    def _next(self, line: Line) -> tuple[Flow | None, int]:
        """Whose turn it is in the line, of those who may have a place, and how many places that one may have."""
        flows = list(line.flows.values())
        if len(flows) > 1:
            flows.sort(key=lambda flow: flow.served)
        for flow in flows:
            if flow.name is None and not self._named(line, flow):
                continue
            room = min(self._giver.places(), self._shares.of_flow(flow.name or ""), self._shares.of_domain(line.name))
            if room > 0:
                return flow, room
        return None, 0

    def _named(self, line: Line, flow: Flow) -> bool:
        """Whether it is known whose mail it is: by the first one of it."""
        positions = self._shard.in_line(line.name, flow.mark, flow.start, 1)
        if not positions:
            del line.flows[flow.mark]
            return False
        for record in self._shard.records([identity_at(positions[0])]):
            flow.name = flow_of(record.envelope)
            return True
        flow.start = positions[0] + b"\0"  # it has gone meanwhile
        return False

    def _take(self, line: Line, flow: Flow, count: int) -> int:
        """Give out so many of one flow; how many that were."""
        positions = self._shard.in_line(line.name, flow.mark, flow.start, count)
        if not positions:
            del line.flows[flow.mark]
            return 0
        flow.start = positions[-1] + b"\0"
        identities = [identity_at(position) for position in positions]
        given = 0
        for record in self._shard.records([i for i in identities if not self._giver.is_away(i)]):
            domain = domain_of(record.envelope.recipients)
            if line.name == tenant_line(flow.name or "") and self._shares.domain_has_its_own(domain):
                self._giver.move(record, domain)
            else:
                self._giver.start(record, line)
                given += 1
        flow.served += given / self._shares.weight(flow.name or "")
        return given

    def _disperse(self, line: Line) -> None:
        """Nothing stands in the line any more: what comes next is tried without it."""
        for pair in line.joined:
            if self._busy.get(pair) == line.name:
                del self._busy[pair]
        line.joined.clear()

    def _ended(self, line: Line, _: "outcome.Outcome[None]") -> None:
        """A line was looked through. What came into it meanwhile has its turn at once."""
        if self._moving.get(line.name) is line:
            del self._moving[line.name]
        if line.busy:
            event("line-over", line=line.name, messages=line.left, came_back=line.came_back)
        self._looked = b""
        self._giver.wake()


def domain_of(recipients: Sequence[Recipient]) -> str:
    """The domain of all of them, in lower case; empty when they have several."""
    domain = recipients[0].address.rpartition("@")[2].lower()
    for recipient in recipients[1:]:
        if recipient.address.rpartition("@")[2].lower() != domain:
            return ""
    return domain
