"""How often strangers may begin something that is written to disk: so many times a minute from each network."""

import time
from collections.abc import Callable

MOST, SECONDS = 30, 60.0
"""More than the people of an office do, and little for a disk."""

_NETWORKS = 10_000
"""That are remembered at once; then all are forgotten, and each begins anew."""


class Pace:
    """Of one process."""

    def __init__(self, most: int = MOST, seconds: float = SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._seconds = seconds
        self._clock = clock
        self._known: dict[str, tuple[float, int]] = {}  # since when, and how often

    def allows(self, network: str) -> bool:
        """Whether it may once more; then it has."""
        now = self._clock()
        since, count = self._known.get(network, (now, 0))
        if now - since >= self._seconds:
            since, count = now, 0
        if count >= self._most:
            return False
        if len(self._known) >= _NETWORKS and network not in self._known:
            self._known.clear()
        self._known[network] = since, count + 1
        return True
