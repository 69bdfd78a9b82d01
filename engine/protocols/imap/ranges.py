"""What of a set of UIDs is in some ranges, and what of it no message has (RFC 7162 3.2.10)."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from engine.protocols.imap.sets import SequenceSet


def overlap(ranges: Iterable[tuple[int, int]], among: SequenceSet, largest: int) -> SequenceSet:
    """What of the ranges is in the set. Both may be long: a client names a set of thousands of spans."""
    spans = among.spans(largest)
    ends = [last for _, last in spans]
    found: list[tuple[int, int]] = []
    for low, high in ranges:
        for place in range(bisect_left(ends, low), len(spans)):
            first, last = spans[place]
            if first > high:
                break
            found.append((max(low, first), min(high, last)))
    return SequenceSet(tuple(found))


def missing(uids: Sequence[int], among: SequenceSet, largest: int, start: int = 0) -> SequenceSet:
    """The UIDs of the set above ``start`` that no message has."""
    found: list[tuple[int, int]] = []
    for low, high in among.spans(largest):
        at = max(low, start + 1)
        for place in range(bisect_left(uids, at), len(uids)):
            uid = uids[place]
            if uid > high:
                break
            if uid > at:
                found.append((at, uid - 1))
            at = uid + 1
        if at <= min(high, largest):
            found.append((at, min(high, largest)))
    return SequenceSet(tuple(found))
