r"""The log of a mailbox's changes: which messages changed their flags or went, by MODSEQ (RFC 7162 3.2).

Messages that came are not in it: they have the highest UIDs, so the list of messages tells which they are.
"""

import struct
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from operator import lt

FLAGS, EXPUNGED = 1, 2
"""What happened: the first octet of a value. Ranges of UIDs follow, first and last as u32 each."""

MOST = 4000
"""Records of one mailbox. A client that was away for more changes hears of it all anew."""

AT_ONCE = 400
"""The oldest records, of a log that is full, that are dropped together."""

_RANGE = struct.Struct(">II")
_PART = 200  # ranges in one record: 1,601 octets, which lie within a page of LMDB


def ranges(uids: Iterable[int]) -> Iterator[tuple[int, int]]:
    """UIDs as ranges, first and last, in ascending order."""
    return runs(sorted(set(uids)))


def runs(uids: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The same where they ascend: with a few looks for each range, however long it is."""
    start, count = 0, len(uids)
    while start < count:
        first = uids[start]
        step = 1
        while start + step < count and uids[start + step] == first + step:
            step *= 2
        end = start + 1
        if step > 1:
            low, high = start + step // 2, min(start + step, count)
            end = low + bisect_right(range(low, high), first - start, key=lambda place: uids[place] - place)
        yield first, uids[end - 1]
        start = end


def records(kind: int, uids: Iterable[int]) -> Iterator[bytes]:
    """The values that say so."""
    left = runs(uids) if isinstance(uids, array) and all(map(lt, uids, uids[1:])) else ranges(uids)
    while part := list(islice(left, _PART)):
        yield bytes([kind]) + b"".join(_RANGE.pack(*one) for one in part)


def parse(record: bytes) -> tuple[int, list[tuple[int, int]]]:
    """What happened, and the ranges of UIDs to which it did."""
    return record[0], list(_RANGE.iter_unpack(record[1:]))
