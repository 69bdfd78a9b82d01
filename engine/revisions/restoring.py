"""Putting a kept revision over the files that stand there, with copies of these, and taking that back."""

import contextlib
import os
import shutil
import time
from pathlib import Path

from engine.revisions.archive import Kept
from engine.storage.files import private, sync

REPLACED = ".replaced"
"""How the folder beside pipeline.toml ends that has copies of what stood there, in a folder for each time. Not in the
data folder: that is the server's user's, and root must not write where that user has put a link."""

COPIES = 20
"""Times that are kept."""


class Restoring:
    """``pipeline`` is the file that is to have the text of ``kept``; files that it names lie from its folder on."""

    def __init__(self, pipeline: Path, kept: Kept) -> None:
        self._every = pipeline.with_name(f"{pipeline.name}{REPLACED}")
        self._texts = {pipeline: kept.text} | {pipeline.parent / name: text for name, text in kept.files.items()}
        self._names = {pipeline: pipeline.name} | {pipeline.parent / name: name for name in kept.files}
        self._stood: dict[Path, bytes | None] = {}
        self.copies: Path | None = None

    @property
    def elsewhere(self) -> list[str]:
        """Those that differ and lie outside the folder of pipeline.toml. OSError."""
        names = [self._names[path] for path in self.differing]
        return [name for name in names if Path(name).is_absolute() or ".." in Path(name).parts]

    @property
    def differing(self) -> list[Path]:
        """The files that do not say what they said then, or are gone. OSError."""
        return [path for path, text in self._texts.items() if not _says(path, text)]

    def write(self) -> list[Path]:
        """Copy what stands there, then write over it; the files that were written. OSError: then nothing is changed."""
        differing = self.differing
        self._stood = {path: _octets(path) for path in differing}
        if any(stood is not None for stood in self._stood.values()):
            self._copy()
        try:
            for path in differing:
                _replace(path, self._texts[path].encode())
        except OSError:
            self.undo()
            raise
        return differing

    def undo(self) -> None:
        """Let the files say again what they said before ``write``. OSError."""
        for path, stood in self._stood.items():
            if stood is not None:
                _replace(path, stood)
            else:
                path.unlink(missing_ok=True)

    def _copy(self) -> None:
        self.copies = folder = self._every / f"{time.time():.6f}"
        self._every.mkdir(mode=0o700, exist_ok=True)
        for path, stood in self._stood.items():
            if stood is not None:
                copy = folder / _inside(self._names[path])
                copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                with open(copy, "wb", opener=private) as file:
                    file.write(stood)
                sync(copy)
        sync(folder)
        for old in sorted(self._every.iterdir())[:-COPIES]:
            shutil.rmtree(old, ignore_errors=True)


def _octets(path: Path) -> bytes | None:
    """None when there is no such file. OSError."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _says(path: Path, text: str) -> bool:
    """Whether a file has that text, however its lines end. OSError."""
    octets = _octets(path)
    return octets is not None and b"\n".join(octets.splitlines()) == b"\n".join(text.encode().splitlines())


def _replace(path: Path, octets: bytes) -> None:
    """Put the file in its place whole and synced, with the mode and the owner that it had. OSError."""
    path = path.resolve()  # a link that an operator has made stays one
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    with open(new, "wb") as file:
        file.write(octets)
        file.flush()
        if path.exists():
            had = path.stat()
            os.fchmod(file.fileno(), had.st_mode & 0o7777)
            _give(file.fileno(), had)
        os.fsync(file.fileno())
    new.replace(path)
    sync(path.parent)


def _give(descriptor: int, had: os.stat_result) -> None:
    """Let a file be whose it was. Who is not root keeps its group, where they are in it. OSError."""
    if os.geteuid() == 0:
        os.fchown(descriptor, had.st_uid, had.st_gid)
    else:
        with contextlib.suppress(PermissionError):
            os.fchown(descriptor, -1, had.st_gid)


def _inside(name: str) -> str:
    """The name of a copy, which stays in the folder of copies whatever path the file has."""
    return "/".join(part for part in Path(name).parts if part not in ("/", "..", "."))
