"""How many replies there were of a kind lately: counted by all workers of the server together, and by all nodes.

They lie in a table that all processes of this machine share, and in the shared store where there is one
(`engine/abuse/tables.py` says what outlives what). So a threshold that an operator writes is the server's.
"""

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from engine.abuse import Tables
from engine.abuse.table import Changes, Kept, key_of
from engine.shaping.shared import shared

TABLE = "replies"

SAME = 1.0
"""Seconds within which what several processes find at once is one finding."""

AT_ONCE = 200
"""Entries that are written in one change."""

_AHEAD = 5.0
"""Seconds by which the clocks of nodes may differ."""


class Threshold(NamedTuple):
    """So many within a time. ``lasts``: for how long it holds what they have led to. Times are in seconds."""

    most: int
    period: float
    lasts: float


class Share(NamedTuple):
    """So many per cent of all within a time, of which there must be ``least``."""

    percent: int
    least: int
    period: float
    lasts: float


class _Reached(msgspec.Struct, frozen=True, array_like=True):
    """When a threshold was last reached, until when that holds, and on which nodes it has led to something."""

    at: float = 0.0
    until: float = 0.0
    nodes: tuple[str, ...] = ()


class _Times(msgspec.Struct, frozen=True, array_like=True):
    """When there were such replies, in order."""

    times: tuple[float, ...] = ()
    reached: _Reached = _Reached()


class _Halves(msgspec.Struct, frozen=True, array_like=True):
    """How many replies there were, and how many fitted, by halves of the time: in the one of that number and before."""

    number: int = 0
    now: tuple[int, int] = (0, 0)
    then: tuple[int, int] = (0, 0)
    reached: _Reached = _Reached()

    def within(self, number: int) -> "_Halves":
        """The same as the half of that number has it, to which a clock that was set back belongs as well."""
        if number <= self.number:
            return self if self.number - number < 2 else _Halves(number, reached=self.reached)
        then = self.now if number == self.number + 1 else (0, 0)
        return _Halves(number, (0, 0), then, self.reached)

    def plus(self, total: int, fits: int) -> "_Halves":
        return _Halves(self.number, (self.now[0] + total, self.now[1] + fits), self.then, self.reached)


_encode = msgspec.msgpack.Encoder().encode
_times = msgspec.msgpack.Decoder(_Times).decode
_halves = msgspec.msgpack.Decoder(_Halves).decode


class Counts:
    """One object a process. ``node`` tells this server from others that count in the same store.

    ``reached`` answers with the Unix time until which what it leads to holds, 0.0 where there are too few. Of a node
    that finds that another one has had enough, the next such reply is enough. All raise StorageError.
    """

    def __init__(self, tables: Tables | None = None, node: str = "", clock: Callable[[], float] = time.time) -> None:
        self._table = shared(tables, TABLE)
        self._node = node
        self._clock = clock
        self._pending: dict[tuple[str, ...], tuple[Share, int]] = {}  # by names: replies that did not fit

    async def reached(self, names: Sequence[str], threshold: Threshold, now: float) -> float:
        """Count a reply."""
        key = key_of(*names)
        return await self._table.change([key], partial(_counted, key, threshold, self._node, now))

    def pass_by(self, names: tuple[str, ...], share: Share) -> None:
        """Count a reply that does not fit: by and by, in `tell`."""
        _, count = self._pending.get(names, (share, 0))
        self._pending[names] = share, count + 1

    async def share_reached(self, names: tuple[str, ...], share: Share, now: float) -> float:
        """Count a reply that fits, and those before it that did not."""
        key = key_of(*names)
        _, others = self._pending.pop(names, (share, 0))
        return await self._table.change([key], partial(_shared, key, share, self._node, (now, others)))

    async def tell(self, now: float | None = None) -> None:
        """Write what was counted without a word."""
        now = self._clock() if now is None else now
        pending = [(key_of(*names), count) for names, count in self._pending.items()]
        self._pending = {}
        for start in range(0, len(pending), AT_ONCE):
            some = pending[start : start + AT_ONCE]
            await self._table.change([key for key, _ in some], partial(_passed_by, some, now))


def _counted(
    key: bytes, threshold: Threshold, node: str, now: float, values: Sequence[bytes | None]
) -> tuple[float, Changes]:
    entry = _times(values[0]) if values[0] else _Times()
    if until := _joined(entry.reached, node, now):
        return until, _kept(key, _Times((), _with(entry.reached, node)), threshold.period, until - now)
    since = now - threshold.period
    times = sorted([one for one in entry.times if since <= one <= now + _AHEAD] + [now])[-threshold.most :]
    if len(times) < threshold.most:
        return 0.0, _kept(key, _Times(tuple(times), entry.reached), threshold.period, entry.reached.until - now)
    if _is_the_same(entry.reached, node, now):
        return 0.0, {}
    reached = _Reached(now, now + threshold.lasts, (node,))
    return reached.until, _kept(key, _Times((), reached), threshold.period, threshold.lasts)


def _shared(
    key: bytes, share: Share, node: str, heard: tuple[float, int], values: Sequence[bytes | None]
) -> tuple[float, Changes]:
    """``heard``: when, and how many that did not fit."""
    now, others = heard
    entry = _half(values[0], share, now).plus(others + 1, 1)
    if until := _joined(entry.reached, node, now):
        return until, _kept(key, _Halves(entry.number, reached=_with(entry.reached, node)), share.period, until - now)
    total, fits = entry.now[0] + entry.then[0], entry.now[1] + entry.then[1]
    if total < share.least or fits * 100 < share.percent * total or _is_the_same(entry.reached, node, now):
        return 0.0, _kept(key, entry, share.period, entry.reached.until - now)
    reached = _Reached(now, now + share.lasts, (node,))
    return reached.until, _kept(key, _Halves(entry.number, reached=reached), share.period, share.lasts)


def _passed_by(
    some: Sequence[tuple[bytes, tuple[Share, int]]], now: float, values: Sequence[bytes | None]
) -> tuple[None, Changes]:
    changes: dict[bytes, Kept | None] = {}
    for (key, (share, count)), value in zip(some, values, strict=True):
        entry = _half(value, share, now).plus(count, 0)
        changes |= _kept(key, entry, share.period, entry.reached.until - now)
    return None, changes


def _half(value: bytes | None, share: Share, now: float) -> _Halves:
    return (_halves(value) if value else _Halves()).within(math.floor(now * 2 / share.period))


def _joined(reached: _Reached, node: str, now: float) -> float:
    """Until when it holds what other nodes have found, if this one has not heard of it; else 0.0."""
    return reached.until if reached.at <= now + _AHEAD and now < reached.until and node not in reached.nodes else 0.0


def _with(reached: _Reached, node: str) -> _Reached:
    return _Reached(reached.at, reached.until, (*reached.nodes, node))


def _is_the_same(reached: _Reached, node: str, now: float) -> bool:
    """Whether another process of this node has found it a moment ago."""
    return node in reached.nodes and abs(now - reached.at) < SAME


def _kept(key: bytes, entry: _Times | _Halves, period: float, reached_for: float) -> Changes:
    return {key: Kept(_encode(entry), max(period, reached_for) + _AHEAD)}
