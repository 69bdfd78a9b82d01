"""How long the scripts of one account may compute: who uses that up gets his mail unsorted for a while."""

import time
from collections.abc import Callable

SECONDS = 30.0
"""Of computing within a period. A script of ten rules takes less than a millisecond for a message."""

PERIOD = 3600.0
"""Seconds."""


class Budget:
    """The accounts that have run scripts within the period that is now."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since = clock()
        self._spent: dict[int, float] = {}

    def is_used_up(self, account: int) -> bool:
        now = self._clock()
        if now - self._since >= PERIOD:
            self._since, self._spent = now, {}
        return self._spent.get(account, 0.0) >= SECONDS

    def spend(self, account: int, seconds: float) -> None:
        self._spent[account] = self._spent.get(account, 0.0) + seconds
