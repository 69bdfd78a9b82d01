"""Sequence sets: the numbers of messages or their UIDs as ranges (RFC 9051 9, sequence-set)."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from msgspec import Struct

MOST: Final = 2**32 - 1
"""The largest number of a message, UID or UIDVALIDITY."""

STAR: Final = 0
"""Stands in a range for ``*``, the largest number in use."""

_RANGE = rb"(?:[1-9][0-9]{0,9}|\*)(?::(?:[1-9][0-9]{0,9}|\*))?"
PATTERN = re.compile(rb"\$|%b(?>(?:,%b)*)" % (_RANGE, _RANGE))


class SequenceSet(Struct, frozen=True):
    """Ranges as they were given, both ends included. ``saved``: ``$``, what a search has saved (RFC 5182)."""

    ranges: tuple[tuple[int, int], ...] = ()
    saved: bool = False

    @property
    def has_star(self) -> bool:
        return any(STAR in span for span in self.ranges)

    def spans(self, largest: int) -> list[tuple[int, int]]:
        """The ranges in ascending order, none touching another; ``*`` is ``largest``, which is 0 where nothing is."""
        if not largest:
            return []
        ordered = sorted(tuple(sorted((first or largest, last or largest))) for first, last in self.ranges)
        merged: list[tuple[int, int]] = []
        for low, high in ordered:
            if merged and low <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
            else:
                merged.append((low, high))
        return merged

    def positions(self, count: int) -> list[range]:
        """Of a set of message numbers: the places from 0 among ``count`` messages, in ascending order."""
        return [range(low - 1, min(high, count)) for low, high in self.spans(count) if low <= count]

    def positions_among(self, uids: Sequence[int]) -> list[range]:
        """Of a set of UIDs: the places from 0 in ``uids``, which ascend."""
        found = (
            range(bisect_left(uids, low), bisect_right(uids, high))
            for low, high in self.spans(uids[-1] if len(uids) else 0)
        )
        return [places for places in found if places]

    def numbers(self, largest: int) -> Iterator[int]:
        """Each number once, in ascending order; may be 2**32 of them."""
        for low, high in self.spans(largest):
            yield from range(low, high + 1)

    def render(self) -> bytes:
        if self.saved:
            return b"$"
        return b",".join(
            _shown(first) if first == last else b"%b:%b" % (_shown(first), _shown(last)) for first, last in self.ranges
        )


SAVED: Final = SequenceSet(saved=True)


def parse(text: bytes) -> SequenceSet | None:
    """The set that ``text`` is; None where it is none."""
    return read(text) if PATTERN.fullmatch(text) else None


def read(text: bytes) -> SequenceSet | None:
    """The same of a text that ``PATTERN`` has matched; None where a number is too large."""
    if text == b"$":
        return SAVED
    ranges = tuple([_range(part) for part in text.split(b",")])
    return SequenceSet(ranges) if max(map(max, ranges)) <= MOST else None


def of(numbers: Iterable[int]) -> SequenceSet:
    """The shortest set of these numbers, which ascend."""
    ranges: list[tuple[int, int]] = []
    first = last = -1
    for number in numbers:
        if number != last + 1:
            if last > 0:
                ranges.append((first, last))
            first = number
        last = number
    if last > 0:
        ranges.append((first, last))
    return SequenceSet(tuple(ranges))


def places(uids: Sequence[int], among: Sequence[int]) -> Sequence[int]:
    """Where those of the UIDs are that are among the others, from 0; both ascend. Arrays are quickest."""
    start = bisect_left(among, uids[0]) if len(uids) else 0
    if among[start : start + len(uids)] == uids:
        return range(start, start + len(uids))
    found = ((bisect_left(among, uid), uid) for uid in uids)
    return [place for place, uid in found if place < len(among) and among[place] == uid]


def _range(part: bytes) -> tuple[int, int]:
    first, colon, last = part.partition(b":")
    low = _number(first)
    return (low, _number(last)) if colon else (low, low)


def _number(text: bytes) -> int:
    return STAR if text == b"*" else int(text)


def _shown(number: int) -> bytes:
    return b"%d" % number if number else b"*"
