"""How fast mail is taken, and how long we stay away from a server that does not want us now."""

import random

import trio

FIRST, LONGEST = 2.0, 300.0
"""Seconds of a pause: the first one, and the longest."""

PATIENCE = 3600.0
"""Seconds without a single message after which we give up."""


class Pace:
    """``rate``: octets a second, 0: as fast as can be. May be shared by several runs."""

    def __init__(self, rate: int = 0) -> None:
        self._rate = rate
        self._free = 0.0  # the moment at which all that was taken is paid for

    async def took(self, octets: int) -> None:
        """So many have come; wait as long as is due."""
        if not self._rate:
            return
        now = trio.current_time()
        self._free = max(self._free, now - 1.0) + octets / self._rate  # a second's worth may come at once
        if self._free > now:
            await trio.sleep(self._free - now)


class Pauses:
    """Each is twice as long as the one before, until something was achieved."""

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._last = 0.0
        self._until = trio.current_time() + patience

    def achieved(self) -> None:
        self._last, self._until = 0.0, trio.current_time() + self._patience

    def next(self) -> float | None:
        """Seconds to stay away; None: it has been too long."""
        left = self._until - trio.current_time()
        if left <= 0:
            return None
        self._last = min(LONGEST, max(FIRST, self._last * 2))
        return min(left, self._last * random.uniform(0.8, 1.2))  # that not all come at once
