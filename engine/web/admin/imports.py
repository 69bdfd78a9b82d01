"""Files of accounts that somebody imports in the page: what was given, how far it is, and what came of it.

They are in the folder ``imports`` of the data folder, a folder for each account that imports, for an hour: there are
passwords in them, and links that are as good as such.
"""

import csv
import io
import re
import secrets
import shutil
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from engine.observe.visible import in_cell
from engine.storage import files

FOLDER = "imports"
"""In the data folder."""

KEPT = 3600.0
"""Seconds."""

SILENT = 60.0
"""Seconds after which an import that says nothing any more was broken off."""

_ID = re.compile(r"[A-Za-z0-9_-]{22}")


class Progress(msgspec.Struct, frozen=True):
    """How far an import is. ``state``: "running", "done" or "failed"."""

    state: str
    done: int
    total: int
    added: int = 0
    there: int = 0
    told: float = 0.0  # Unix time

    @property
    def is_broken_off(self) -> bool:
        return self.state == "running" and time.time() - self.told > SILENT


@dataclass(frozen=True, slots=True)
class Import:
    """One of them. Every method blocks; OSError."""

    id: str
    folder: Path

    def sheet(self) -> str:
        return (self.folder / "sheet.csv").read_text(encoding="utf-8")

    def begin(self, total: int, columns: Sequence[str]) -> bool:
        """Whether it is begun by this: never twice."""
        try:
            (self.folder / "begun").touch(mode=0o600, exist_ok=False)
        except FileExistsError:
            return False
        files.write(self.folder / "result.csv", _lines([columns]).encode())
        self.tell(Progress("running", 0, total))
        return True

    def tell(self, progress: Progress) -> None:
        """It is so far. What was given is not kept longer than it is needed."""
        told = msgspec.structs.replace(progress, told=time.time())
        files.write(self.folder / "progress.json", msgspec.json.encode(told))
        if progress.state != "running":
            with suppress(FileNotFoundError):
                (self.folder / "sheet.csv").unlink()

    def add(self, rows: Iterable[Sequence[str]]) -> None:
        """More lines of the result."""
        with (self.folder / "result.csv").open("a", encoding="utf-8", newline="") as file:
            file.write(_lines(rows))

    def progress(self) -> Progress | None:
        """None: it has not begun."""
        try:
            return msgspec.json.decode((self.folder / "progress.json").read_bytes(), type=Progress)
        except FileNotFoundError:
            return None

    def result(self) -> bytes:
        return (self.folder / "result.csv").read_bytes()

    def forget(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


class Imports:
    """All of them."""

    def __init__(self, data: Path) -> None:
        self._folder = data / FOLDER

    def keep(self, account: int, text: str) -> Import:
        """What somebody has given, before anything is done with it. Blocks. OSError."""
        self.sweep()
        identity = secrets.token_urlsafe(16)
        folder = self._folder / str(account) / identity
        files.write(folder / "sheet.csv", text.encode())
        return Import(identity, folder)

    def find(self, account: int, identity: str) -> Import | None:
        """One of an account's own."""
        folder = self._folder / str(account) / identity
        return Import(identity, folder) if _ID.fullmatch(identity) and folder.is_dir() else None

    def sweep(self) -> None:
        """Forget what is too old."""
        for folder in self._folder.glob("*/*"):
            with suppress(OSError):
                newest = max((path.stat().st_mtime for path in folder.iterdir()), default=0.0)
                if newest < time.time() - KEPT:
                    shutil.rmtree(folder, ignore_errors=True)


def _lines(rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(map(in_cell, row) for row in rows)
    return text.getvalue()
