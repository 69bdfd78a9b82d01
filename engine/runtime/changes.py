"""What somebody has changed, for those who answer for it: a line for each change, in a file for each month, kept.

The log goes wherever it is sent, and is thrown away some day. Here is what operations told of: commands, programs and
pages all leave it. What a month had is one file of JSON lines, which nothing but people take away.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from engine.observe.events import encoded, event
from engine.storage.files import private

FOLDER = "changes"
"""In the data folder."""

MOST_READ = 32 * 2**20
"""Octets that one search looks at: some 150,000 changes. It tells where it stopped."""

_BLOCK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Change:
    """A change: when (Unix time), of which kind, by whom, and all that is said of it."""

    time: float
    kind: str
    by: str
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """Changes, the newest first; ``rest``: where those begin that come before them, empty when there are none."""

    changes: Sequence[Change]
    rest: str = ""


class Changes:
    """Those of a data folder. Every method may block."""

    def __init__(self, data: Path, clock: Callable[[], float] = time.time) -> None:
        self._folder = data / FOLDER
        self._clock = clock

    def note(self, tell: Callable[..., None]) -> Callable[..., None]:
        """Something that takes a change as operations tell of it: ``tell`` has it in the log, and it is kept."""

        def noted(name: str, /, **values: Any) -> None:
            tell(name, **values)
            self.put(name, **values)

        return noted

    def put(self, name: str, /, **values: Any) -> None:
        """Keep what the log has by another way."""
        line = {"time": round(self._clock(), 3), "event": name}
        self.keep([encoded(line | {key: value for key, value in values.items() if value is not None}) + b"\n"])

    def keep(self, lines: Sequence[bytes]) -> None:
        """Append lines of the log. What has been done stays done where the disk does not take them: the log says so."""
        try:
            self._append(b"".join(lines))
        except OSError as error:
            event("changes-not-kept", changes=len(lines), error=error.strerror or str(error))

    def _append(self, octets: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / time.strftime("%Y-%m.jsonl", time.gmtime(self._clock()))
        descriptor = private(str(path), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            before = os.fstat(descriptor).st_size
            try:
                if os.write(descriptor, octets) < len(octets):
                    raise OSError(0, "the disk did not take all of it")
                os.fsync(descriptor)
            except OSError:
                with suppress(OSError):
                    os.ftruncate(descriptor, before)  # half a line would spoil the next one
                raise
        finally:
            os.close(descriptor)

    @property
    def state(self) -> tuple[str, int]:
        """Another one when there is something new."""
        newest = max(self._months(), default="")
        with suppress(OSError):
            return newest, (self._folder / newest).stat().st_size if newest else 0
        return newest, 0

    def search(self, wanted: Callable[[Change], bool], most: int, before: str = "") -> Found:
        """The newest changes of which ``wanted`` holds; ``before``: the ``rest`` of an earlier search. OSError."""
        month, _, place = before.partition(":")
        found: list[Change] = []
        seen = 0
        for name in sorted(self._months(), reverse=True):
            if month and name > month:
                continue
            end = int(place) if name == month and place.isascii() and place.isdigit() and len(place) < 16 else None
            for start, line in _backwards(self._folder / name, end):
                seen += len(line)
                change = _change(line)
                if change is not None and wanted(change):
                    if len(found) == most:
                        return Found(found, f"{name}:{start + len(line)}")
                    found.append(change)
                if seen > MOST_READ:
                    return Found(found, f"{name}:{start}")
        return Found(found)

    def _months(self) -> list[str]:
        try:
            return [path.name for path in self._folder.glob("????-??.jsonl")]
        except OSError:
            return []


def _backwards(path: Path, end: int | None) -> Iterator[tuple[int, bytes]]:
    """The lines of a file that end before a place, the last first, each with the place where it begins."""
    with path.open("rb") as file:
        place = file.seek(0, os.SEEK_END)
        place = place if end is None else min(end, place)
        rest = b""
        while place:
            start = max(place - _BLOCK, 0)
            file.seek(start)
            octets = file.read(place - start) + rest
            rest, *lines = octets.split(b"\n")
            at = start + len(octets)
            for line in reversed(lines):
                at -= len(line)
                if line:
                    yield at, line
                at -= 1
            place = start
        if rest:
            yield 0, rest


def _change(line: bytes) -> Change | None:
    """What a line says; None for one that was broken off."""
    try:
        values = msgspec.json.decode(line)
        moment, kind, by = float(values.pop("time")), str(values.pop("event")), str(values.pop("by", ""))
    except (msgspec.DecodeError, AttributeError, KeyError, TypeError, ValueError):
        return None
    values.pop("process", None)
    return Change(moment, kind, by, values)
