"""Which messages are away, written where the death of the process does not take it: for the owner that comes after.

A file that is mapped into memory and never synced: the kernel keeps what was written when a process dies. After a new
start of the machine it says nothing, for then it was not a message that ended us.
"""

import mmap
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path

from engine.message import MessageId
from engine.storage.boot import this_boot

PLACES = 65_536
"""Messages that are noted at once; more are not noted."""

RECENT = 5.0
"""Seconds between being given out and the last sign of life in which a message may be the reason for a death. One that
has been away for longer, at a slow server perhaps, has shown that it does no harm."""

_HEAD = struct.Struct("=16sd")  # boot id, last sign of life
_PLACE = struct.Struct("=16sd")  # message id, when it was given out; all zero: nobody
_NOBODY = bytes(_PLACE.size)
_MANY = 64  # places that are looked at together


class Away:
    """The notes of one shard. ``left_behind``: what an owner had just given out that came to no orderly end."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock``: seconds that go on through all processes, until the machine starts again."""
        self._clock = clock
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(descriptor, _HEAD.size + PLACES * _PLACE.size)
            self._map = mmap.mmap(descriptor, 0)
        finally:
            os.close(descriptor)
        self._used = 0  # places that were ever taken
        self._free: list[int] = []
        self._boot = this_boot()
        boot, alive = _HEAD.unpack_from(self._map)
        noted = self._clear()
        self.left_behind = [i for i, since in noted if boot == self._boot and since >= alive - RECENT]

    def _clear(self) -> list[tuple[MessageId, float]]:
        """Whom all places name, and since when; then they name nobody."""
        found = []
        for start in range(_HEAD.size, len(self._map), _MANY * _PLACE.size):
            octets = self._map[start : start + _MANY * _PLACE.size]
            if octets.strip(b"\0"):  # seldom
                found += [(MessageId(i), since) for i, since in _PLACE.iter_unpack(octets) if i != bytes(16)]
                self._map[start : start + len(octets)] = bytes(len(octets))
        return found

    def note(self, identity: MessageId) -> int:
        """It is given out now; what to tell ``forget``."""
        if self._free:
            place = self._free.pop()
        elif self._used < PLACES:
            place = _HEAD.size + self._used * _PLACE.size
            self._used += 1
        else:
            return 0
        now = self._clock()
        _PLACE.pack_into(self._map, place, identity, now)
        _HEAD.pack_into(self._map, 0, self._boot, now)
        return place

    def forget(self, place: int) -> None:
        """It is back. After the end that is of no interest."""
        if place and not self._map.closed:
            self._map[place : place + _PLACE.size] = _NOBODY
            self._free.append(place)

    def close(self) -> None:
        """The end is orderly: nobody is to be suspected."""
        self._clear()
        self._map.close()
