"""Parts of a date (RFC 5260 4.2)."""

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta, timezone, tzinfo
from email.utils import format_datetime, parsedate_to_datetime

ZONE = re.compile(r"([+-])([0-9]{2})([0-5][0-9])")

_EPOCH = date(1858, 11, 17)  # of the modified Julian day


def zone(text: str) -> tzinfo | None:
    """The zone that is so far from UTC: "+0530"."""
    match = ZONE.fullmatch(text)
    if match is None:
        return None
    offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
    if offset >= timedelta(days=1):
        return None
    return timezone(-offset if match[1] == "-" else offset)


def parsed(value: str) -> datetime | None:
    """The date in a header field; in one such as Received, what stands behind the last semicolon."""
    try:
        found = parsedate_to_datetime(value.rpartition(";")[2].strip())
    except (ValueError, OverflowError, TypeError):
        return None
    # -0000: the time is UTC, and nothing is known of the zone (RFC 5322 3.3).
    return found if found.tzinfo is not None else found.replace(tzinfo=timezone.utc)  # noqa: UP017


def moved(moment: datetime, to: tzinfo) -> datetime | None:
    """The same moment in another zone; None where no calendar has it."""
    try:
        return moment.astimezone(to)
    except (OverflowError, ValueError):
        return None


def _offset(moment: datetime) -> str:
    return moment.strftime("%z")[:5]


def _iso(moment: datetime) -> str:
    return moment.replace(microsecond=0).isoformat()


PARTS: Mapping[str, Callable[[datetime], str]] = {
    "year": lambda moment: f"{moment.year:04}",
    "month": lambda moment: f"{moment.month:02}",
    "day": lambda moment: f"{moment.day:02}",
    "date": lambda moment: moment.date().isoformat(),
    "julian": lambda moment: str((moment.date() - _EPOCH).days),
    "hour": lambda moment: f"{moment.hour:02}",
    "minute": lambda moment: f"{moment.minute:02}",
    "second": lambda moment: f"{moment.second:02}",
    "time": lambda moment: f"{moment.hour:02}:{moment.minute:02}:{moment.second:02}",
    "iso8601": _iso,
    "std11": format_datetime,
    "zone": _offset,
    "weekday": lambda moment: str(moment.isoweekday() % 7),
}
