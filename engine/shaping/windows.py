"""A sliding window: how many there were within a time, exactly, and in little memory."""

import math
from collections import deque
from collections.abc import Iterable

from engine.units import Rate

SLICES = 128
"""Slices of a period. A place is free again up to one of them late, so 99.2 % of a rate is used, and never early."""

_BEYOND = 0.001
"""Part of a slice."""


class Window:
    """No more than ``rate`` says within any time of that length, wherever that begins.

    A bucket of tokens would let twice as much through: what it holds, and what comes into it meanwhile. Times are in
    seconds, of any clock.
    """

    __slots__ = ("_count", "_slices", "_width", "rate")

    def __init__(self, rate: Rate, slices: Iterable[tuple[int, int]] = ()) -> None:
        """``slices``: what is in it already, (number, count), in order."""
        self.rate = rate
        self._width = rate.period / SLICES
        self._slices = deque(slices)
        self._count = sum(count for _, count in self._slices)

    def wait(self, now: float, wanted: int = 1) -> float:
        """Seconds until there is room for so many; for more than the rate ever allows, until there is nothing else."""
        self._slide(now)
        over = self._count + min(wanted, self.rate.most) - self.rate.most
        for number, count in self._slices:
            if over <= 0:
                break
            over -= count
            if over <= 0:
                # A little later, so that it is over then in spite of rounding.
                return max((number + 1 + SLICES + _BEYOND) * self._width - now, _BEYOND * self._width)
        return 0.0

    def take(self, now: float, count: int = 1) -> None:
        """Count so many, whether or not there is room."""
        number = self._number(now)
        if self._slices and self._slices[-1][0] >= number:
            last, before = self._slices.pop()
            self._slices.append((last, before + count))
        else:
            self._slices.append((number, count))
        self._count += count

    def room(self, then: float) -> int:
        """How many would fit at a later time, if nothing were taken before."""
        gone = self._number(then) - SLICES
        return max(self.rate.most - sum(count for number, count in self._slices if number >= gone), 0)

    def slices(self) -> list[tuple[int, int]]:
        """What is in it, (number, count), in order."""
        return list(self._slices)

    def _number(self, now: float) -> int:
        return math.floor(now / self._width)

    def _slide(self, now: float) -> None:
        gone = self._number(now) - SLICES
        slices = self._slices
        while slices and slices[0][0] < gone:
            self._count -= slices.popleft()[1]
