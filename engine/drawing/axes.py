"""Axes of charts: where the values lie between bottom and top, and which of them are written at its side."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

_LINES = 4
"""Values that are written at a side, or a few more."""

_TIMES = (
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 432_000,
    864_000, 2_592_000,
)  # fmt: skip
"""Steps of seconds that people count by."""

_DELAYS = (0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 21_600.0, 86_400.0, 432_000.0)
"""The same where one that is ten times as long is one step further."""


@dataclass(frozen=True, slots=True)
class Axis:
    """``low`` and ``high``: the values at its ends. ``ticks``: what is written."""

    ticks: tuple[float, ...]
    low: float
    high: float
    is_logarithmic: bool = False

    def at(self, value: float) -> float:
        """Where it lies, from 0 to 1."""
        if self.is_logarithmic:
            bottom, top, value = map(math.log, (self.low, self.high, max(value, self.low)))
        else:
            bottom, top = self.low, self.high
        return min(max((value - bottom) / (top - bottom), 0.0), 1.0)


def of_counts(most: float) -> Axis:
    """From 0, by whole numbers."""
    rough = max(most, 1.0) / _LINES
    power = 10.0 ** math.floor(math.log10(rough))
    step = max(next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999), 1.0)
    return _even(step, max(most, 1.0))


def of_seconds(most: float) -> Axis:
    """From 0, by seconds, minutes, hours or days."""
    rough = max(most, 1.0) / _LINES
    step = next((one for one in _TIMES if one >= rough * 0.999), 0) or math.ceil(rough / _TIMES[-1]) * _TIMES[-1]
    return _even(float(step), max(most, 1.0))


def of_delays(values: Sequence[float]) -> Axis:
    """Where a tenth of a second is to be seen beside an hour."""
    low, high = min(values, default=0.1), max(values, default=10.0)
    first = max((index for index, one in enumerate(_DELAYS) if one <= low), default=0)
    last = min((index for index, one in enumerate(_DELAYS) if one >= high), default=len(_DELAYS) - 1)
    ticks = _DELAYS[min(first, len(_DELAYS) - 2) : max(last, first + 1) + 1]
    return Axis(ticks, ticks[0], max(ticks[-1], high), is_logarithmic=True)


def _even(step: float, most: float) -> Axis:
    count = math.ceil(most / step - 1e-9)
    return Axis(tuple(step * number for number in range(count + 1)), 0.0, step * count)
