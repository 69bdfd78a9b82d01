"""Connections that several processes, and several nodes, have to one place together: never more than it bears.

Who opens one claims it before, in a table that all share (`engine/abuse/tables.py`). A claim ends by itself: what a
process held that was killed is free again after `LEASE`. Who is turned away waits, by name, in the same table: what
becomes free is whose turn it is, and he is woken by its bell (`engine/abuse/bells.py`). What ends without a word of
anybody, who waits looks for at the moment at which it does.
"""

import math
import os
import time
from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple, NoReturn

import trio

from engine.abuse import Tables
from engine.abuse.bells import Bells
from engine.abuse.table import key_of
from engine.observe.events import event
from engine.shaping.places import LEASE, Asked, Outcome, Said, Turn, cleared, decided, held, is_first, told
from engine.shaping.shared import shared
from engine.storage.environment import StorageError

TABLE = "connections"

RENEW = 5.0
"""Seconds between two renewals: several fit into a lease, even where clocks of nodes differ by seconds. After one, who
waits looks whether a ring was lost."""

_LATER = 0.001
"""Seconds after the end of what is looked for: it is over then in spite of rounding."""

GATHER = 0.05
"""Seconds for which a place is kept that has become free and that nobody waits for."""

CALM = 0.25
"""Seconds for which it is known that there is no place, without another look."""

Again = Callable[[], bool]
"""Asks again for who was turned away. False: he wants nothing any more."""


class _Waiting(NamedTuple):
    """Somebody of this process, in the order in which they come. ``number``: no other has it."""

    turn: Turn
    number: int
    again: Again
    names: tuple[str, ...]


