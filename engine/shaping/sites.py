"""What was learnt of sites, on disk: small, bounded, and forgotten where it is not used."""

import time
from collections.abc import Callable, Mapping
from dataclasses import astuple

import msgspec

from engine.abuse import Tables
from engine.abuse.table import Kept, key_of
from engine.shaping.governor import Learnt

TABLE = "sites"

KEPT = 7 * 86_400.0
"""Seconds: who has not been written to for a week may be quite another one by now."""

DOUBLES = 6 * 3600.0
"""Seconds after which twice the rate is tried that was learnt: a limit of a bad hour need not hold for ever."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[float, float, float, float, float]).decode


class Sites:
    """By the name of a way. Both may raise StorageError."""

    def __init__(self, tables: Tables, clock: Callable[[], float] = time.time) -> None:
        # Sites see our own address, so that what they bear is learnt by each node for itself.
        self._table = tables[TABLE].local
        self._clock = clock

    def learnt(self, name: str) -> Learnt | None:
        """What was learnt, as far as it still counts."""
        (value,) = self._table.read([key_of(name)])
        if value is None:
            return None
        at, window, bound, rate, top = _decode(value)
        grown = 2 ** min(max(self._clock() - at, 0.0) / DOUBLES, 64)
        return Learnt(window, bound, rate * grown, top * grown)

    def keep(self, learnt: Mapping[str, Learnt]) -> None:
        """Blocks while it is written."""
        now = self._clock()
        self._table.apply({key_of(name): Kept(_encode((now, *astuple(one))), KEPT) for name, one in learnt.items()})
