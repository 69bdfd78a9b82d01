"""What is changed of messages later, in blocks: flags, keywords and MODSEQ, apart from the records.

A record of ``message`` has the state with which its message came, and stays as it is. Of those whose flags were changed
since, the state of now is in ``state``: in one value for all whose UIDs differ in the last octet alone. So a delivery
writes nothing here, and a change to all messages of a mailbox writes some tens of octets for 256 of them.

A block has a row for each of its messages that was changed, by UID: the last octet of the UID, which of the block's
states it has (most messages have one of few), and its MODSEQ. What is the same in all rows is written once.

    rows u8, less one; states u8, less one; octets of a MODSEQ: 0, 1, 2, 4 or 8; the least MODSEQ u64
    each state, as in a record
    the last octets of the UIDs, unless all 256 are there
    for each row the number of its state, unless there is but one
    for each row by how much its MODSEQ is more than the least, unless none is
"""

import struct
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import compress
from typing import Final

from engine.mailbox.rows import MODSEQ, STATE, State

SPAN: Final = 256
"""UIDs that share a block: as many as an octet tells apart."""

FEW: Final = 8
"""Rows that are put into a block one by one: to put all of it together anew takes as long as some of them."""

Items = Sequence[tuple[bytes, bytes]]
"""Messages as their records are stored: keys and values."""

_HEAD = struct.Struct(">BBBQ")
_STATE = STATE.stop - STATE.start
_LOW = 0 if sys.byteorder == "little" else array("I").itemsize - 1
_CODES = {0: "B", 1: "B", 2: "H", 4: "I", 8: "Q"}  # of arrays, by octets of an item; 0: there is none
_ALL = bytes(range(SPAN))


