"""The times that charts are of, cut into steps as people count them: ten minutes, hours, quarters of a day, days.

Hours and days are those of the server's time zone, also when the clocks change.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from engine.figures.store import HOUR, MINUTE, TEN

DAY = 86_400


@dataclass(frozen=True, slots=True)
class Span:
    """``length`` and ``step`` in seconds; ``rows``: the seconds of the rows that a step is summed up of."""

    name: str
    length: int
    step: int
    rows: int


SPANS = {
    one.name: one
    for one in (
        Span("day", DAY, TEN, MINUTE),
        Span("week", 7 * DAY, HOUR, TEN),
        Span("month", 31 * DAY, 6 * HOUR, HOUR),
        Span("year", 366 * DAY, DAY, HOUR),
    )
}


def moments(span: Span, now: float) -> list[int]:
    """Unix times at which the steps of a span that ends now begin, and at last the end of the one that is under way."""
    found = [_floor(now - span.length, span.step)]
    while found[-1] <= now:
        found.append(_next(found[-1], span.step))
    return found


def days(count: int, now: float) -> list[int]:
    """The beginnings of so many days in UTC, today the last, and the end of it: those of reports."""
    today = int(now) // DAY
    return [day * DAY for day in range(today - count + 1, today + 2)]


def _floor(moment: float, step: int) -> int:
    """The latest time at which a step begins."""
    whole = int(moment)  # a float less its own fraction is now and then a second short
    local = datetime.fromtimestamp(whole)
    seconds = local.hour * HOUR + local.minute * MINUTE
    since = seconds % step if step < DAY else seconds
    if step <= HOUR:  # no clock is changed within one, so there is nothing to take care of
        return whole - local.second - since
    return int((local.replace(second=0, fold=0) - timedelta(seconds=since)).timestamp())


def _next(moment: int, step: int) -> int:
    """The one behind it: of days and their quarters, some have an hour more or less."""
    if step <= HOUR:
        return moment + step
    later = _floor(moment + step + 2 * HOUR, step)
    return later if later > moment else moment + step
