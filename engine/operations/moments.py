"""Moments, as operations tell them: in UTC, by RFC 3339 when they are written."""

from datetime import UTC, datetime
from typing import TypeAlias

Moment: TypeAlias = datetime


_LAST = 253_402_300_799
"""9999-12-31T23:59:59Z: what strangers write may be later, and can be told by no date."""


def at(seconds: float) -> Moment:
    """A Unix time."""
    return datetime.fromtimestamp(min(seconds, _LAST), UTC)


def moment(seconds: float | None) -> Moment | None:
    """A Unix time; None for 0, which stands for none."""
    return at(seconds) if seconds else None
