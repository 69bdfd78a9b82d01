"""One line that moves: whose mail stands in it, how much of it may be on its way at once, and when it rests."""

from engine.queue.shares import flow_of, mark
from engine.queue.store import Record, position_of

SHRINK = 0.75
"""What is left of a window when messages come back for want of a slot soon after another. More than half: to come back
costs no attempt and no connection, and a site whose slots are not used costs much."""

SLOWLY = 24.0
"""Messages that must get through, at least, before a window that was found to be too large grows by one: so that under
a twentieth of them come back."""

PATIENCE = 0.1
"""Seconds after which a line that rests may try earlier than it was told to, because others of it got through; twice as
long each time that was in vain."""

SHORTEST = 0.05
"""Seconds that a line rests at least."""


class Flow:
    """The mail of one tenant, or of nobody, that stands in the line."""

    __slots__ = ("mark", "name", "served", "start")

    def __init__(self, marked: bytes, served: float) -> None:
        self.mark = marked
        self.name: str | None = None  # until one of its messages was seen
        self.start = b""  # the first position that was not looked at
        self.served = served  # messages that have left, by its weight


class Line:
    """A line: ``away`` of its messages are on their way, of ``window`` that may be at once.

    A window of 0: it is about to rest, or over, as soon as the shard has it so. ``busy``: there was no slot for one of
    it. Then the window grows while messages get through, and shrinks when one comes back.
    """

    __slots__ = (
        "away", "busy", "came_back", "early", "flows", "joined", "left", "name", "patience", "rising", "shrunk",
        "through", "timed", "until", "window",
    )  # fmt: skip

    def __init__(self, name: str, window: float = 1.0) -> None:
        self.name = name
        self.window = window
        self.away = 0
        self.flows: dict[bytes, Flow] = {}
        self.busy = False
        self.joined: set[tuple[str, str]] = set()  # whose mail for which domain stands in it without being tried
        self.until = 0.0  # Unix time up to which it rests
        self.early = 0.0  # from when on it may be tried before that, if others of it get through
        self.patience = PATIENCE
        self.shrunk = 0.0  # when the window was made smaller
        self.through = 0  # messages that got through since then
        self.rising = True  # no message has come back yet: the window doubles in a round
        self.timed = 0.0  # for when its turn is awaited
        self.left = self.came_back = 0  # messages in all, for those who read of it

    def add(self, record: Record) -> None:
        """It stands in the line now, or stands there again."""
        flow = self.add_flow(mark(flow_of(record.envelope)))
        flow.start = min(flow.start, position_of(record))

    def add_flow(self, marked: bytes) -> Flow:
        flow = self.flows.get(marked)
        if flow is None:  # who comes late has no claim on what others had before
            served = min((other.served for other in self.flows.values()), default=0.0)
            flow = self.flows[marked] = Flow(marked, served)
        return flow

    def room(self, now: float) -> int:
        """How many of it may leave now."""
        if now < self.until or (not self.busy and self.away > self.window // 2):
            return 0
        return int(self.window) - self.away

    def believe(self, now: float) -> None:
        """The clock was ahead, and shows this time."""
        self.until, self.early, self.shrunk = (min(when, now) for when in (self.until, self.early, self.shrunk))

    def holds(self, given: float, rest: float, now: float, *, ours: bool) -> None:
        """One that was given out then came back, as there was no slot; it was of the line itself, or was not."""
        rest = max(rest, SHORTEST)
        self.busy = True
        self.came_back += 1
        self.until = now + rest
        if not ours:
            self.early = max(self.early, now + self.patience)
        elif given > self.shrunk:  # else it left before the window was made smaller
            self._shrink()
            self.shrunk, self.through = now, 0
            self.early = now + min(self.patience, rest)
            self.patience = min(2 * self.patience, max(rest, PATIENCE))

    def _shrink(self) -> None:
        """By one, if that was the first in a while; by more if it comes soon again; all if nothing got through."""
        self.rising = not self.through
        smaller = self.window - 1.0 if self.through >= self.window else self.window * SHRINK
        self.window = max(smaller, 1.0) if self.through else 1.0

    def gets_through(self, given: float, most: int, now: float) -> None:
        """One that was given out then was spoken of by the other side: a slot is free."""
        self.through += 1
        grown = self.window + (1.0 if self.rising else 1.0 / max(self.window, SLOWLY))
        self.window = min(grown, float(max(most, 1)))
        if given > self.shrunk:
            self.until, self.patience = 0.0, PATIENCE
        elif self.until > self.early:
            self.until = self.early if self.early > now else 0.0
