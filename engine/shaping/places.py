"""What the table says of the connections to one place: which process has how many, and who waits; and what follows."""

import math
from collections.abc import Collection, Sequence
from typing import NamedTuple

import msgspec

from engine.abuse.table import Changes, Kept

LEASE = 20.0
"""Seconds for which a claim counts that nobody renews."""

WAITS = LEASE
"""Seconds for which a process counts as waiting that does not say so again: then it is gone. Who rings for it in vain
finds that out before."""


class Turn(NamedTuple):
    """Who waits, by what comes first: 0 for who has no connection, and 1 for others; since when, in Unix time."""

    rank: int
    since: float


class _Held(msgspec.Struct, frozen=True, array_like=True):
    """Of one place. Times are Unix times."""

    claims: dict[str, tuple[int, float]] = {}  # how many each process has, and until when that counts
    waiting: dict[str, tuple[int, float, float]] = {}  # the first turn of each process, and until when that counts

    def by(self, me: str, count: int, first: Turn | None, now: float) -> "_Held":
        """The same with what is ours, and without what is over."""
        claims = {who: claim for who, claim in self.claims.items() if who != me and claim[1] > now}
        waiting = {who: one for who, one in self.waiting.items() if who != me and _is_live(one, now)}
        if count:
            claims[me] = count, now + LEASE
        if first is not None:
            waiting[me] = *first, now + WAITS
        return _Held(claims, waiting)

    def without(self, gone: Collection[str]) -> "_Held":
        """The same, where those wait no more. What they had claimed may still be open, for all that we know."""
        if not self.waiting.keys() & set(gone):
            return self
        return _Held(self.claims, {who: one for who, one in self.waiting.items() if who not in gone})

    def ends(self, me: str, now: float) -> float:
        """The first moment at which something of others is over that they do not renew."""
        claims = (until for who, (_, until) in self.claims.items() if who != me and until > now)
        waiting = (one[2] for who, one in self.waiting.items() if who != me and _is_live(one, now))
        return min((*claims, *waiting), default=math.inf)

    def others(self, me: str, now: float) -> int:
        return sum(count for who, (count, until) in self.claims.items() if who != me and until > now)

    def queue(self, me: str, now: float) -> list[tuple[Turn, str]]:
        """Who else waits, in order."""
        return sorted(
            (Turn(rank, min(since, now)), who)
            for who, (rank, since, until) in self.waiting.items()
            if who != me and _is_live((rank, since, until), now)
        )

    def told(self, me: str, first: Turn | None, now: float) -> bool:
        """Whether it is known, and for a while yet, that we wait by that turn; or that we do not."""
        said = self.waiting.get(me)
        if said is None or first is None:
            return said is None and first is None
        return said[2] > now + WAITS / 2 and Turn(*said[:2]) == first


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Held).decode


def _is_live(waits: tuple[int, float, float], now: float) -> bool:
    return now < waits[2] <= now + 2 * WAITS  # a later one was meant for a clock that was ahead


def held(value: bytes | None) -> _Held:
    try:
        return _decode(value) if value else _Held()
    except msgspec.DecodeError:  # of another release, which is over in a moment
        return _Held()


class Asked(NamedTuple):
    """What a process asks of one place, of which there are ``most``: of ``claimed`` it has ``used``, and wants another.

    ``ahead``: how many of its own wait before who asks. ``first`` and ``then``: the first turn of all that wait here,
    with who asks and without him.
    """

    key: bytes
    used: int
    claimed: int
    most: int
    turn: Turn
    ahead: int
    first: Turn
    then: Turn | None = None

    @property
    def wanted(self) -> int:
        return max(self.claimed, self.used + 1)


class Outcome(NamedTuple):
    """``more``: there would be one more. ``ring``: who else should look. ``full``: keys of what there is none of, and
    the first moment at which that may change without a word of anybody."""

    taken: bool
    more: bool = False
    ring: tuple[str, ...] = ()
    full: tuple[tuple[bytes, float], ...] = ()


def is_first(me: str, turn: Turn, now: float, values: Sequence[bytes | None]) -> bool:
    """Whether no other process waits before that turn."""
    return all(not queue or turn < queue[0][0] for queue in (held(value).queue(me, now) for value in values))


def decided(me: str, asked: Sequence[Asked], now: float, values: Sequence[bytes | None]) -> tuple[Outcome, Changes]:
    """Whether there is a place everywhere for who asks, behind those who wait before; and what is to be written."""
    looks = [(held(value), one) for value, one in zip(values, asked, strict=True)]
    frees = [_free(me, entry, one, now) for entry, one in looks]
    if all(free > 0 for free in frees):
        news = {one.key: _kept(entry.by(me, one.wanted, one.then, now)) for entry, one in looks}
        return Outcome(True, all(free > 1 for free in frees)), news
    ring: dict[str, None] = {}
    news = {}
    for (entry, one), free in zip(looks, frees, strict=True):
        waits = one.first if free <= 0 else one.then
        known = entry.told(me, waits, now)
        if not known:
            news[one.key] = _kept(entry.by(me, one.claimed, waits, now))
        if free <= 0:
            ring |= dict.fromkeys(_to_ring(me, entry, one, now, known=known))
    full = tuple((one.key, entry.ends(me, now)) for (entry, one), free in zip(looks, frees, strict=True) if free <= 0)
    return Outcome(False, ring=tuple(ring), full=full), news


def _to_ring(me: str, entry: _Held, one: Asked, now: float, *, known: bool) -> list[str]:
    """Those before us may not know that there is a place, and those with places not that somebody waits."""
    if one.most - entry.others(me, now) - one.used > 0:
        return [who for turn, who in entry.queue(me, now) if turn < one.turn]
    return [] if known else [who for who in entry.claims if who != me]


def _free(me: str, entry: _Held, one: Asked, now: float) -> int:
    """Places for who asks and for those behind."""
    others = entry.others(me, now)
    ahead = one.ahead + sum(turn < one.turn for turn, _ in entry.queue(me, now))
    return min(one.most - others - one.used - ahead, one.most - others - one.wanted + 1)


class Said(NamedTuple):
    """What a process tells of one place: it has ``used``, and waits by ``first`` if at all. So many are to be woken.

    ``gone``: who was rung for in vain.
    """

    key: bytes
    used: int
    first: Turn | None
    wake: int = 0
    gone: Collection[str] = ()


def told(me: str, said: Said, now: float, values: Sequence[bytes | None]) -> tuple[tuple[str, ...], Changes]:
    """Who else should look, and what is to be written."""
    entry = held(values[0]).without(said.gone)
    ring = tuple(who for _, who in entry.queue(me, now)[: said.wake])
    return ring, {said.key: _kept(entry.by(me, said.used, said.first, now))}


def cleared(keys: Sequence[bytes], gone: Collection[str], values: Sequence[bytes | None]) -> tuple[None, Changes]:
    """What is to be written once it is known that those are gone."""
    entries = zip(keys, map(held, values), strict=True)
    return None, {key: _kept(entry.without(gone)) for key, entry in entries if entry.waiting.keys() & set(gone)}


def _kept(entry: _Held) -> Kept:
    return Kept(_encode(entry), LEASE)
