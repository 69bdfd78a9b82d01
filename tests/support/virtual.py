"""Sites in virtual time: each takes so much mail as its script says, and pushes the rest back."""

import math
import random
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import pytest
import trio

from engine.abuse.table import Decide
from engine.deadline import Watch
from engine.message import Envelope, Message, MessageId, Octets, Recipient
from engine.outbound import pool as module
from engine.outbound.bounds import Bounds
from engine.outbound.pool import Pool
from engine.outbound.session import Job, NoTurn, Terms, Timeouts, Trouble
from engine.outbound.way import Security, Way
from engine.protocols.smtp_heard import Reply
from engine.protocols.smtp_limits import Allowance, Limits
from engine.protocols.smtp_transaction import To, Transaction
from engine.shaping.allowances import Allowances
from engine.shaping.claims import Claims
from engine.shaping.shape import UNSHAPED, Shape, Together
from engine.shaping.shaping import Shaping
from engine.shaping.shared import Here

T = TypeVar("T")

TARGETS = [("mx.example.net", "192.0.2.1")]
OK = Reply(250, "Ok", "2.0.0")
TOO_FAST = Reply(450, "Too many messages, slow down", "4.7.1")
TOO_MANY = Reply(421, "Too many connections", "4.7.0")


@dataclass
class Site:
    """``latency``: seconds of a message; ``connections`` at most; ``rate``: who says whether one more may come now."""

    latency: float = 0.05
    connections: float = math.inf
    rate: Callable[[float], bool] = lambda _: True
    refuses_at: str = "connect"  # or "mail": then there may be more, but none of those beyond is served
    reply: Reply = TOO_FAST
    open: list["FakeSession"] = field(default_factory=list)
    taken: list[float] = field(default_factory=list)
    pushed: list[float] = field(default_factory=list)
    refused: int = 0
    most_open: int = 0

    async def session(self, *_: object, to: object = None) -> "FakeSession":
        await trio.sleep(self.latency)
        if self.refuses_at == "connect" and len(self.open) >= self.connections:
            self.refused += 1
            raise Trouble("The server refuses our connection", "4.7.0", reply=str(TOO_MANY), remote="mx")
        session = FakeSession(self)
        self.open.append(session)
        self.most_open = max(self.most_open, len(self.open))
        return session

    def share(self, since: float = 0.0) -> float:
        """Of the messages since then, those that were pushed back."""
        taken, pushed = (sum(time >= since for time in times) for times in (self.taken, self.pushed))
        return pushed / max(taken + pushed, 1)

    def within(self, start: float, end: float) -> int:
        return sum(start <= time < end for time in self.taken)


class FakeSession:
    """What the pool wants of a session; the dialogue is a pause."""

    def __init__(self, site: Site) -> None:
        self.host, self.address = TARGETS[0]
        self.security = Security()
        self.open: deque[Job] = deque()
        self.parted: list[Job] = []
        self.served = 0
        self.allowance = Allowance(Limits())
        self._site = site

    async def deliver(self, job: Job, _following: object, **_: object) -> None:
        self.open.append(job)
        await trio.sleep(self._site.latency)
        now = trio.current_time()
        place = self._site.open.index(self)
        if self._site.refuses_at == "mail" and place >= self._site.connections:
            self._site.pushed.append(now)
            raise Trouble("The server closes the connection", "4.7.0", reply=str(TOO_MANY), remote="mx")
        good = self._site.rate(now)
        (self._site.taken if good else self._site.pushed).append(now)
        self.open.remove(job)
        self.served += 1
        job.settle((OK if good else self._site.reply,), self.host)

    def serves(self, job: Job) -> bool:
        return self.address not in job.failed

    def keep_to(self, terms: Terms) -> None: ...

    def unsure(self, _: Job) -> bool:
        return False

    async def quit(self) -> None:
        self.close()

    def close(self) -> None:
        if self in self._site.open:
            self._site.open.remove(self)


