"""Connections to a server that keeps a directory, used again and again by the threads of one process."""

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from engine.directory.errors import Unavailable

PAUSE = 2.0
"""Seconds after a failure within which nobody tries again: whoever asks then need not wait to hear it."""

T = TypeVar("T")


class Closable(Protocol):
    def close(self) -> None: ...


C = TypeVar("C", bound=Closable)


class Pool(Generic[C]):
    """At most ``size`` connections are kept. ``connect``, and all that is done by them, may raise Unavailable."""

    def __init__(self, connect: Callable[[], C], size: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._connect = connect
        self._size = size
        self._clock = clock
        self._lock = threading.Lock()
        self._idle: list[C] = []
        self._away: tuple[float, str] | None = None  # since when, and why

    def run(self, work: Callable[[C], T]) -> T:
        """What ``work`` finds by a connection. It must do no harm when done twice. Unavailable."""
        for kept in iter(self._taken, None):
            with contextlib.suppress(Unavailable):  # the server may have closed it long ago
                return self._done(kept, work)
        self._check()
        try:
            return self._done(self._connect(), work)
        except Unavailable as error:
            self._away = self._clock(), str(error)
            raise

    def close(self) -> None:
        for kept in iter(self._taken, None):
            kept.close()

    def _taken(self) -> C | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _check(self) -> None:
        away = self._away
        if away is not None and self._clock() - away[0] < PAUSE:
            raise Unavailable(away[1])

    def _done(self, connection: C, work: Callable[[C], T]) -> T:
        try:
            found = work(connection)
        except BaseException:
            connection.close()
            raise
        with self._lock:
            keep = len(self._idle) < self._size
            if keep:
                self._idle.append(connection)
        if not keep:
            connection.close()
        return found
