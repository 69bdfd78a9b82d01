"""A governor: how many connections and how many messages a second one way bears, found out by what the site replies.

It computes; times are handed in, in seconds of any clock. A reply that asks to come later is a *push back*. Those for
messages that were on their way already when the first one came belong to one and the same *episode*.

Connections shrink by the share that was pushed back. A rate becomes known at the first episode, by what got through
until the site took mail again. From then on messages are spaced by it; it grows by each message that gets through,
slowly near where it was pushed back, fast elsewhere. Growing beyond costs push backs, and is paid for: each message
that gets through earns a small part of one. So they stay a small share, whatever the site does.
"""

import math
from dataclasses import dataclass

START = 4.0
"""Connections to a site of which nothing is known."""

EARNED = 0.02
"""Push backs that a message earns which gets through: the share that looking for more may cost."""

CREDIT = 4.0
"""Push backs that can be earned ahead."""

PAUSE = 1.0
"""Seconds without a message after a push back, while no rate is known."""

LONGEST = 600.0
"""Seconds of the longest pause between two messages that try whether the site takes mail again."""

REFUSED = 60.0
"""Seconds without one more connection, after a site has refused one beside those it has."""

CUT = 0.02
"""Part by which a known rate shrinks in an episode, if the last one is long ago."""

NEAR, RISE, CLIMB, FASTER = 0.97, 0.02, 0.0002, 50
"""Up to this part of the rate that was pushed back last, a rate grows by RISE with each message that gets through, from
there on by CLIMB; and as far above, the faster the farther."""

SAMPLE = 10
"""Messages of which something can be told about the rate."""

IDLE = 1.0
"""Seconds without a message, beyond those that we have waited, that do not count as time in which there was mail."""

UNSURE = 6
"""Push backs one after the other that may be about the messages, not about us. Then they are taken for that."""


@dataclass(frozen=True, slots=True)
class Learnt:
    """What is worth keeping. A rate of infinity: none is known."""

    window: float = START
    bound: float = math.inf
    rate: float = math.inf
    top: float = math.inf


