"""The slices of all processes on disk: which one is written, and which ones go because of age or size."""

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from engine.history.entries import Entry, TurnedAway
from engine.history.slice import OtherRelease, Slice
from engine.observe.events import event
from engine.storage.environment import Full, StorageError
from engine.storage.room import Room

FOLDER = "history"
"""In the data folder."""

SPANS = 32
"""Slices that the whole time is cut into: what is too old goes by these."""

PIECES = 64
"""The same of the whole size."""

SMALLEST = 256 * 1024
"""Octets of a slice, at least."""

TURNED_AWAY = 1000
"""Clients turned away that a slice may tell of beside as many others: else who tries out names all day long would
drive out what there is to say about mail."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How much is kept: seconds, octets of all slices of all processes; and the free space on the disk to leave."""

    keep: float
    size: int
    reserve: int = 0


class Place(NamedTuple):
    """A slice on disk."""

    started: int  # Unix milliseconds, by which slices of a process stand in order
    worker: str
    path: Path

    def size(self) -> tuple[int, float]:
        """Its octets, and the Unix time of its last change; of one that another process has removed, nothing."""
        try:
            found = (self.path / "data.mdb").stat()
        except OSError:
            return 0, 0.0
        return found.st_size, found.st_mtime


def places(folder: Path) -> Iterator[Place]:
    """All slices in a history folder, in no order."""
    for path in folder.glob("*/*"):
        if path.name.isdigit() and (path / "data.mdb").exists():
            yield Place(int(path.name), path.parent.name, path)


class Shelf:
    """Used by one thread of the process whose slices it writes."""

    def __init__(self, folder: Path, worker: str, terms: Terms, *, clock: Callable[[], float] = time.time) -> None:
        self.terms = terms
        self._folder = folder
        self._worker = worker
        self._clock = clock
        self._room = Room()
        self._slice: Slice | None = None
        self._began = 0.0
        self._turned_away = 0  # that the slice tells of, beyond as many others

    def put(self, entries: Sequence[Entry]) -> None:
        """Note entries. StorageError when they cannot be."""
        if not self._room.above(self.terms.reserve, self._folder.parent):
            raise Full("free space is below [queue] reserve")
        if self._slice is not None and (self._is_full(self._slice) or self._is_old()):
            self.close()
        if self._slice is None:
            self._slice = self._opened()
            self.tidy()
        try:
            self._slice.put(self._within(entries))
        except StorageError:
            self.close()
            raise

    def tidy(self) -> None:
        """Remove slices, of any process, that are too old, and the oldest ones while there is too much."""
        if self._slice is not None and self._is_old():
            self.close()
        found = sorted(places(self._folder))
        newest = {place.worker: place for place in found}
        oldest = self._clock() - self.terms.keep
        sizes = {place: place.size() for place in found}
        total = sum(octets for octets, _ in sizes.values())
        for place, (octets, last) in sizes.items():
            if self._slice is not None and place.path == self._slice.path:
                continue
            if last < oldest or (total > self.terms.size and place != newest[place.worker]):
                shutil.rmtree(place.path, ignore_errors=True)
                total -= octets

    def close(self) -> None:
        if self._slice is not None:
            self._slice.close()
            self._slice = None

    def _is_full(self, written: Slice) -> bool:
        return written.octets >= max(self.terms.size // PIECES, SMALLEST)

    def _is_old(self) -> bool:
        return not 0 <= self._clock() - self._began < self.terms.keep / SPANS

    def _within(self, entries: Sequence[Entry]) -> list[Entry]:
        kept: list[Entry] = []
        for entry in entries:
            if isinstance(entry, TurnedAway):
                if self._turned_away >= TURNED_AWAY:
                    continue
                self._turned_away += 1
            elif self._turned_away:
                self._turned_away -= 1
            kept.append(entry)
        return kept

    def _opened(self) -> Slice:
        """The slice that was written last, if it may go on; else a new one."""
        mine = sorted(place for place in places(self._folder) if place.worker == self._worker)
        self._turned_away = 0
        if mine:
            self._began = mine[-1].started / 1000
            try:
                last = self._open(mine[-1].path)
            except OtherRelease:
                pass
            except StorageError as error:
                event("history-renewed", folder=str(mine[-1].path), error=str(error))
                shutil.rmtree(mine[-1].path, ignore_errors=True)
            else:
                if not (self._is_full(last) or self._is_old()):
                    return last
                last.close()
        started = max(int(self._clock() * 1000), mine[-1].started + 1 if mine else 0)
        self._began = started / 1000
        return self._open(self._folder / self._worker / f"{started:014d}")

    def _open(self, path: Path) -> Slice:
        return Slice(path, map_size=4 * max(self.terms.size // PIECES, 64 * SMALLEST))  # address space, not disk
