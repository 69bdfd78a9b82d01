"""When an account will be full: the day at which a straight line through its last weeks meets its limit.

It is an estimate, and says on how many days it rests. It knows nothing of holidays, of archives that somebody moves in,
or of what somebody will delete.
"""

from collections.abc import Sequence
from typing import NamedTuple

from engine.growth.series import Day

LEAST = 7
"""Days that there must be: a week has its own ups and downs."""

WINDOW = 30
"""Days that the line goes through: what was a quarter of a year ago says little."""


class Estimate(NamedTuple):
    """``days``: until it is full, from the last day that is known; 0: it is. ``rests_on``: so many days are known."""

    days: float
    per_day: float  # octets, or messages, whichever are the first to be full
    rests_on: int


def estimate(days: Sequence[Day], octets: int, messages: int) -> Estimate | None:
    """When one of the two limits (0: none) is met. None: never, if it goes on so, or it is too early to tell."""
    known = [one for one in days if one.day > days[-1].day - WINDOW] if days else []
    if len(known) < LEAST:
        return None
    when = [one.day for one in known]
    found = [
        _met(when, [float(one.octets) for one in known], octets),
        _met(when, [float(one.messages) for one in known], messages),
    ]
    return min((one for one in found if one is not None), default=None)


def _met(when: Sequence[int], held: Sequence[float], most: int) -> Estimate | None:
    if not most:
        return None
    slope = _slope(when, held)
    if held[-1] >= most:
        return Estimate(0.0, slope, len(when))
    if slope <= 0:
        return None
    return Estimate((most - held[-1]) / slope, slope, len(when))


def _slope(when: Sequence[int], held: Sequence[float]) -> float:
    """Of the line with the least squares, a day."""
    middle, mean = sum(when) / len(when), sum(held) / len(held)
    spread = sum((one - middle) ** 2 for one in when)
    return sum((day - middle) * (one - mean) for day, one in zip(when, held, strict=True)) / spread
