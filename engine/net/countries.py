"""Which country an address is in, by a file that somebody publishes and renews: GeoLite2, DB-IP, IPinfo and others."""

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from engine.net.mmdb import Mmdb, MmdbError
from engine.observe.events import event

LOOK = 60.0
"""Seconds between two looks whether there is a newer file; or whether one that cannot be read has been mended."""


class Countries:
    """A file, opened when it is first needed, and again when another has taken its place."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._next = 0.0  # look
        self._open: _File | None = None

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    def check(self) -> None:
        """OSError or MmdbError where it cannot be read."""
        _File(self._path).close()

    def of(self, address: str) -> str:
        """Two letters (ISO 3166-1); empty where it is not known."""
        try:
            self._look()
            return _code(self._open.database.find(address)) if self._open else ""
        except (OSError, MmdbError, ValueError) as error:
            self.close()
            self._next = self._clock() + LOOK
            event("countries-unread", file=str(self._path), error=str(error))
            return ""

    def _look(self) -> None:
        """OSError, MmdbError."""
        now = self._clock()
        if now < self._next:
            return
        self._next = now + LOOK
        if self._open is None or self._open.identity != _identity(os.stat(self._path)):
            newer = _File(self._path)
            self.close()
            self._open = newer


class _File:
    """An open one. It is read by pread: a map of it would be the end of the process once somebody cuts it short."""

    def __init__(self, path: Path) -> None:
        """OSError, MmdbError."""
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            found = os.fstat(self._fd)
            self.identity = _identity(found)
            self.database = Mmdb(lambda place, count: os.pread(self._fd, count, place), found.st_size)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        os.close(self._fd)


def _identity(found: os.stat_result) -> tuple[int, ...]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _code(said: Any) -> str:
    """Of what a file says of an address, each publisher in its own way."""
    if not isinstance(said, Mapping):
        return ""
    for name in ("country", "country_code", "registered_country"):
        country = said.get(name)
        code = country.get("iso_code") if isinstance(country, Mapping) else country
        if isinstance(code, str) and len(code) == 2:
            return code.upper()
    return ""
