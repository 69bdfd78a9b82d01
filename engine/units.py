"""Sizes, durations and rates as operators write them: "25 MB", "5m", "100/1h"."""

import math
import re
from typing import Self

_SIZE_UNITS = {"": 1, "B": 1, "KB": 1000, "MB": 1000**2, "GB": 1000**3, "TB": 1000**4} | {
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
    "TIB": 2**40,
    "K": 2**10,
    "M": 2**20,
    "G": 2**30,
    "T": 2**40,
}
_TIME_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


class Size(int):
    """A number of octets. ``Size("25 MB")`` is 25,000,000; ``Size("25 MiB")`` and ``Size("25M")`` are 26,214,400.

    Raises ValueError for text that is no size.
    """

    def __new__(cls, value: int | str) -> Self:
        if isinstance(value, str):
            match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", value.strip())
            if not match or match[2].upper() not in _SIZE_UNITS:
                raise ValueError(f'{value!r} is no size; write it like "25 MB" or "64 KiB"')
            value = round(_finite(float(match[1]) * _SIZE_UNITS[match[2].upper()]))
        if value < 0:
            raise ValueError("a size cannot be negative")
        return super().__new__(cls, value)


class Duration(float):
    """A number of seconds. ``Duration("90s")``, ``Duration("1h 30m")``, ``Duration("5d")``.

    Raises ValueError for text that is no duration.
    """

    def __new__(cls, value: float | str) -> Self:
        if isinstance(value, str):
            parts = re.findall(r"(\d+(?:\.\d+)?)\s*(ms|[smhdw])\s*", value)
            if not parts or not re.fullmatch(r"(?:\d+(?:\.\d+)?\s*(?:ms|[smhdw])\s*)+", value.strip()):
                raise ValueError(f'{value!r} is no duration; write it like "90s", "5m", "1h 30m" or "5d"')
            value = _finite(sum(float(number) * _TIME_UNITS[unit] for number, unit in parts))
        if value < 0:
            raise ValueError("a duration cannot be negative")
        return super().__new__(cls, value)


class Rate(str):
    """So many within a time. ``Rate("100/1h")``: 100 within an hour.

    Raises ValueError for text that is no rate.
    """

    __slots__ = ("most", "period")

    most: int
    period: Duration

    def __new__(cls, text: str) -> Self:
        most, _, period = text.partition("/")
        if not re.fullmatch(r"[0-9]{1,12}", most.strip()) or int(most) < 1:
            raise ValueError(f'{text!r} is no rate; write it like "100/1h"')
        rate = super().__new__(cls, text)
        rate.most, rate.period = int(most), Duration(period)
        if rate.period <= 0:
            raise ValueError("a rate needs some time")
        return rate


def measured(octets: int) -> str:
    """A size for people: "4.1 GB", "312 KB", "20 octets"."""
    for unit, each in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if octets >= each:
            count = octets / each
            return f"{f'{count:.1f}'.removesuffix('.0') if count < 10 else f'{count:,.0f}'} {unit}"
    return f"{octets} octets"


def spelled(seconds: float) -> str:
    """A long duration in words: "5 days", "36 hours", "10 minutes"."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * length:
            return f"{round(seconds / length)} {unit}s"
    return f"{round(seconds)} seconds"


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("that is more than can be counted")
    return value
