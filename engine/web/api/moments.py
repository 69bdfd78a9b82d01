"""Moments, as answers tell them: in UTC, by RFC 3339."""

from datetime import UTC, datetime
from typing import TypeAlias

Moment: TypeAlias = datetime


def moment(seconds: float) -> Moment | None:
    """A Unix time; None for 0, which stands for none."""
    return datetime.fromtimestamp(seconds, UTC) if seconds else None