class Governor:
    """One for each way."""

    def __init__(self, learnt: Learnt | None = None) -> None:
        learnt = learnt or Learnt()
        self.window = learnt.window  # connections
        self.most = math.inf  # of them, that there may ever be
        self.rate = learnt.rate  # messages a second
        self.deferred = 0  # push backs, for whoever counts
        self.passed = 0
        self._top = learnt.top  # rate at which the site last pushed back
        self._bound = learnt.bound  # connections at which it did, or refused one more
        self._credit = CREDIT
        self._chain = 0  # episodes one after the other, with nothing that got through in between
        self._unsure = 0  # push backs in a row that may be about the messages
        self._deaf = False  # such push backs do not count now
        self._began = -math.inf  # the episode
        self._good = self._bad = 0  # messages of the episode, and of the time just before
        self._before = math.inf  # connections when it began
        self._until = -math.inf  # nothing is sent before
        self._next = -math.inf  # nor before this, because of the rate
        self._last = -math.inf  # when the last one was sent
        self._paced = False  # whether the rate held it up
        self._cycle = 0  # messages that got through since the site last took mail again
        self._busy = 0.0  # seconds since then in which there was mail to send
        self._more_after = -math.inf  # when one more connection may be tried
        self._patience = REFUSED

    def learnt(self) -> Learnt:
        """What is worth keeping of it."""
        return Learnt(self.window, self._bound, self.rate, self._top)

    def wait(self, now: float) -> float:
        """Seconds until the next message may be sent."""
        return max(self._until - now, self._next - now, 0.0)

    @property
    def probing(self) -> bool:
        """Whether single messages try whether the site takes mail again."""
        return self._chain > 1 or (self._chain == 1 and self.rate == math.inf)

    def sent(self, now: float) -> None:
        """A message leaves."""
        gap = now - self._last
        if gap < math.inf:
            waited = max(self._until, self._next) - self._last
            self._busy += min(gap, max(waited, 0.0) + IDLE)
        self._last = now
        if self.rate != math.inf:
            space = 1 / self.rate
            self._paced = now - self._next <= 2 * space + 0.1
            # One that comes late may be followed at once, so that no part of the rate is lost by it.
            self._next = max(self._next, now - max(space, 0.05)) + space
        if self.probing:
            self._until = now + self._pause()

    def got_through(self, sent: float, now: float) -> None:
        """The site took a message that was sent at ``sent``."""
        self.passed += 1
        self._credit = min(self._credit + EARNED, CREDIT)
        self._cycle += 1
        self._unsure = 0
        if self._chain and sent >= self._began:
            self._resume(now)
        elif not self._chain:
            self._grow(now)
        else:
            self._good += 1
            self._fit()

    def pushed_back(self, sent: float, now: float, established: int, *, sure: bool = True) -> None:
        """The site asks to come later with a message that was sent at ``sent``, on one of so many connections.

        ``sure``: about us, and not about the message, as a greylist might.
        """
        self.deferred += 1
        if not sure:
            self._unsure += 1
            if self._unsure >= UNSURE:
                self._do_without(now)
            if self._deaf:
                return
        else:
            self._deaf = False
        self._credit -= 1
        if sent < self._began:
            self._bad += 1
            if self._chain:
                self._fit()
            return
        self._episode(now, established)

    def refused(self, established: int, now: float) -> None:
        """The site wants no further connection beside those."""
        self._bound = float(max(established, 1))
        self.window = min(self.window, self._bound)
        self._more_after = now + self._patience
        self._patience = min(2 * self._patience, 60 * REFUSED)

    # -- episodes

    def _episode(self, now: float, established: int) -> None:
        self._chain += 1
        if self._chain == 1:
            if self.rate != math.inf:
                self._top = self.rate
                self._cut()
            self._before = self._bound = max(min(self.window, established), 1.0)
            self._good, self._bad = min(self._cycle, int(self._before)), 0
        self._began = now
        self._bad += 1
        self._until = now + self._pause()
        self._fit()

    def _pause(self) -> float:
        first = PAUSE if self.rate == math.inf else min(max(2 / self.rate, 0.02), 30.0)
        return float(min(first * 2 ** (self._chain - 1), LONGEST))

    def _fit(self) -> None:
        """As many connections as the share of the episode's messages that got through."""
        share = self._good / (self._good + self._bad)
        self.window = max(min(self._before * share, self._bound), self._before / 8, 1.0)

    def _cut(self) -> None:
        """The rate was too high: the more so, the sooner after the last time."""
        short = max(0, 4 - int(math.log2(1 + self._cycle / 4)))  # 4 after 0 to 3 messages, 0 after 60
        self.rate *= 1 - CUT * 2**short

    def _resume(self, now: float) -> None:
        """The site takes mail again."""
        if self.probing:
            self._measure(now)
        self._chain = 0
        self._until = -math.inf
        self._next = max(self._next, now) if self.rate == math.inf else now + 1 / self.rate
        self._cycle, self._busy = 0, 0.0

    def _measure(self, now: float) -> None:
        """The rate, by what got through since the site took mail again the last time."""
        # It did at some time between the last push back and this.
        busy = max(self._busy + min(now - self._last, IDLE) - (now - self._began) / 2, 0.001)
        found = max(self._cycle, 1) / busy
        if self.rate == math.inf:
            # The last pause may have been twice as long as need be, so up to twice as much may be borne.
            self.rate, self._top = found, 2 * found
            self._credit = max(self._credit, 0.0)  # what was not known is no debt
        elif self._cycle >= SAMPLE:
            # What was found is too low where the rate has grown meanwhile: not below a third of what it had come to.
            self.rate = max(min(self.rate, (1 - CUT) * found), self._top / 3)
            self._top = max(min(self._top, found), self.rate)
        else:
            self.rate *= 0.7

    def _do_without(self, now: float) -> None:
        """To wait has not helped: it was not about us."""
        self._deaf = True
        self._chain = self._unsure = 0
        self._until = self._next = -math.inf
        self.rate = self._top = math.inf
        self.window = max(self.window, min(self._before, START))
        self._cycle, self._busy = 0, 0.0
        self._last = now

    # -- growth

    def _grow(self, now: float) -> None:
        if self.window < min(NEAR * self._bound, self.most):
            self.window += 1
        elif self.window < self.most and self._credit >= 1 and now >= self._more_after:
            self.window += 1 / (10 * self.window)
            if self.window > self._bound + 1:  # one more is borne
                self._bound = 1.5 * self.window
                self._patience = REFUSED
        if self._paced:
            self.rate *= 1 + self._step()

    def _step(self) -> float:
        """Part by which the rate grows with one message."""
        part = self.rate / self._top
        if part < NEAR:
            return RISE
        if self._credit < 1:
            return 0.0
        return CLIMB * (1 + FASTER * max(part - (2 - NEAR), 0.0))
