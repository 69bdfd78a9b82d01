"""A valve: when the next message may leave on one way, by the rules, and by what the site bears."""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import trio

from engine.observe.events import event
from engine.shaping.allowances import Allowances
from engine.shaping.claims import Again, Claims
from engine.shaping.governor import Governor
from engine.shaping.pushback import push_back
from engine.shaping.shape import UNSHAPED, Shape
from engine.shaping.windows import SLICES, Window
from engine.storage.environment import StorageError
from engine.units import Rate

READY = 5.0
"""Seconds within which a message must have its turn to wait in memory."""

OWN = 10.0
"""Seconds: rates over less time are counted in this process alone, unless nodes share them. Others outlive it."""

TROUBLE = 5.0
"""Seconds until a rate is asked for again that could not be told."""

LEASE = 0.5
"""Seconds for which what was taken of a shared rate may be used, at most: for so long it counts beyond its time."""

ASKING = 2.0
"""A lease lasts for so many times as long as it took to ask for one, or it would be over when it is there."""

AWAIT = 60.0
"""Seconds after which a place is asked for again in any case, though it is told when it is worth asking."""

TELL = 30.0
"""Seconds of a pause that is long enough to be told of."""

ASK = -1.0
"""A shared rate is to be asked for first."""


@dataclass
class Shared:
    """What ways have together. ``alone``: no other process has a part in it."""

    rates: Allowances = field(default_factory=Allowances.here)
    claims: Claims = field(default_factory=Claims)
    alone: bool = True


