"""What another server has said, kept for a while."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Cache(Generic[K, V]):
    """At most ``size`` values, each for ``seconds``; the oldest goes first. Threads share it."""

    def __init__(self, size: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._size = size
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[K, tuple[float, V]] = {}  # in the order in which they came

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: K, ask: Callable[[], V]) -> V:
        """The value of ``key``; if none is kept, what ``ask`` gives."""
        now = self._clock()
        kept = self._kept.get(key)
        if kept is not None and now - kept[0] < self._seconds:
            return kept[1]
        value = ask()
        with self._lock:
            self._kept.pop(key, None)
            while self._kept and len(self._kept) >= self._size:
                del self._kept[next(iter(self._kept))]
            if self._size:
                self._kept[key] = now, value
        return value
