"""From one look at the workers to the next: by how much their counts have grown, whoever was restarted meanwhile."""

from collections.abc import Mapping, Sequence

import msgspec

from engine.figures.measured import Measured, levels, measured
from engine.observe.measures import Sample

YOUNG = 600.0
"""Seconds after a start within which all that was counted is of now, though nothing was ever written."""


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """Up to where a worker's counts are in the figures."""

    started: float
    counts: dict[str, int]


class Level(msgspec.Struct, frozen=True, array_like=True):
    """What goes up and down, looked at ``looks`` times: all that was seen added up, and the most."""

    total: float
    looks: int
    most: float

    def __add__(self, other: "Level") -> "Level":
        return Level(self.total + other.total, self.looks + other.looks, max(self.most, other.most))


class Gathered(msgspec.Struct, array_like=True):
    """What there was in a time."""

    counts: dict[str, int] = {}
    levels: dict[str, Level] = {}


class Gathering:
    """What has come since it was last written. ``marks`` and ``since``: where that ended."""

    def __init__(self, marks: Mapping[str, Mark], since: float) -> None:
        self.marks = dict(marks)
        self.since = since
        self.gathered = Gathered()
        self._is_first = True

    def look(self, now: float, workers: Mapping[str, Sequence[Sample]]) -> None:
        """What all workers that answer measure at a Unix time."""
        said = {name: measured(samples) for name, samples in workers.items()}
        if self._is_first and said:
            # Before the oldest of them there was no server: nothing of what it has counted is of that time.
            oldest = min(found.started for found in said.values())
            self.since = min(max(self.since, oldest), now) if self.since or now - oldest < YOUNG else now
            self._is_first = False
        for name, found in said.items():
            for key, count in self._grown(name, found).items():
                self.gathered.counts[key] = self.gathered.counts.get(key, 0) + count
            self.marks[name] = Mark(found.started, dict(found.counts))
        for key, value in levels(workers.values()).items():
            seen = Level(value, 1, value)
            before = self.gathered.levels.get(key)
            self.gathered.levels[key] = before + seen if before else seen
        self.since = min(self.since, now)  # the clock was set back

    def taken(self, now: float) -> Gathered:
        """All of it; from now on it begins anew."""
        found, self.gathered, self.since = self.gathered, Gathered(), now
        return found

    def _grown(self, name: str, found: Measured) -> dict[str, int]:
        mark = self.marks.get(name)
        if mark is None:
            # It began after we did, so all of it is of this time. Of another nobody knows how much is.
            return dict(found.counts) if found.started >= self.since else {}
        before = mark.counts if mark.started == found.started else {}
        grown = {key: count - before.get(key, 0) for key, count in found.counts.items()}
        return {key: count for key, count in grown.items() if count > 0}
