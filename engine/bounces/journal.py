"""The bounce log: a line of JSON for each recipient that did not get a message, by days; and who else hears of them.

A thread of its own does all of it, so that mail never waits: for what a reply means, for the disk, for other stores.
"""

import datetime
import errno
import io
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from engine.observe.events import event
from engine.storage.files import private

T = TypeVar("T")

FOLDER = "bounces"
"""In the data folder."""

WAITING = 20_000
"""Entries that wait for the thread at most. What comes then is not noted: mail goes on."""

_LOOKS = 16
"""For each such part of its size that is written, there is a look at how large the log is."""

_SILENCE = 60.0
"""Seconds between two complaints about the same trouble."""

_PREFIX, _SUFFIX = "bounces-", ".jsonl"


class Entry(msgspec.Struct, frozen=True, rename={"sender": "from", "which": "class"}, omit_defaults=True):
    """What became of one recipient, at one attempt; or an action of the automation. Times are Unix times."""

    time: float
    event: str  # failed, deferred, returned, complaint, suppressed, action, lifted
    id: str = ""
    to: str = ""
    sender: str = ""
    domain: str = ""
    site: str = ""
    source: str = ""
    remote: str = ""
    which: str = ""  # the class of the reply
    permanent: bool = False
    code: str = ""  # of RFC 3463, as the sender is told
    reply: str = ""
    text: str = ""
    tenant: str = ""
    campaign: str = ""
    attempts: int = 0  # that there were with this one
    arrived: float = 0.0
    again: float = 0.0  # when it is tried again
    by: str = ""  # what the class was known by, or what an action was taken by


_encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Entry).decode


class Log:
    """The files, which all processes append to. Their lines are whole, for each write is one."""

    def __init__(self, folder: Path, *, keep: float, size: int) -> None:
        """``keep``: seconds that a file is kept from its day on. ``size``: octets of all of them."""
        self._folder = folder
        self._keep = keep
        self._size = size
        self._day = ""
        self._file: io.FileIO | None = None  # which is closed with this object
        self._written = 0  # octets since there was a look at how much there is
        self._full = False  # for the rest of the day

    def write(self, entries: Sequence[Entry]) -> None:
        """OSError; also when one day alone has filled the log."""
        for day, lines in _by_day(entries).items():
            file = self._open(day)
            if self._full:
                raise OSError(errno.EDQUOT, f"the log of {day} alone has {self._size} octets, and may have no more")
            self._written += file.write(b"".join(lines)) or 0
            if self._written > self._size / _LOOKS:
                self._tidy()

    def _open(self, day: str) -> io.FileIO:
        if self._file is not None and day == self._day:
            return self._file
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / f"{_PREFIX}{day}{_SUFFIX}"
        opened = io.FileIO(private(str(path), os.O_WRONLY | os.O_APPEND | os.O_CREAT), "a")
        self.close()
        self._day, self._file = day, opened
        self._tidy()
        return opened

    def _tidy(self) -> None:
        """Remove files that are too old, and the oldest while there is too much."""
        oldest = (datetime.date.fromisoformat(self._day) - datetime.timedelta(seconds=self._keep)).isoformat()
        total = self._written = 0
        for path in reversed(files(self._folder)):
            total += path.stat().st_size
            day = path.name[len(_PREFIX) : -len(_SUFFIX)]
            if day == self._day:
                self._full = total >= self._size
            elif day < oldest or total > self._size:
                path.unlink(missing_ok=True)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._day, self._file = "", None


def _by_day(entries: Sequence[Entry]) -> dict[str, list[bytes]]:
    days: dict[str, list[bytes]] = {}
    for entry in entries:
        day = datetime.datetime.fromtimestamp(entry.time, datetime.UTC).date().isoformat()
        days.setdefault(day, []).append(_encode(entry) + b"\n")
    return days


def files(folder: Path) -> list[Path]:
    """The files of the log, the oldest first."""
    return sorted(folder.glob(f"{_PREFIX}*{_SUFFIX}"))


def entries(folder: Path, since: float = 0.0) -> Iterator[Entry]:
    """What the log has, the oldest first. OSError. A line that was broken off is left out."""
    day = datetime.datetime.fromtimestamp(since, datetime.UTC).date().isoformat()
    for path in files(folder):
        if path.name[len(_PREFIX) : -len(_SUFFIX)] < day:
            continue
        with path.open("rb") as file:
            for line in file:
                try:
                    entry = decode(line)
                except msgspec.MsgspecError:
                    continue
                if entry.time >= since:
                    yield entry


class Journal(Generic[T]):
    """A thread that notes what it is told. ``tell`` never blocks, and may be called by any thread.

    ``note`` gets all that has gathered. It may raise whatever its stores raise: that is told, once in a while.
    """

    def __init__(self, note: Callable[[Sequence[T]], None], *, most: int = WAITING) -> None:
        self._note = note
        self._most = most
        self._waiting: deque[T] = deque()
        self._lost = 0
        self._told: dict[str, float] = {}
        self._news = threading.Event()
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="bounces", daemon=True)
        self._thread.start()

    def tell(self, what: T) -> None:
        if len(self._waiting) >= self._most:
            self._lost += 1
            return
        self._waiting.append(what)
        if not self._news.is_set():
            self._news.set()

    def close(self, patience: float = 5.0) -> None:
        """Note what waits, for so many seconds at most."""
        self._ending = True
        self._news.set()
        self._thread.join(patience)

    def _run(self) -> None:
        while True:
            self._news.wait()
            self._news.clear()
            while self._waiting:
                self._note_some()
            if self._ending:
                return

    def _note_some(self) -> None:
        some = [self._waiting.popleft() for _ in range(min(len(self._waiting), 1000))]
        if self._lost:
            lost, self._lost = self._lost, 0
            event("bounces-not-noted", entries=lost, why="more came than could be noted")
        try:
            self._note(some)
        except Exception as error:  # whatever it is, the next ones may be noted
            self._complain(error, len(some))

    def _complain(self, error: Exception, count: int) -> None:
        now, text = time.monotonic(), str(error)
        if now - self._told.get(text, -_SILENCE) >= _SILENCE:
            self._told = {text: now}
            event("bounces-not-noted", entries=count, why=text)
