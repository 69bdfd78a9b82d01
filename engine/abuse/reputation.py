"""What is thought of a network: how much of what came from it was good and how much bad, of late."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from engine.abuse.table import Changes, Kept, key_of
from engine.abuse.tables import SharedTable

PRIOR = 10.0
"""Outcomes that a network which nobody knows is thought to have had, neither good nor bad: one letter says little."""

_FORGOTTEN = 0.1
"""Outcomes of which nothing need be remembered any more."""

_AT_ONCE = 200
"""Networks of one change."""


class Standing(msgspec.Struct, array_like=True):
    """Counts as they were at a Unix time; they become half as much with each half-life."""

    network: str
    good: float = 0.0
    bad: float = 0.0
    at: float = 0.0

    def score(self) -> float:
        """From -1, all was bad, to 1."""
        return (self.good - self.bad) / (self.good + self.bad + PRIOR)


_encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Standing).decode


@dataclass(slots=True)
class Reputation:
    """Outcomes are gathered, and written for many at once by ``flush``."""

    table: SharedTable
    half_life: float = 7 * 86_400.0  # seconds
    clock: Callable[[], float] = time.time
    _gathered: dict[str, tuple[float, float]] = field(default_factory=dict)

    def note(self, network: str, *, good: float = 0.0, bad: float = 0.0) -> None:
        """Count an outcome."""
        before = self._gathered.get(network, (0.0, 0.0))
        self._gathered[network] = before[0] + good, before[1] + bad

    async def score(self, network: str) -> float:
        """What is thought of it, without what is not written yet. StorageError."""
        (value,) = await self.table.read([key_of(network)])
        return self._now(network, value).score()

    async def flush(self) -> None:
        """Write what has gathered. StorageError: it is lost."""
        gathered, self._gathered = list(self._gathered.items()), {}
        for start in range(0, len(gathered), _AT_ONCE):
            some = dict(gathered[start : start + _AT_ONCE])

            def decide(
                values: Sequence[bytes | None], some: dict[str, tuple[float, float]] = some
            ) -> tuple[None, Changes]:
                changes: dict[bytes, Kept | None] = {}
                for (network, (good, bad)), value in zip(some.items(), values, strict=True):
                    standing = self._now(network, value)
                    standing.good += good
                    standing.bad += bad
                    changes[key_of(network)] = Kept(_encode(standing), self._lifetime(standing))
                return None, changes

            await self.table.change([key_of(network) for network in some], decide)

    def _now(self, network: str, value: bytes | None) -> Standing:
        now = self.clock()
        if value is None:
            return Standing(network, at=now)
        found = decode(value)
        share = 0.5 ** (max(0.0, now - found.at) / self.half_life)
        return Standing(network, found.good * share, found.bad * share, now)

    def _lifetime(self, standing: Standing) -> float:
        """Seconds until nothing of it counts."""
        halvings = 0
        while (standing.good + standing.bad) * 0.5**halvings > _FORGOTTEN:
            halvings += 1
        return self.half_life * max(1, halvings)
