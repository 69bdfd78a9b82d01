"""The date that a message says it was sent (RFC 5322 3.3, 4.3), and the forms in which mailers write it."""

import re
from datetime import UTC, datetime, timedelta, timezone

from engine.mime.parameters import without_comments

LIMIT = 200
"""Octets of a date that are read."""

_MONTHS = {name: number for number, name in enumerate(
    (b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"), 1
)}  # fmt: skip
_HOURS = {b"edt": -4, b"est": -5, b"cdt": -5, b"cst": -6, b"mdt": -6, b"mst": -7, b"pdt": -7, b"pst": -8}
_TIME = rb"(?P<hour>\d{1,2})\s*[:.]\s*(?P<minute>\d\d)(?:\s*[:.]\s*(?P<second>\d\d)(?:[.,]\d+)?)?"
_ZONE = rb"(?:\s*(?P<east>[+-])(?P<hours>\d\d):?(?P<minutes>\d\d)|\s*(?P<zone>[A-Za-z]+))?"
_FORMS = [
    re.compile(form)
    for form in (
        rb"(?:[A-Za-z]+[,.]?\s*)?(?P<day>\d{1,2})[\s-]+(?P<month>[A-Za-z]{3})[a-z]*[.,]?[\s-]+(?P<year>\d{2,4})"
        rb"(?:[,\s]+" + _TIME + rb")?" + _ZONE,
        rb"(?:[A-Za-z]+[,.]?\s+)?(?P<month>[A-Za-z]{3})[a-z]*\s+(?P<day>\d{1,2})\s+"  # asctime(3)
        + _TIME + rb"(?:\s+(?P<zone>[A-Za-z]+))?\s+(?P<year>\d{4})",
        rb"(?P<year>\d{4})-(?P<number>\d\d)-(?P<day>\d\d)(?:[T\s]+" + _TIME + rb")?" + _ZONE,  # ISO 8601
    )
]  # fmt: skip


def sent(value: bytes) -> datetime | None:
    """The date in its own zone; None where there is none. A time or a zone that is none counts as 00:00:00 and UTC."""
    text = without_comments(value[:LIMIT])
    for form in _FORMS:
        if found := form.match(text):
            return _date(found.groupdict())
    return None


def sent_or(value: bytes | None, received: float) -> float:
    """The sent date of RFC 5256 2.2 in Unix seconds: INTERNALDATE, ``received``, stands in where Date has none."""
    date = sent(value) if value else None
    return received if date is None else date.timestamp()


def _date(found: dict[str, bytes | None]) -> datetime | None:
    month = _MONTHS.get((found.get("month") or b"").lower()) or int(found.get("number") or 0)
    year = int(found["year"] or 0)
    if len(found["year"] or b"") < 4:  # RFC 5322 4.3
        year += 2000 if year < 50 else 1900
    zone = _zone(found)
    hour, minute, second = (int(found[name] or 0) for name in ("hour", "minute", "second"))
    if hour > 23 or minute > 59 or second > 60:
        hour = minute = second = 0
    try:
        date = datetime(year, month, int(found["day"] or 0), hour, minute, min(second, 59), tzinfo=zone)
        date.astimezone(UTC)  # may fall out of the calendar
    except (ValueError, OverflowError):
        return None
    return date


def _zone(found: dict[str, bytes | None]) -> timezone:
    if not found.get("east"):
        return timezone(timedelta(hours=_HOURS.get((found.get("zone") or b"").lower(), 0)))
    hours, minutes = int(found["hours"] or 0), int(found["minutes"] or 0)
    if hours > 23 or minutes > 59:
        return UTC
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if found["east"] == b"-" else offset)
