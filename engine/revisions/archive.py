"""The archive of revisions: a file for each in the data folder, whole and synced before the revision is in force."""

import contextlib
import hashlib
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
from msgspec.structs import replace

from engine.observe.events import event
from engine.storage.files import sync, write

FOLDER = "revisions"
"""In the data folder."""

OPENING, IN_FORCE, ON_TRIAL, REFUSED, WITHDRAWN = "opening", "in force", "on trial", "refused", "withdrawn"
"""What has become of a revision: it is about to be opened, was put in force, is tried on a share of the mail, could
not be put in force, was taken back."""

FEWEST = 2
"""That are kept: the one in force, and the one to go back to."""


class Kept(msgspec.Struct, frozen=True):
    """One configuration, with the number that it has for good."""

    number: int
    when: float  # it was last put in force, or was to be: Unix time
    by: str  # the operator; "" when nobody knows
    text: str  # of pipeline.toml
    files: dict[str, str] = {}  # texts of those that it names, by path, from the folder of pipeline.toml on
    before: int = 0  # the revision that was in force then
    became: str = OPENING
    why: str = ""  # it was refused or withdrawn

    @property
    def digest(self) -> bytes:
        return _digest(self.text, self.files)


def from_folder(files: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Files by their paths from ``folder`` on, where they lie in it: it may be found by another path next time."""
    paths = {name: Path(name) for name in files}
    return {
        str(path.relative_to(folder) if path.is_relative_to(folder) else path): files[name]
        for name, path in paths.items()
    }


def in_folder(files: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The same files by the paths that a configuration in ``folder`` finds them at."""
    return {str(folder / name): text for name, text in files.items()}


class Archive:
    """All that are kept. One process writes: the supervisor; any may read."""

    def __init__(self, data: Path, keep: int = 100) -> None:
        self._folder = data / FOLDER
        self.keep = keep
        self._numbers: dict[bytes, int] = {}  # by digest of what was kept
        self._next = 1
        self._latest = 0  # that was put in force

    def open(self) -> None:
        """Look at what is there, so as to go on with it. A file that cannot be read is left, and said."""
        for number in self._listed():
            self._next = max(self._next, number + 1)
            kept = self.get(number)
            if kept is None:
                event("revision-unreadable", revision=number, file=str(self._path(number)))
            else:
                self._numbers[kept.digest] = number
        latest = self.last_in_force()
        self._latest = latest.number if latest else 0

    # -- reading

    def all(self) -> list[Kept]:
        """Every one that can be read, the oldest first."""
        return [kept for number in self._listed() if (kept := self.get(number)) is not None]

    def get(self, number: int) -> Kept | None:
        """None when there is none of that number, or none that can be read."""
        try:
            kept = msgspec.json.decode(self._path(number).read_bytes(), type=Kept)
        except (OSError, msgspec.DecodeError):
            return None
        return kept if kept.number == number else None

    def last_in_force(self) -> Kept | None:
        """The one that was put in force last."""
        return max((kept for kept in self.all() if kept.became == IN_FORCE), key=lambda kept: kept.when, default=None)

    # -- writing

    def take(self, text: str, files: Mapping[str, str], *, by: str = "", before: int = 0) -> Kept:
        """Keep a configuration that is about to be put in force. The same again has the same number.

        A disk that takes nothing is said, and keeps nobody from a start or a reload.
        """
        number = self._numbers.get(_digest(text, files))
        known = self.get(number) if number is not None else None
        if known is not None and number == self._latest:
            return known  # nothing has changed since it was put in force
        if known is not None:
            kept = replace(known, when=time.time(), by=by, became=OPENING, why="")
        else:
            kept = Kept(self._next, time.time(), by, text, dict(files), before)
        self._write(kept)
        self._next = max(self._next, kept.number + 1)
        self._numbers[kept.digest] = kept.number
        return kept

    def settle(self, kept: Kept, became: str, why: str = "") -> Kept:
        """Note what has become of it, and let go of the oldest that are too many."""
        settled = replace(kept, became=became, why=why)
        if settled != kept:
            self._write(settled)
        if became == IN_FORCE:
            self._latest = settled.number
            self._let_go({settled.number, settled.before})
        return settled

    def _write(self, kept: Kept) -> None:
        path = self._path(kept.number)
        try:
            write(path, msgspec.json.encode(kept))
            sync(self._folder)
        except OSError as error:
            event("revision-not-kept", revision=kept.number, file=str(path), error=error.strerror)

    def _let_go(self, wanted: set[int]) -> None:
        """Never of the one in force and of the one before it."""
        numbers = list(self._listed())
        spare = [number for number in numbers if number not in wanted]
        for number in spare[: max(len(numbers) - max(self.keep, FEWEST), 0)]:
            with contextlib.suppress(OSError):
                self._path(number).unlink()
            self._numbers = {digest: one for digest, one in self._numbers.items() if one != number}

    def _listed(self) -> Iterator[int]:
        with contextlib.suppress(OSError):
            names = [name.removesuffix(".json") for name in os.listdir(self._folder) if name.endswith(".json")]
            yield from sorted(int(name) for name in names if name.isascii() and name.isdigit())

    def _path(self, number: int) -> Path:
        return self._folder / f"{number}.json"


def _digest(text: str, files: Mapping[str, str]) -> bytes:
    return hashlib.sha256(msgspec.msgpack.encode([text, sorted(files.items())])).digest()
