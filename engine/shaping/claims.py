"""Connections that several processes, and several nodes, have to one place together: never more than it bears.

Who opens one claims it before, in a table that all share (`engine/abuse/tables.py`). A claim ends by itself: what a
process held that was killed is free again after `LEASE`.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import NoReturn

import msgspec
import trio

from engine.abuse import Tables
from engine.abuse.table import Changes, Kept, key_of
from engine.observe.events import event
from engine.shaping.shared import shared
from engine.storage.environment import StorageError

TABLE = "connections"

LEASE = 20.0
"""Seconds for which a claim counts that nobody renews."""

RENEW = 5.0
"""Seconds between two renewals: several fit into a lease, even where clocks of nodes differ by seconds."""

GATHER = 0.05
"""Seconds for which places are gathered that have become free, before the others are told."""

CALM = 0.25
"""Seconds for which it is known that there is no place, without another look."""

HUNGER = 1.0
"""Seconds for which those who have a connection let those go first who have asked for one in vain and have none."""


class _Held(msgspec.Struct, frozen=True, array_like=True):
    """Of one place: how many each process has, and until when that counts. Times are Unix times."""

    claims: dict[str, tuple[int, float]] = {}
    hungry: float = 0.0  # when somebody was turned away last who has none

    def with_claim(self, me: str, count: int, now: float) -> Kept:
        """The entry with ours in it, and without those that are over."""
        claims = {who: claim for who, claim in self.claims.items() if who != me and claim[1] > now}
        if count:
            claims[me] = count, now + LEASE
        return Kept(_encode(msgspec.structs.replace(self, claims=claims)), LEASE)

    def others(self, me: str, now: float) -> int:
        return sum(count for who, (count, until) in self.claims.items() if who != me and until > now)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Held).decode


class Claims:
    """One object a process. Names are the caller's: "provider/google/mx1"."""

    def __init__(self, tables: Tables | None = None, clock: Callable[[], float] = time.time) -> None:
        self._table = shared(tables, TABLE)
        self._clock = clock
        self._me = os.urandom(8).hex()
        self._used: Counter[str] = Counter()
        self._claimed: Counter[str] = Counter()  # as the table has it, or less
        self._full: dict[str, float] = {}  # until when there is no place
        self._freed = trio.Event()
        self._one = trio.StrictFIFOLock()  # held by who asks the table

    async def take(self, wanted: Mapping[str, int], *, hungry: bool = True) -> bool:
        """Take one place of each of these names, which have so many together; or none of any.

        ``hungry``: who asks has none yet, and goes before those who have. StorageError.
        """
        # Who has one asks the table in any case, which knows whether others wait.
        if not hungry or self._lacking(wanted):
            async with self._one:
                lacking = self._lacking(wanted)
                if lacking or not hungry:
                    return not self._is_full(wanted) and await self._claim(wanted, lacking, hungry=hungry)
        self._used.update(wanted.keys())
        return True

    def _lacking(self, wanted: Mapping[str, int]) -> list[str]:
        """Names of which all is used that is claimed."""
        return [name for name in wanted if self._used[name] >= self._claimed[name]]

    def _is_full(self, names: Iterable[str]) -> bool:
        now = self._clock()
        return any(0 < self._full.get(name, 0.0) - now <= CALM for name in names)

    async def _claim(self, wanted: Mapping[str, int], lacking: Sequence[str], *, hungry: bool) -> bool:
        """Claim one more of those, and use one of all."""
        at_hand = [name for name in wanted if name not in lacking]
        self._used.update(at_hand)  # before somebody else does
        asked = [(key_of(name), self._claimed[name] + (name in lacking), most) for name, most in wanted.items()]
        taken = False
        try:
            taken = await self._table.change(
                [key for key, _, _ in asked], partial(_decided, self._me, asked, self._clock, hungry)
            )
        finally:
            if taken:
                self._claimed.update(lacking)
                self._used.update(lacking)
            else:
                self._used.subtract(at_hand)
                self._full.update(dict.fromkeys(wanted, self._clock() + CALM))
        return taken

    def give_back(self, names: Iterable[str]) -> None:
        """Places that are free again."""
        for name in names:
            self._used[name] -= 1
            self._full.pop(name, None)
        self._freed.set()

    async def run(self) -> NoReturn:
        """Keep the claims, and give up what is not used."""
        renewed = self._clock()
        while True:
            with trio.move_on_after(RENEW):
                await self._freed.wait()
                await trio.sleep(GATHER)
            self._freed = trio.Event()
            now = self._clock()
            due = not 0 <= now - renewed < RENEW
            renewed = now if due else renewed
            for name in [name for name, count in self._claimed.items() if due or count > self._used[name]]:
                try:
                    await self.tell(name)
                except StorageError as error:
                    event("shaping-unknown", way=name, error=str(error))

    async def tell(self, name: str) -> None:
        """Have the table say how many are used, and no more. StorageError."""
        async with self._one:
            used = self._claimed[name] = self._used[name]
            await self._table.change([key_of(name)], partial(_told, self._me, key_of(name), used, self._clock))
            if not (self._used[name] or self._claimed[name]):
                for counts in (self._used, self._claimed, self._full):
                    counts.pop(name, None)


def _decided(
    me: str,
    asked: Sequence[tuple[bytes, int, int]],
    clock: Callable[[], float],
    hungry: bool,
    values: Sequence[bytes | None],
) -> tuple[bool, Changes]:
    """Whether there is a place everywhere, and what is to be written.

    ``asked``: the key, how many we would have, how many there may be.
    """
    now = clock()
    held = [_held(value) for value in values]
    is_free = all(
        one.others(me, now) + mine <= most and (hungry or not 0 <= now - one.hungry < HUNGER)
        for one, (_, mine, most) in zip(held, asked, strict=True)
    )
    if is_free:
        return True, {key: one.with_claim(me, mine, now) for one, (key, mine, _) in zip(held, asked, strict=True)}
    starving = [
        (one, key)
        for one, (key, mine, most) in zip(held, asked, strict=True)
        if hungry and one.others(me, now) + mine > most
    ]
    return False, {key: Kept(_encode(msgspec.structs.replace(one, hungry=now)), LEASE) for one, key in starving}


def _told(
    me: str, key: bytes, used: int, clock: Callable[[], float], values: Sequence[bytes | None]
) -> tuple[None, Changes]:
    return None, {key: _held(values[0]).with_claim(me, used, clock())}


def _held(value: bytes | None) -> _Held:
    return _decode(value) if value else _Held()
