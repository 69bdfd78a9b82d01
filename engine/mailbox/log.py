r"""The log of a mailbox's changes: which messages changed their flags or went, by MODSEQ (RFC 7162 3.2).

Messages that came are not in it: they have the highest UIDs, so the list of messages tells which they are.
"""

import struct
from collections.abc import Iterable, Iterator
from itertools import islice

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
    found = sorted(set(uids))
    if found and found[-1] - found[0] == len(found) - 1:
        yield found[0], found[-1]
        return
    first = last = 0
    for uid in found:
        if uid > last + 1 or not first:
            if first:
                yield first, last
            first = uid
        last = uid
    if first:
        yield first, last


def records(kind: int, uids: Iterable[int]) -> Iterator[bytes]:
    """The values that say so."""
    left = ranges(uids)
    while part := list(islice(left, _PART)):
        yield bytes([kind]) + b"".join(_RANGE.pack(*one) for one in part)


def parse(record: bytes) -> tuple[int, list[tuple[int, int]]]:
    """What happened, and the ranges of UIDs to which it did."""
    return record[0], list(_RANGE.iter_unpack(record[1:]))