class Block:
    """The states of messages that share a block. ``lows`` ascend; item n of each column is of the same message."""

    __slots__ = ("_least", "_more", "lows", "states", "which")

    def __init__(self, lows: bytes = b"", states: Iterable[bytes] = (), which: bytes = b"") -> None:
        self.lows = lows  # the last octets of UIDs
        self.states = list(states)  # each once, as a record has it
        self.which = which  # by its place among the states
        self._least = 0  # no MODSEQ is lower
        self._more = array("B")  # by how much each is higher; empty: none is

    def __len__(self) -> int:
        return len(self.lows)

    @classmethod
    def of(cls, items: Items) -> "Block":
        """Of records, with the states in which the messages came. Keys ascend."""
        modseqs = _native(array("Q", b"".join([octets[MODSEQ] for _, octets in items])))
        return cls._made(bytes([key[-1] for key, _ in items]), [octets[STATE] for _, octets in items], modseqs)

    @classmethod
    def parse(cls, octets: bytes) -> "Block":
        count, kinds, width, least = _HEAD.unpack_from(octets)
        count, start = count + 1, _HEAD.size
        at = start + (kinds + 1) * _STATE
        block = cls(_ALL, [octets[one : one + _STATE] for one in range(start, at, _STATE)], bytes(count))
        if count < SPAN:
            block.lows, at = octets[at : at + count], at + count
        if kinds:
            block.which, at = octets[at : at + count], at + count
        block._least, block._more = least, _native(array(_CODES[width], octets[at:]))
        return block

    def octets(self) -> bytes:
        """ValueError where there is no row."""
        width = self._more.itemsize if self._more else 0
        parts = [_HEAD.pack(len(self) - 1, len(self.states) - 1, width, self._least), *self.states]
        if len(self) < SPAN:
            parts.append(self.lows)
        if len(self.states) > 1:
            parts.append(self.which)
        return b"".join([*parts, _native(self._more[:]).tobytes()])

    @property
    def modseqs(self) -> "array[int]":
        return self.columns(0, len(self))[2]

    def columns(self, start: int, stop: int) -> "tuple[array[int], array[int], array[int]]":
        """Flags, keywords and MODSEQs in these rows, as ``Records`` has them."""
        states, which = [State.parse(state) for state in self.states], self.which[start:stop]
        flags = array("B", which.translate(bytes([state.flags for state in states]).ljust(SPAN, b"\0")))
        bits = [state.keywords for state in states]
        keywords = array("Q", map(bits.__getitem__, which)) if any(bits) else array("Q", bytes(8 * len(which)))
        least, more = self._least, self._more[start:stop]
        modseqs = array("Q", [least + one for one in more]) if more else array("Q", [least]) * len(which)
        return flags, keywords, modseqs

    def get(self, low: int) -> tuple[bytes, int] | None:
        """The state and the MODSEQ of a message; None: it has those with which it came."""
        row = self.lows.find(low)
        if row < 0:
            return None
        return self.states[self.which[row]], self._least + (self._more[row] if self._more else 0)

    def drop(self, lows: bytes) -> bool:
        """Forget messages that go; whether any of them was there."""
        stay = self.lows.translate(None, lows)
        if len(stay) == len(self):
            return False
        kept = self.lows.translate(_among(stay))
        which, self._more = bytes(compress(self.which, kept)), array(self._more.typecode, compress(self._more, kept))
        self.lows = stay
        self._settle(which)
        return True

    def join(self, more: "Block") -> None:
        """Put in all of another one; none of these is there."""
        if len(self) and len(more) <= FEW and self._least <= more._least:
            for low, place, modseq in zip(more.lows, more.which, more.modseqs, strict=True):
                self._put(low, more.states[place], modseq)
            return
        if len(self):
            each = [*map(self.states.__getitem__, self.which), *map(more.states.__getitem__, more.which)]
            rows = sorted(zip(self.lows + more.lows, each, self.modseqs + more.modseqs, strict=True))
            found, states, modseqs = zip(*rows, strict=True)
            more = self._made(bytes(found), states, array("Q", modseqs))
        self.lows, self.states, self.which = more.lows, more.states, more.which
        self._least, self._more = more._least, more._more

    def count(self, flag: int) -> int:
        """How many have it."""
        return sum([self.which.count(place) for place, state in enumerate(self.states) if _flags(state) & flag])

    def having(self, flag: int) -> bytes:
        """The last octets of the UIDs of those that have it."""
        places = bytes([place for place, state in enumerate(self.states) if _flags(state) & flag])
        return bytes(compress(self.lows, self.which.translate(_among(places)))) if places else b""

    def uids(self, number: int, rows: Sequence[int]) -> "array[int]":
        """The UIDs in these rows of the block that has this number."""
        return uids_in(number, [self.lows[row] for row in rows])

    def rows(self, lows: bytes) -> Sequence[int]:
        """The places of these messages, which ascend; those that are not there are passed over."""
        start = self.lows.find(lows)
        if start >= 0:
            return range(start, start + len(lows))
        return list(compress(range(len(self)), self.lows.translate(_among(lows))))

    def turn(self, rows: Sequence[int], become: Mapping[bytes, bytes], modseq: int) -> Sequence[int]:
        """Let states become others in these rows, and give those that have changed this MODSEQ; which they are.

        No MODSEQ may be higher than that.
        """
        used = range(len(self.states)) if len(rows) == len(self) else set(map(self.which.__getitem__, rows))
        new = {place: state for place in used if (state := become[self.states[place]]) != self.states[place]}
        if not new:
            return range(0)
        if len(rows) == len(self) and len(new) == len(self.states):
            self.states, self._least, self._more = list(new.values()), modseq, array("B")
            if len(set(self.states)) < len(new):
                self._settle(self.which)
            return rows
        table = {place: len(self.states) + order for order, place in enumerate(new)}
        which, more = list(self.which), modseq - self._least
        changed = [row for row in rows if which[row] in new]
        self._more = self._wide(more)
        for row in changed:
            which[row] = table[which[row]]
            self._more[row] = more
        self.states = [*self.states, *new.values()]
        self._settle(which)
        return changed

    def _put(self, low: int, state: bytes, modseq: int) -> None:
        """One that is not there, and whose MODSEQ is not too low."""
        row, more = bisect_left(self.lows, low), self._wide(modseq - self._least)
        if state not in self.states:
            self.states = [*self.states, state]
        more.insert(row, modseq - self._least)
        self.lows = self.lows[:row] + bytes([low]) + self.lows[row:]
        self.which = self.which[:row] + bytes([self.states.index(state)]) + self.which[row:]
        self._more = more

    def _wide(self, more: int) -> "array[int]":
        """By how much each MODSEQ is higher than the least, with room for this number."""
        width = max(self._more.itemsize, _width(more))
        return array(_CODES[width], self._more or [0] * len(self))

    def _settle(self, which: Sequence[int]) -> None:
        """Keep each state once, and those alone that a row has."""
        used = sorted(set(which))
        if len(used) < len(self.states) or len(set(self.states)) < len(self.states):
            places: dict[bytes, int] = {}
            table = {one: places.setdefault(self.states[one], len(places)) for one in used}
            self.states, which = list(places), list(map(table.__getitem__, which))
        self.which = bytes(which)

    @classmethod
    def _made(cls, lows: bytes, each: Sequence[bytes], modseqs: "array[int]") -> "Block":
        """Of the state of each row."""
        places = {state: place for place, state in enumerate(dict.fromkeys(each))}
        block = cls(lows, places, bytes(map(places.__getitem__, each)))
        block._least = least = min(modseqs, default=0)
        most = max(modseqs, default=0) - least
        if most:
            block._more = array(_CODES[_width(most)], [one - least for one in modseqs])
        return block


def by_block(uids: "array[int]") -> "Iterator[tuple[int, array[int]]]":
    """Numbers of blocks, and those of the UIDs that are in each. UIDs ascend."""
    start = 0
    while start < len(uids):
        number = uids[start] // SPAN
        stop = bisect_left(uids, (number + 1) * SPAN, start, min(len(uids), start + SPAN))
        yield number, uids[start:stop]
        start = stop


def lows(uids: "array[int]") -> bytes:
    """Their last octets."""
    return uids.tobytes()[_LOW :: uids.itemsize]


def uids_in(number: int, lows: Sequence[int]) -> "array[int]":
    """The UIDs in a block that have these last octets."""
    first = number * SPAN
    return array("I", [first + low for low in lows])


def _width(number: int) -> int:
    """Octets of an item of an array that has room for it."""
    return next(width for width in (1, 2, 4, 8) if number < 1 << 8 * width)


def _among(lows: bytes) -> bytes:
    """A table for ``bytes.translate`` that makes these octets 1 and all others 0."""
    others = _ALL.translate(None, lows)
    return bytes.maketrans(lows + others, b"\1" * len(lows) + bytes(len(others)))


def _flags(state: bytes) -> int:
    """Of a State in octets: there are so few flags that they are in one octet of four."""
    return state[3]


def _native(column: "array[int]") -> "array[int]":
    """From the order of octets on disk into that of this machine, or back."""
    if sys.byteorder == "little":
        column.byteswap()
    return column
