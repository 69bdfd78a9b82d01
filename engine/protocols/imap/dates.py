"""Dates and date-times of IMAP (RFC 9051 9: date, date-time), in English whatever the locale."""

import re
from datetime import UTC, date, datetime, timedelta, timezone
from functools import lru_cache

MONTHS = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
_NUMBERS = {month.upper(): number for number, month in enumerate(MONTHS, 1)}

_DATE = re.compile(rb"([0-9]{1,2})-([A-Za-z]{3})-([0-9]{4})")
_DATE_TIME = re.compile(
    rb"([ 0-9][0-9])-([A-Za-z]{3})-([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) ([+-])([0-9]{2})([0-5][0-9])"
)


def parse_date(text: bytes) -> date | None:
    """``1-Feb-1994``; None where it is none."""
    match = _DATE.fullmatch(text)
    if match is None or match[2].upper() not in _NUMBERS:
        return None
    try:
        return date(int(match[3]), _NUMBERS[match[2].upper()], int(match[1]))
    except ValueError:
        return None


def parse_date_time(text: bytes) -> datetime | None:
    """``17-Jul-1996 02:44:25 -0700``, without its quotes, with its zone; None where it is none."""
    match = _DATE_TIME.fullmatch(text)
    if match is None:
        return None
    day, month, year, hour, minute, second, sign, hours, minutes = match.groups()
    try:
        # A leap second is the second before it: Python's clock has none.
        leaps = second == b"60"
        return datetime(
            int(year), _NUMBERS[month.upper()], int(day), int(hour), int(minute), 59 if leaps else int(second),
            tzinfo=_zone(sign, int(hours), int(minutes)),
        )  # fmt: skip
    except (KeyError, ValueError):
        return None


@lru_cache(maxsize=256)
def _zone(sign: bytes, hours: int, minutes: int) -> timezone:
    """ValueError where it is no zone."""
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if sign == b"-" else offset)


def date_time(moment: datetime) -> bytes:
    """``"17-Jul-1996 02:44:25 -0700"`` in its quotes; ``moment`` must have a zone."""
    offset = moment.utcoffset()
    if offset is None:
        raise ValueError("a moment without a zone")
    minutes = int(offset.total_seconds()) // 60
    sign = b"-" if minutes < 0 else b"+"
    return b'"%2d-%b-%04d %02d:%02d:%02d %b%02d%02d"' % (
        moment.day, MONTHS[moment.month - 1], moment.year, moment.hour, moment.minute, moment.second,
        sign, abs(minutes) // 60, abs(minutes) % 60,
    )  # fmt: skip


def utc(seconds: float) -> bytes:
    """The moment so many seconds after the epoch, in UTC and in quotes."""
    return date_time(datetime.fromtimestamp(seconds, UTC))
