"""Reading the history: what all processes have noted, put together. It may be done beside the running server."""

import heapq
from collections.abc import Callable, Iterator
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple, Self, TypeVar

from engine.history.entries import Happened
from engine.history.shelf import Place, places
from engine.history.slice import Slice, digest_of, digest_of_id
from engine.storage.environment import StorageError

T = TypeVar("T")

EARLY = 60.0
"""Seconds by which clocks may differ: an id says when its message came, and nothing is noted of it before that."""


class Told(NamedTuple):
    """An entry, and the worker that has noted it."""

    entry: Happened
    worker: str


class History:
    """All slices in a history folder. ``unreadable`` gathers what of it is damaged."""

    def __init__(self, folder: Path) -> None:
        self.unreadable: list[str] = []
        self._slices: dict[Path, Slice | None] = {}
        self._places = sorted(places(folder), reverse=True)

    @property
    def is_empty(self) -> bool:
        return not self._places

    def of(self, identity: bytes) -> list[Told]:
        """All that was noted of a message, and of those that have come of it, in order."""
        since = int.from_bytes(identity[:6], "big") / 1000 - EARLY
        found = [
            Told(entry, place.worker)
            for place in self._places
            if place.size()[1] >= since
            for entry in self._matching(place, digest_of_id(identity), lambda entry: identity in entry.ids)
        ]
        return sorted(found, key=lambda told: told.entry.time)

    def about(self, text: str) -> Iterator[Told]:
        """What was noted of messages with that Message-ID, or to or from that address; the newest first."""
        wanted = text.lower()

        def is_it(entry: Happened) -> bool:
            return any(one.lower() == wanted for one in entry.texts)

        workers: dict[str, list[Place]] = {}
        for place in self._places:
            workers.setdefault(place.worker, []).append(place)
        told = [self._of_worker(some, digest_of(text), is_it) for some in workers.values()]
        return heapq.merge(*told, key=lambda one: one.entry.time, reverse=True)

    def _of_worker(self, some: list[Place], digest: bytes, is_it: Callable[[Happened], bool]) -> Iterator[Told]:
        for place in some:
            for entry in self._matching(place, digest, is_it):
                yield Told(entry, place.worker)

    def _matching(self, place: Place, digest: bytes, is_it: Callable[[Happened], bool]) -> Iterator[Happened]:
        """The newest first."""
        slice_ = self._opened(place.path)
        if slice_ is None:
            return
        for number in self._careful(lambda: slice_.find(digest)):
            entries = self._careful(lambda number=number: slice_.block(number))  # type: ignore[misc]
            yield from sorted(filter(is_it, entries), key=attrgetter("time"), reverse=True)

    def _careful(self, read: Callable[[], list[T]]) -> list[T]:
        try:
            return read()
        except StorageError as error:
            self.unreadable.append(str(error))
            return []

    def _opened(self, path: Path) -> Slice | None:
        if path not in self._slices:
            try:
                self._slices[path] = Slice(path, map_size=0, read_only=True)
            except StorageError as error:
                self._slices[path] = None
                if path.exists():  # else it has just become too old
                    self.unreadable.append(str(error))
        return self._slices[path]

    def close(self) -> None:
        for slice_ in self._slices.values():
            if slice_ is not None:
                slice_.close()
        self._slices.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
