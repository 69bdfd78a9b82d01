"""Rates that several processes, and several nodes, take from together: how long to wait for a share.

They lie in a table that all processes of this machine share, and in the shared store where there is one
(`engine/abuse/tables.py` says what outlives what).
"""

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Self

import msgspec

from engine.abuse import Tables
from engine.abuse.table import Changes, Kept, key_of
from engine.shaping.shared import shared
from engine.shaping.windows import SLICES, Window
from engine.units import Rate

TABLE = "allowances"

_AHEAD = 5.0
"""Seconds by which the clocks of nodes may differ."""

_SHUT = 10_000
"""Rates that are remembered to be used up, so that nobody asks for them before their time."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[tuple[int, int]]).decode


class Allowances:
    """One object a process. Names are the caller's: "tenant/acme/messages".

    Exact among all that share the table. While a shared store is out of reach, each node counts for itself.
    """

    def __init__(self, tables: Tables | None, clock: Callable[[], float] = time.time) -> None:
        """Without ``tables`` they are this process's own."""
        self._tables = tables
        self._table = shared(tables, TABLE)
        self._clock = clock
        self._shut: dict[tuple[bytes, int], tuple[int, float]] = {}

    @classmethod
    def here(cls) -> Self:
        """Those of this process alone."""
        return cls(None)

    @property
    def among_nodes(self) -> bool:
        """Whether other nodes take from them as well."""
        return self._tables is not None and self._tables.server is not None

    async def take(self, wanted: Sequence[tuple[str, Rate, int]]) -> float:
        """Take (name, rate, how many) of all these, or of none, for now.

        Seconds until all of them may be had: 0.0 when they were taken. One rate may stand under several names, and one
        name may have rates over several periods. More than a rate ever allows is taken when nothing else was within its
        period. StorageError.
        """
        return (await self.lease(wanted, 0.0))[0]

    async def lease(self, wanted: Sequence[tuple[str, Rate, int]], lasts: float) -> tuple[float, float]:
        """The same, for use at any time until ``lasts`` seconds later; and how many seconds from now these begin.

        It counts as if it were used at the end, and is asked for as if that were at the beginning: so no rate is
        exceeded, whenever within that time it is used. StorageError.
        """
        asked = _together(wanted)
        began = self._clock()
        if not asked:
            return 0.0, 0.0
        if wait := max(self._known(one, began) for one in asked):
            return wait, 0.0
        decide = partial(_decided, asked, self._clock, lasts)  # the clock is looked at when it is our turn
        waits, now = await self._table.change([key for key, _, _ in asked], decide)
        self._note(asked, waits, now)
        return max(waits), now - began

    def _known(self, one: tuple[bytes, Rate, int], now: float) -> float:
        """Seconds until there can be room, as far as we know without a look."""
        key, rate, count = one
        least, until = self._shut.get((key, rate.most), (0, 0.0))
        # A clock that was set back must not shut it for longer than it can be.
        return until - now if least and count >= least and 0 < until - now <= 2 * rate.period else 0.0

    def _note(self, asked: Sequence[tuple[bytes, Rate, int]], waits: Sequence[float], now: float) -> None:
        if len(self._shut) >= _SHUT:
            self._shut = {key: known for key, known in self._shut.items() if known[1] > now}
        for (key, rate, count), wait in zip(asked, waits, strict=True):
            if wait and len(self._shut) < _SHUT:
                self._shut[key, rate.most] = (count, now + wait)


def _together(wanted: Sequence[tuple[str, Rate, int]]) -> list[tuple[bytes, Rate, int]]:
    """By key: each once."""
    found: dict[bytes, tuple[bytes, Rate, int]] = {}
    for name, rate, count in wanted:
        key = key_of(name, repr(float(rate.period)))
        if key in found:
            _, other, before = found[key]
            found[key] = (key, min(rate, other, key=lambda one: one.most), before + count)
        elif count > 0:
            found[key] = (key, rate, count)
    return list(found.values())


def _decided(
    asked: Sequence[tuple[bytes, Rate, int]],
    clock: Callable[[], float],
    lasts: float,
    values: Sequence[bytes | None],
) -> tuple[tuple[list[float], float], Changes]:
    """How long to wait for each, from what time on, and what is to be written."""
    now = clock()
    windows = [_window(rate, value, now) for (_, rate, _), value in zip(asked, values, strict=True)]
    waits = [window.wait(now, count) for window, (_, _, count) in zip(windows, asked, strict=True)]
    if any(waits):
        return (waits, now), {}
    changes: dict[bytes, Kept | None] = {}
    for window, (key, rate, count) in zip(windows, asked, strict=True):
        window.take(now + lasts, count)
        changes[key] = Kept(_encode(window.slices()), rate.period * (1 + 1 / SLICES) + lasts + _AHEAD)
    return (waits, now), changes


def _window(rate: Rate, value: bytes | None, now: float) -> Window:
    """What was kept, but for what a clock wrote that was far ahead."""
    width = rate.period / SLICES
    last = math.floor((now + _AHEAD) / width)
    return Window(rate, (each for each in (_decode(value) if value else ()) if each[0] <= last))
