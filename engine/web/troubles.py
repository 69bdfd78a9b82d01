"""What cannot be had now, and everybody who asks meets: the log has each once a minute, and not for every request."""

import time
from collections.abc import Callable

SAY_AGAIN = 60.0
"""Seconds until the same is said again."""

_KNOWN = 100
"""Texts that are remembered; then all are forgotten."""


class Troubles:
    """Of one process. ``clock`` counts seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said: dict[str, float] = {}

    def is_news(self, error: Exception) -> bool:
        """Whether it is to be said now; then it has been."""
        now, text = self._clock(), str(error)
        if text in self._said and now - self._said[text] < SAY_AGAIN:
            return False
        if len(self._said) >= _KNOWN:
            self._said.clear()
        self._said[text] = now
        return True