class Claims:
    """One object a process. Names are the caller's: "provider/google/mx1"."""

    def __init__(self, tables: Tables | None = None, clock: Callable[[], float] = time.time) -> None:
        self._table = shared(tables, TABLE)
        self._bells = tables.bells if tables is not None else Bells()
        self._clock = clock
        self._me = os.urandom(8).hex()
        self._used: Counter[str] = Counter()
        self._claimed: Counter[str] = Counter()  # as the table has it, or less
        self._most: dict[str, int] = {}  # of all that are claimed or waited for here
        self._full: dict[str, float] = {}  # until when there is no place
        self._ends: dict[str, float] = {}  # when there may be one though nobody says so
        self._sooner = trio.Event()
        self._waiting: dict[Again, _Waiting] = {}
        self._queues: defaultdict[str, list[_Waiting]] = defaultdict(list)
        self._count = 0
        self._resting: defaultdict[str, dict[Callable[[], None], None]] = defaultdict(dict)
        self._rung = False
        self._stirred = trio.Event()
        self._in_use = trio.Event()
        self._one = trio.StrictFIFOLock()  # held by who asks the table

    # -- places

    async def take(self, wanted: Mapping[str, int], again: Again, hungry: Callable[[], bool] = lambda: True) -> bool:
        """Take one place of each of these names, which have so many together; or none of any.

        ``hungry``: whether who asks has none yet, and goes before those who have. Who is turned away waits for his turn
        from then on: ``again`` is called when he should ask once more. StorageError.
        """
        self._waits(wanted, again, hungry=hungry())
        async with self._one:
            waiting = self._waits(wanted, again, hungry=hungry())  # he may have got one meanwhile
            if self._is_full(wanted) and any(bisect_left(self._queues[name], waiting) for name in waiting.names):
                return False  # the first one asks for all
            if await self._is_at_hand(wanted, waiting):
                self._used.update(wanted.keys())
                self._drop(again)
                if self._has_spare(wanted):
                    self._look()
                return True
            return await self._claim(wanted, again, waiting)

    def _waits(self, wanted: Mapping[str, int], again: Again, *, hungry: bool) -> _Waiting:
        """From when on he first asked with as many connections as he has."""
        self._most.update(wanted)
        self._in_use.set()
        rank, known = 0 if hungry else 1, self._waiting.get(again)
        if known is not None and known.turn.rank == rank:
            return known
        self._count += 1
        return self._stand(_Waiting(Turn(rank, self._clock()), self._count, again, tuple(wanted)))

    def _stand(self, waiting: _Waiting) -> _Waiting:
        """Let him wait so."""
        self._drop(waiting.again)
        self._waiting[waiting.again] = waiting
        for name in waiting.names:
            insort(self._queues[name], waiting)
        return waiting

    def _drop(self, again: Again) -> bool:
        """He waits no more. Whether he did."""
        known = self._waiting.pop(again, None)
        if known is None:
            return False
        for name in known.names:
            queue = self._queues[name]
            del queue[bisect_left(queue, known)]
        return True

    def _is_full(self, names: Iterable[str]) -> bool:
        now = self._clock()
        return any(0 < self._full.get(name, 0.0) - now <= CALM for name in names)

    async def _is_at_hand(self, wanted: Mapping[str, int], waiting: _Waiting) -> bool:
        """Whether what this process has claimed will do, and nobody waits before him."""
        if any(self._used[name] + bisect_left(self._queues[name], waiting) >= self._claimed[name] for name in wanted):
            return False
        values = await self._table.read([key_of(name) for name in wanted])
        if any(self._me in held(value).waiting for value in values):
            self._look()  # which may be true no more
        return is_first(self._me, waiting.turn, self._clock(), values)

    async def _claim(self, wanted: Mapping[str, int], again: Again, waiting: _Waiting) -> bool:
        """Ask the table, which knows who else waits."""
        asked = [self._asked(name, most, waiting) for name, most in wanted.items()]
        self._used.update(wanted.keys())  # before somebody else uses what is at hand
        outcome = Outcome(False)
        try:
            outcome = await self._table.change(
                [one.key for one in asked], lambda values: decided(self._me, asked, self._clock(), values)
            )
        finally:
            if outcome.taken:
                self._claimed.update({n: one.wanted - one.claimed for n, one in zip(wanted, asked, strict=True)})
                self._drop(again)
            else:
                self._used.subtract(wanted.keys())
        if outcome.taken and outcome.more and self._waiting:
            self._look(rung=True)
        if not outcome.taken:
            names = dict(zip([one.key for one in asked], wanted, strict=True))
            self._lacks(waiting, {names[key]: ends for key, ends in outcome.full})
        await self._ring([one.key for one in asked], outcome.ring)
        return outcome.taken

    async def _ring(self, keys: Sequence[bytes], those: Sequence[str]) -> None:
        """Wake these. Who is gone stands in nobody's way any more."""
        if gone := await self._bells.ring(those):
            await self._table.change(keys, partial(cleared, keys, gone))
            await self._bells.ring([who for who in those if who not in gone])  # they may have looked before
            self._look(rung=True)

    def _lacks(self, waiting: _Waiting, names: Mapping[str, float]) -> None:
        """There is no place for him of these, until somebody says so or that time: for them he waits, and stands in
        nobody's way who wants others."""
        self._stand(waiting._replace(names=tuple(names)))
        self._full.update(dict.fromkeys(names, self._clock() + CALM))
        self._expect(names)
        if self._has_spare(names):
            self._look()
        self._end_rest(names)

    def _asked(self, name: str, most: int, waiting: _Waiting) -> Asked:
        queue = self._queues[name]
        ahead = bisect_left(queue, waiting)
        then = next((one.turn for one in queue[:2] if one is not waiting), None)
        first = queue[0].turn if ahead else waiting.turn
        return Asked(key_of(name), self._used[name], self._claimed[name], most, waiting.turn, ahead, first, then)

    def give_back(self, names: Sequence[str]) -> None:
        """Places that are free again."""
        for name in names:
            self._used[name] -= 1
            self._full.pop(name, None)
        self._wake(names)
        self._look()

    # -- who waits here

    def _first(self, name: str) -> Turn | None:
        queue = self._queues[name]
        return queue[0].turn if queue else None

    def _wake(self, names: Iterable[str]) -> bool:
        """Have the first one ask again who wants a place; whether there is one."""
        for name in names:
            while queue := self._queues[name]:
                first = queue[0].again
                self._full.pop(name, None)
                if first():
                    return True
                self._drop(first)
        return False

    def forget(self, again: Again) -> None:
        """He wants no place any more."""
        if self._drop(again):
            self._look()

    async def is_wanted(self, names: Iterable[str], rank: int = 1) -> bool:
        """Whether somebody waits for a place of one of these names, whose rank is not behind this one. StorageError."""
        names = list(names)
        if any(turn is not None and turn.rank <= rank for turn in map(self._first, names)):
            return True
        now, values = self._clock(), await self._table.read([key_of(name) for name in names])
        queues = [held(value).queue(self._me, now) for value in values]
        return any(queue[0][0].rank <= rank for queue in queues if queue)

    @contextmanager
    def resting(self, names: Iterable[str], end: Callable[[], None]) -> Iterator[None]:
        """Meanwhile a connection has nothing to do: ``end`` is called when somebody waits for its place."""
        names = list(names)
        for name in names:
            self._resting[name][end] = None
        try:
            yield
        finally:
            for name in names:
                self._resting[name].pop(end, None)

    def _end_rest(self, names: Iterable[str]) -> None:
        for name in names:
            if ends := self._resting.get(name):
                end = next(iter(ends))
                del ends[end]
                end()

    # -- what others have

    def _expect(self, ends: Mapping[str, float]) -> None:
        self._ends.update(ends)
        self._sooner.set()

    def _look(self, *, rung: bool = False) -> None:
        self._rung = self._rung or rung
        self._stirred.set()

    def _has_spare(self, names: Iterable[str]) -> bool:
        return any(self._claimed[name] > self._used[name] for name in names)

    async def run(self) -> NoReturn:
        """Keep the claims, and give up what is not used, at once where others wait for it."""
        await self._in_use.wait()  # most processes never need it
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._bells.listen, self._me, partial(self._look, rung=True))
            nursery.start_soon(self._keep)
            while True:
                await self._stirred.wait()
                self._stirred, rung, self._rung = trio.Event(), self._rung, False
                spare = [name for name in list(self._most) if await self._pass_on(name, rung=rung)]
                if spare:
                    await self._tell_later(spare)
        raise AssertionError

    async def _tell_later(self, names: Iterable[str]) -> None:
        with trio.move_on_after(GATHER):
            await self._stirred.wait()
            return
        for name in names:
            await self._tell_safely(name)

    async def _pass_on(self, name: str, *, rung: bool) -> bool:
        """See whose turn it is at what is free. Whether there is something, and nobody waits for it."""
        try:
            values = await self._table.read([key_of(name)])
        except StorageError as error:
            event("shaping-unknown", way=name, error=str(error))
            return False
        entry, now = held(values[0]), self._clock()
        others, mine = entry.queue(self._me, now), self._first(name)
        spare = self._claimed[name] - self._used[name]
        if mine is not None:
            self._expect({name: entry.ends(self._me, now)})
        if mine is not None and not (others and others[0][0] < mine):
            is_room = spare > 0 or (rung and entry.others(self._me, now) + self._used[name] < self._most.get(name, 0))
            if is_room and not self._wake([name]):
                self._look()
            return False
        if mine is not None and rung and self._me not in entry.waiting:
            await self._tell_safely(name)  # who rang while nobody listened here took us for gone
            return False
        if spare <= 0 and others:
            self._end_rest([name])
        if (others and spare > 0) or (mine is None and self._me in entry.waiting):
            await self._tell_safely(name)
        return spare > 0 and not others

    async def _keep(self) -> NoReturn:
        renewed = trio.current_time()
        while True:
            if not self._most:
                self._in_use = trio.Event()
                await self._in_use.wait()
                renewed = trio.current_time()
            is_due = not await self._is_over(renewed + RENEW)
            if is_due:
                renewed = trio.current_time()
                for name in list(self._most):
                    await self._tell_safely(name)
            if self._waiting:
                self._look(rung=True)

    async def _is_over(self, due: float) -> bool:
        """Wait until something of others is over that they have not renewed. False: not until ``due``."""
        while (now := trio.current_time()) < due:
            first = min(self._ends.values(), default=math.inf)
            self._sooner = trio.Event()
            with trio.move_on_at(min(due, now + min(first - self._clock(), LEASE) + _LATER)):
                await self._sooner.wait()
                continue
            over = [name for name, end in self._ends.items() if end <= self._clock()]
            for name in over:
                del self._ends[name]
            if over:
                return True
        return False

    async def _tell_safely(self, name: str) -> None:
        try:
            await self.tell(name)
        except StorageError as error:
            event("shaping-unknown", way=name, error=str(error))

    async def tell(self, name: str) -> None:
        """Have the table say how many are used, and no more, and who waits; and wake those whose turn it is.

        StorageError.
        """
        freed = self._claimed[name] - self._used[name]
        wake = 0 if freed <= 0 and self._queues[name] else max(freed, 1)
        gone = await self._bells.ring(await self._tell(name, wake))
        while gone:  # then it is the turn of who stands behind them
            gone = await self._bells.ring(await self._tell(name, wake, gone))

    async def _tell(self, name: str, wake: int, gone: Sequence[str] = ()) -> Sequence[str]:
        """The same; who is to be woken."""
        async with self._one:
            used, first = self._used[name], self._first(name)
            said = Said(key_of(name), used, first, wake, gone)
            self._claimed[name] = used
            ring = await self._table.change([said.key], lambda values: told(self._me, said, self._clock(), values))
            if not (self._used[name] or self._claimed[name] or self._queues[name]):
                for each in (self._used, self._claimed, self._full, self._most, self._queues, self._ends):
                    each.pop(name, None)
        return ring