def window(most: int, period: float) -> Callable[[float], bool]:
    """So many in each period, as by a counter that is set back at its end."""
    counts: dict[int, int] = {}

    def rate(now: float) -> bool:
        number = int(now // period)
        counts[number] = counts.get(number, 0) + 1
        return counts[number] <= most

    return rate


def bucket(a_second: float, burst: float) -> Callable[[float], bool]:
    """A bucket of tokens. What is pushed back takes none."""
    state = [burst, 0.0]

    def rate(now: float) -> bool:
        state[0] = min(state[0] + (now - state[1]) * a_second, burst)
        state[1] = now
        if state[0] < 1:
            return False
        state[0] -= 1
        return True

    return rate


def letter(recipients: int = 1) -> Message:
    to = tuple(Recipient(f"b{number}@example.net") for number in range(recipients))
    return Message(MessageId.new(), Envelope("a@example.org", to), Octets(b"Subject: x\r\n\r\n"))


def job_of(message: Message) -> Job:
    recipients = tuple(To(one.address, one.notify, one.original) for one in message.envelope.recipients)
    transaction = Transaction("a@example.org", recipients, 20)
    return Job(message, transaction, TARGETS, Security())


@dataclass
class Sender:
    """Somebody with endless mail for one way: ``waiting`` messages are out of the queue at once, as its owner has them.

    Who is told that there is no turn goes back, and comes again when it is time.
    """

    pool: Pool
    way: Way = Way("mx.example.net")
    shape: Shape = UNSHAPED
    waiting: int = 300
    recipients: int = 1
    put_off: int = 0
    delivered: int = 0
    deferred: int = 0

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(self.waiting):
                nursery.start_soon(self._one_after_the_other)

    async def _one_after_the_other(self) -> None:
        message = letter(self.recipients)
        while True:
            job = job_of(message)
            await self.pool.deliver(job, self.way, self.shape)
            if isinstance(job.trouble, NoTurn):
                self.put_off += 1
                await trio.sleep(job.trouble.wait)
            elif job.trouble or not all(reply and reply.positive for reply in job.replies):
                self.deferred += 1
                await trio.sleep(1)  # it waits for long, and another one comes in its place
            else:
                self.delivered += 1


async def simulate(
    monkeypatch: pytest.MonkeyPatch,
    site: Site,
    seconds: float,
    *,
    connections: int = 20,
    shaping: Shaping | None = None,
    senders: Sequence[dict[str, object]] = ({},),
    meanwhile: Callable[[list[Sender]], Awaitable[None]] | None = None,
) -> list[Sender]:
    """Send for so long."""
    monkeypatch.setattr(module, "open_session", site.session)
    shaping = shaping or Shaping()
    terms = Terms("mx.example.org", lambda _: None, Timeouts(), Watch())  # type: ignore[arg-type, return-value]
    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:
            pool = Pool(nursery, Bounds(connections, 3.0, 1000, terms), valves=shaping.valve)
            made = [Sender(pool, **settings) for settings in senders]  # type: ignore[arg-type]
            for sender in made:
                nursery.start_soon(sender.run)
            if meanwhile is not None:
                nursery.start_soon(meanwhile, made)
    return made


class Provider:
    """Many sites behind one provider, which counts all connections together."""

    def __init__(self, seconds: float, trip: float) -> None:
        self.seconds = seconds  # of a message
        self.trip = trip  # from here to there and back
        self.open = self.most_open = 0
        self.spans: list[tuple[float, float]] = []  # of each message
        self.served: Counter[str] = Counter()  # messages of each site

    async def session(self, _terms: Terms, way: Way, *_: object, to: object = None) -> "PlacedSession":
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        session = PlacedSession(self, way.site)
        await trio.sleep(2 * self.trip)
        return session

    def used(self, places: int, begin: float, end: float) -> float:
        """The part of so many places, from one moment to another, in which a message was under way."""
        return sum(max(min(b, end) - max(a, begin), 0.0) for a, b in self.spans) / (places * (end - begin))


class PlacedSession(FakeSession):
    """A session with one of its sites."""

    def __init__(self, provider: Provider, name: str) -> None:
        super().__init__(Site())
        self._provider, self._name, self._is_open = provider, name, True

    async def deliver(self, job: Job, _following: object, **_: object) -> None:
        self.open.append(job)
        began = trio.current_time()
        await trio.sleep(self._provider.seconds)
        self._provider.spans.append((began, trio.current_time()))
        self._provider.served[self._name] += 1
        self.open.remove(job)
        self.served += 1
        job.settle((OK,), self.host)

    async def quit(self) -> None:
        await trio.sleep(self._provider.trip)
        self.close()

    def close(self) -> None:
        self._provider.open -= self._is_open
        self._is_open = False


class _Ringing:
    """Bells of processes that are none: each hears at once."""

    def __init__(self) -> None:
        self._heard: dict[str, Callable[[], None]] = {}

    async def listen(self, me: str, heard: Callable[[], None]) -> None:
        self._heard[me] = heard
        heard()
        await trio.sleep_forever()

    async def ring(self, those: Sequence[str]) -> list[str]:
        for who in those:
            if who in self._heard:
                self._heard[who]()
        return [who for who in those if who not in self._heard]


class Counted(Here):
    """A table that knows how often it was asked to change."""

    changes = 0

    async def change(self, keys: Sequence[bytes], decide: Decide[T]) -> T:
        self.changes += 1
        return await super().change(keys, decide)


class Far(Counted):
    """One that is asked over a network: there and back it takes so many seconds each, at most."""

    def __init__(self, trip: float, dice: random.Random) -> None:
        super().__init__()
        self._trip, self._dice = trip, dice

    async def change(self, keys: Sequence[bytes], decide: Decide[T]) -> T:
        await trio.sleep(self._dice.uniform(0, self._trip))
        answer = await super().change(keys, decide)
        await trio.sleep(self._dice.uniform(0, self._trip))
        return answer


class OneRoof(dict[str, Counted]):
    """Tables of workers that are all in this process, where nothing takes time, but to ask for rates by ``trip``."""

    server: object = None

    def __init__(self, trip: float = 0.0, dice: random.Random | None = None) -> None:
        super().__init__(connections=Counted(), allowances=Far(trip, dice or random.Random(0)))
        self.bells = _Ringing()

    def rates(self) -> Allowances:
        """Those of one more worker."""
        return Allowances(self, lambda: 1e9 + trio.current_time())  # type: ignore[arg-type]

    def claims(self) -> Claims:
        """Those of one more worker."""
        return Claims(self, lambda: 1e9 + trio.current_time())  # type: ignore[arg-type]


def _pool(nursery: trio.Nursery, shaping: Shaping) -> Pool:
    """That of one more worker."""
    watch = Watch()
    nursery.start_soon(shaping.claims.run)
    nursery.start_soon(watch.run)
    terms = Terms("mx.example.org", lambda _: None, Timeouts(), watch)  # type: ignore[arg-type, return-value]
    return Pool(nursery, Bounds(20, 3.0, 1000, terms), valves=shaping.valve)


async def among_nodes(
    monkeypatch: pytest.MonkeyPatch, provider: Provider, shape: Shape, nodes: int, *, seconds: float
) -> list[Sender]:
    """So many nodes with endless mail for one site."""
    monkeypatch.setattr(module, "open_session", provider.session)
    tables, senders = OneRoof(), []
    tables.server = object()
    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:
            for _ in range(nodes):
                pool = _pool(nursery, Shaping(allowances=tables.rates(), claims=tables.claims()))
                senders.append(Sender(pool, Way("mx.example.net"), shape, waiting=20))
                nursery.start_soon(senders[-1].run)
    return senders


async def _finite(pool: Pool, way: Way, shape: Shape, count: int) -> None:
    async def one() -> None:
        trouble: Trouble | None = NoTurn("", 0.0)
        while isinstance(trouble, NoTurn):
            await trio.sleep(trouble.wait)
            job = job_of(message)
            await pool.deliver(job, way, shape)
            trouble = job.trouble

    message = letter()
    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(one)


async def together(
    monkeypatch: pytest.MonkeyPatch, site: Site, seconds: float, tables: OneRoof, workers: Sequence[dict[str, object]]
) -> None:
    """Workers with endless mail, all of which ``site`` sees: of each, what its sender has."""
    monkeypatch.setattr(module, "open_session", site.session)
    terms = Terms("mx.example.org", lambda _: None, Timeouts(), Watch())  # type: ignore[arg-type, return-value]
    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:
            for settings in workers:
                valves = Shaping(allowances=tables.rates()).valve
                pool = Pool(nursery, Bounds(20, 3.0, 1000, terms), valves=valves)
                nursery.start_soon(Sender(pool, **settings).run)  # type: ignore[arg-type]


async def provided(
    monkeypatch: pytest.MonkeyPatch,
    provider: Provider,
    places: int,
    shares: Sequence[Sequence[int]],
    *,
    per_connection: int,
    seconds: float,
) -> None:
    """Workers with so many messages for each of their sites; 0: without an end. All sites are the provider's."""
    monkeypatch.setattr(module, "open_session", provider.session)
    shape = Shape(messages_per_connection=per_connection, together=(Together("big", connections=places),))
    tables, number = OneRoof(), 0
    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:
            for share in shares:
                claims = tables.claims()
                pool = _pool(nursery, Shaping(claims=claims))
                for count in share:
                    number += 1
                    way = Way(f"mx{number}.example.net")
                    if count:
                        nursery.start_soon(_finite, pool, way, shape, count)
                    else:
                        nursery.start_soon(Sender(pool, way, shape, waiting=20).run)
