"""The mail that passes: how large each message is, how long it stays, and what happens to it meanwhile. Seeded."""

import heapq
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from engine.message import MessageId

KIB = 1024
MIB = 1024 * KIB

SIZES = (
    (0.600, 1 * KIB, 8 * KIB),
    (0.260, 8 * KIB, 32 * KIB),
    (0.100, 32 * KIB, 128 * KIB),
    (0.035, 128 * KIB, 1 * MIB),
    (0.0045, 1 * MIB, 5 * MIB),
    (0.0005, 5 * MIB, 20 * MIB),
)
"""Share of all messages, and between which octets these are, evenly by their logarithm: 45 KiB on the average."""

BATCHES = (1, 4, 16, 64)
"""Messages that come between two commits: each as often as the others."""

FIRST = 1_760_000_000.0
"""Unix time at which the first message comes."""

PACE = 0.05
"""Seconds between two messages."""

_SMALL = 2560, 4000
"""Octets of the messages of a backlog: each takes one page of LMDB."""

_AT_ONCE = 64
"""Messages in a step of a backlog, and in one of those that begin or end all."""


@dataclass(slots=True)
class Mail:
    """A message, from its arrival to its end."""

    number: int
    id: MessageId
    size: int  # octets
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """What happens between two commits. Nothing of it happens to what is new."""

    new: Sequence[Mail] = ()
    deferred: Sequence[Mail] = ()
    gone: Sequence[Mail] = ()


@dataclass
class Flow:
    """So many messages, of which between ``least`` and ``most`` are there at once: most in the middle.

    Four of five stay for a quarter of the average time, the fifth for four times the average, each of them for a random
    time about that. Each is deferred once to four times before it goes. When all have passed others go on to come.
    """

    messages: int
    least: int
    most: int
    batches: Sequence[int] = BATCHES
    seed: int = 1
    passed: int = 0  # messages that have come
    alive: dict[int, Mail] = field(default_factory=dict)  # by number

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._events: list[tuple[float, int, bool, Mail]] = []  # when, by messages passed; and whether it is the end

    def steps(self) -> Iterator[Step]:
        """Without end."""
        while True:
            deferred, gone = [], []
            while self._events and self._events[0][0] < self.passed:
                _, _, ends, mail = heapq.heappop(self._events)
                if ends:
                    gone.append(self.alive.pop(mail.number))
                else:
                    mail.attempts += 1
                    deferred.append(mail)
            new = [self._arrival() for _ in range(self._chance.choice(self.batches))]
            yield Step(new, deferred, gone)

    def backlog(self, count: int) -> Iterator[Step]:
        """Small mail that comes before all other; a fifth of it goes again, here and there, and the others stay.

        It leaves an old store as it is hardest to use again: with many free pages of which few adjoin.
        """
        mails = [self._mail(number, self._chance.randint(*_SMALL)) for number in range(-count, 0)]
        yield from (Step(new=some) for some in _cut(mails))
        gone = self._chance.sample(mails, count // 5)
        yield from (Step(gone=[self.alive.pop(mail.number) for mail in some]) for some in _cut(gone))

    def beginning(self) -> Iterator[Step]:
        """What a store lacks that is to have all that are there now."""
        return (Step(new=some) for some in _cut(list(self.alive.values())))

    def end(self) -> Iterator[Step]:
        """All that are there go."""
        mails = list(self.alive.values())
        self.alive.clear()
        return (Step(gone=some) for some in _cut(mails))

    def _mail(self, number: int, size: int) -> Mail:
        self.alive[number] = mail = Mail(number, MessageId.new(FIRST + PACE * number), size)
        return mail

    def _arrival(self) -> Mail:
        mail = self._mail(self.passed, self._size())
        self.passed += 1
        average = self._level() * (0.25 if self._chance.random() < 0.8 else 4.0)
        stay = self._chance.expovariate(1 / average)
        for _ in range(1 + min(int(self._chance.expovariate(1.0)), 3)):
            self._plan(mail, stay * self._chance.random(), ends=False)
        self._plan(mail, stay, ends=True)
        return mail

    def _plan(self, mail: Mail, after: float, *, ends: bool) -> None:
        heapq.heappush(self._events, (mail.number + after, mail.number, ends, mail))

    def _level(self) -> float:
        """How many should be there now."""
        share = min(self.passed / self.messages, 1.0)
        return self.least + (self.most - self.least) * math.sin(math.pi * share) ** 2

    def _size(self) -> int:
        shares = [share for share, _, _ in SIZES]
        [(_, smallest, largest)] = self._chance.choices(SIZES, shares)
        share: float = (largest / smallest) ** self._chance.random()
        return round(smallest * share)


def _cut(mails: Sequence[Mail]) -> Iterator[Sequence[Mail]]:
    return (mails[start : start + _AT_ONCE] for start in range(0, len(mails), _AT_ONCE))
