"""How much has left from each source today: exact over all processes, and over nodes that share their tables."""

import datetime
import time
from collections.abc import Callable, Sequence

import msgspec

from engine.abuse.table import Changes, Kept, key_of
from engine.abuse.tables import Tables
from engine.config import WarmUp

TABLE = "egress"

_KEPT = 2 * 86_400.0
"""Seconds for which a count is kept: it is of no use once its day is over."""


class Count(msgspec.Struct, frozen=True, array_like=True):
    """Messages that a source has sent on a day."""

    source: str
    site: str  # empty: to all of them
    day: str  # in UTC, as ISO 8601 has it
    count: int


_decode = msgspec.msgpack.Decoder(Count).decode
_encode = msgspec.msgpack.Encoder().encode


class Days:
    """The counts. Every method may raise StorageError, and Unreachable where the tables are strict."""

    def __init__(self, tables: Tables, clock: Callable[[], float] = time.time) -> None:
        self._table = tables[TABLE]
        self._clock = clock

    def today(self) -> datetime.date:
        return datetime.datetime.fromtimestamp(self._clock(), datetime.UTC).date()

    def left_of_today(self) -> float:
        """Seconds until the next day begins."""
        return 86_400 - self._clock() % 86_400

    async def take(self, source: str, site: str, warm_up: WarmUp) -> str | None:
        """Count a message, unless it is one too many for today: then None. Else what ``give_back`` takes."""
        day = self.today()
        ceiling = warm_up.ceiling(day)
        if ceiling is None:
            return ""
        site = site if warm_up.per == "site" else ""
        return day.isoformat() if await self._add(source, site, day.isoformat(), 1, ceiling) else None

    async def give_back(self, source: str, site: str, warm_up: WarmUp, day: str) -> None:
        """A message that was counted has not left."""
        if day:
            await self._add(source, site if warm_up.per == "site" else "", day, -1, 0)

    async def _add(self, source: str, site: str, day: str, more: int, ceiling: int) -> bool:
        key = key_of("day", day, source, site)

        def decide(values: Sequence[bytes | None]) -> tuple[bool, Changes]:
            count = (_decode(values[0]).count if values[0] else 0) + more
            if count < 0 or (more > 0 and count > ceiling):
                return False, {}
            return True, {key: Kept(_encode(Count(source, site, day, count)), _KEPT)}

        return await self._table.change([key], decide)

    def counts(self) -> list[Count]:
        """Those of today, as this machine knows them."""
        today = self.today().isoformat()
        found = [_decode(value) for _, value in self._table.local.entries()]
        return sorted((count for count in found if count.day == today), key=lambda count: (count.source, count.site))