class Valve:
    """One for each way, for as long as its process lives. Times are of the loop's clock, in seconds."""

    def __init__(
        self,
        name: str,
        governor: Governor,
        shared: Shared | None = None,
        wall: Callable[[], float] = time.time,
        *,
        source: str = "",
    ) -> None:
        self.name = name
        self._source = source
        self.governor = governor
        self.users = 0  # pools that have the way open
        self.established = 0  # connections of all of them
        self.moved = trio.Event()  # set, and another one made, when less is to be waited for than was said
        self._with = shared or Shared()
        self._wall = wall
        self._shape = UNSHAPED
        self._connections = 1
        self._messages: list[Window] = []  # counted here
        self._recipients: list[Window] = []
        self._shared: list[tuple[str, Rate]] = []  # by message
        self._shared_recipients: list[tuple[str, Rate]] = []
        self._lease = (0, 0, -math.inf)  # messages, recipients, until when
        self._lasts = LEASE
        self._asked = 0.0  # seconds that it takes to ask
        self._places: dict[str, int] = {}  # a connection takes one of each, of which there are so many
        self._placed = 0  # connections that have theirs
        self._full = -math.inf  # until when there is no place
        self._shut = -math.inf  # no shared rate has room before
        self.last_reply = ""  # to a message
        self._told = False  # that the site pushes back

    def use(self, shape: Shape, connections: int) -> None:
        """What holds from now on. ``connections``: where the shape says nothing."""
        self._connections = shape.connections or connections
        self.governor.most = float(self._connections)
        if shape is self._shape:
            return
        self._shape = shape
        self._shut = -math.inf
        self.move()
        self._messages, self._shared = self._sorted("messages", shape.messages, self._messages)
        self._recipients, self._shared_recipients = self._sorted("recipients", shape.recipients, self._recipients)
        names = [(f"provider/{one.provider}/{self._source}", one) for one in shape.together]
        self._places = {name: one.connections for name, one in names if one.connections is not None}
        if self._with.rates.among_nodes and shape.connections is not None:
            self._places[f"site/{self.name}"] = shape.connections
        self._shared += [(f"{name}/messages", rate) for name, one in names for rate in one.messages]
        self._shared_recipients += [(f"{name}/recipients", rate) for name, one in names for rate in one.recipients]
        # No longer than a slice, so that as little is lost by it as by these.
        slices = (rate.period / SLICES for _, rate in (*self._shared, *self._shared_recipients))
        self._lasts = min([LEASE, *slices])

    def _sorted(
        self, what: str, rates: Sequence[Rate], windows: Sequence[Window]
    ) -> tuple[list[Window], list[tuple[str, Rate]]]:
        """Windows for what is counted here, names for what is counted with others."""
        counted = {window.rate.period: window.slices() for window in windows}
        own = 0.0 if self._with.rates.among_nodes else OWN
        here = [rate for rate in rates if self._with.alone or rate.period < own]
        there = [(f"site/{self.name}/{what}", rate) for rate in rates if rate not in here]
        return [Window(rate, counted.get(rate.period, ())) for rate in here], there

    # -- connections

    @property
    def connections(self) -> int:
        """How many there may be."""
        if not self._shape.adaptive:
            return self._connections
        return max(min(self._connections, int(self.governor.window)), 1)

    def refused(self, now: float) -> None:
        """The site wants no more than there are."""
        self.governor.refused(self.established - 1, now)  # it was counted while it was opened

    @property
    def shares_places(self) -> bool:
        """Whether its connections count together with those of other ways."""
        return bool(self._places)

    def hope(self) -> None:
        """A place has become free."""
        self._full = -math.inf

    def is_full(self, now: float) -> bool:
        """Whether a provider is known to have no place for one more, of all its sites."""
        return now < self._full

    async def place(self, now: float, again: Again) -> Sequence[str] | None:
        """A place for one more connection; what is to be given to ``leave`` once it has ended. None: there is none.

        Then ``again`` is called as soon as it is worth asking again; it says whether a place is still wanted.
        """
        places = self._places
        if not places:
            return ()
        try:
            if await self._with.claims.take(places, again, lambda: not self._placed):
                self._placed += 1
                return tuple(places)
            self._full = now + AWAIT
        except StorageError as error:
            event("shaping-unknown", way=self.name, error=str(error))
            self._full = now + TROUBLE
        return None

    def leave(self, place: Sequence[str]) -> None:
        """The connection that had the place has ended."""
        if place:
            self._placed -= 1
            self._with.claims.give_back(place)
            if not self._placed:
                self.hope()  # who has none waits in front of those who have

    def forget(self, again: Again) -> None:
        """Nobody wants a place any more who was turned away."""
        self._with.claims.forget(again)

    async def is_wanted(self, rank: int = 1) -> bool:
        """Whether others wait for a place that its connections have. ``rank``: 0 for those who have none."""
        try:
            return bool(self._places) and await self._with.claims.is_wanted(self._places, rank)
        except StorageError:
            return False

    def resting(self, end: Callable[[], None]) -> AbstractContextManager[None]:
        """Meanwhile a connection has nothing to do: ``end`` is called when others wait for its place."""
        return self._with.claims.resting(self._places, end)

    # -- turns

    def move(self) -> None:
        """Wake who waits for a turn: the time that he was told may be too long."""
        moved, self.moved = self.moved, trio.Event()
        moved.set()

    def wait(self, now: float, recipients: int = 1) -> float:
        """Seconds until a message may leave; ASK: nobody knows without asking."""
        wait = max(self.governor.wait(now) if self._shape.adaptive else 0.0, self._shut - now, 0.0)
        if self._shape.pause:
            wait = max(wait, self._shape.pause - self._wall())
        for window in self._messages:
            wait = max(wait, window.wait(now))
        for window in self._recipients:
            wait = max(wait, window.wait(now, recipients))
        if wait or not (self._shared or self._shared_recipients):
            return wait
        messages, many, until = self._lease
        return 0.0 if messages >= 1 and many >= recipients and now < until else ASK

    def take(self, now: float, recipients: int = 1) -> bool:
        """Let a message leave, if it may."""
        if self.wait(now, recipients):
            return False
        for window in self._messages:
            window.take(now)
        for window in self._recipients:
            window.take(now, recipients)
        messages, many, until = self._lease
        self._lease = messages - 1, many - recipients, until
        self.governor.sent(now)
        return True

    async def ask(self, now: float, recipients: Sequence[int]) -> None:
        """Take of the shared rates what messages to so many recipients need: of all of them, else of the first one."""
        lasts = max(self._lasts, min(ASKING * self._asked, LEASE))
        try:
            for some in (recipients, recipients[:1]):
                asked = trio.current_time()
                wait, later = await self._with.rates.lease(self._wanted(len(some), sum(some)), lasts)
                if not wait:
                    took = trio.current_time() - asked
                    self._asked = max(took, self._asked / 2)
                    self._lease = len(some), sum(some), asked + min(later, took) + lasts
                    return
        except StorageError as error:
            event("shaping-unknown", way=self.name, error=str(error))
            wait = TROUBLE
        self._shut = now + wait

    def _wanted(self, messages: int, recipients: int) -> list[tuple[str, Rate, int]]:
        return [(name, rate, messages) for name, rate in self._shared] + [
            (name, rate, recipients) for name, rate in self._shared_recipients
        ]

    def batch(self, waiting: int) -> int:
        """For how many messages, of those that wait, it is worth asking at once: so few that none is lost by it."""
        shares = [rate.most // 200 for _, rate in (*self._shared, *self._shared_recipients)]
        return max(min(waiting, *shares, 100), 1)

    def room(self, now: float) -> float:
        """How many messages will have their turns within READY."""
        wait = self.wait(now)
        if wait > READY:
            return 0
        rooms: list[float] = [window.room(now + READY) for window in (*self._messages, *self._recipients)]
        if self._shape.adaptive and self.governor.rate != math.inf:
            rooms.append(2 * int((READY - max(wait, 0.0)) * self.governor.rate) + 1)  # the rate may grow
        return min(rooms, default=math.inf)

    # -- replies

    def heard(self, code: int, status: str, text: str, *, sent: float, now: float, first: bool) -> None:
        """What the site replied to a message that left at ``sent``."""
        self.last_reply = f"{code} {text}"
        kind = push_back(code, status, text, first=first)
        if kind == "connection":
            self.refused(now)
            return
        before = self.governor.wait(now)
        if kind:
            self._pushed_back(now, sent, f"{code} {text}", sure=kind == "sure")
        else:
            self._got_through(now, sent)
        if self.governor.wait(now) < before:
            self.move()

    def _got_through(self, now: float, sent: float) -> None:
        self.governor.got_through(sent, now)
        if self._told:
            self._told = False
            rate = self.governor.rate
            event("site-takes-mail", way=self.name, rate=round(rate, 3) if rate != math.inf else None)

    def _pushed_back(self, now: float, sent: float, reply: str, *, sure: bool) -> None:
        self.governor.pushed_back(sent, now, self.established, sure=sure)
        pause = self.governor.wait(now)
        if pause >= TELL and not self._told and self._shape.adaptive:
            self._told = True
            event("site-pushes-back", way=self.name, reply=reply, pause=round(pause))
