"""Content too large for LMDB: one file each, on disk before the record that refers to it."""

import contextlib
import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from engine.mailbox.layout import CHUNK, INLINE, content_key, file_name
from engine.mailbox.rows import NO_FILE
from engine.message import Message
from engine.storage.files import private, sync

READ = 64 * 1024
"""Octets read from a file at once."""

_OURS = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}-[0-9a-f]{16}")


class Staged(NamedTuple):
    """Content that is ready to be referred to: chunks in memory, the rest in a synced file."""

    chunks: tuple[bytes, ...]
    filed: int = 0
    token: bytes = NO_FILE

    @property
    def inline(self) -> int:
        return sum(map(len, self.chunks))

    @property
    def size(self) -> int:
        return self.inline + self.filed


def stage_inline(message: Message) -> Staged:
    """The whole content in memory, cut into chunks."""
    return Staged(cut(b"".join(message.chunks())))


class LargeFiles:
    """The folder of large content. Every method may block on the disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, exist_ok=True)
        sync(folder.parent)

    def stage(self, message: Message) -> Staged:
        """Link or copy the content into a file of its own, and sync file and folder. OSError; then nothing is left."""
        token = os.urandom(8)
        path = self._folder / file_name(content_key(message), token)
        with self._synced(path):
            if _link(message, path):
                return Staged(cut(message.envelope.prepended), message.content.size, token)
            return Staged((), _copy(message.chunks(), path), token)

    def copy(self, key: bytes, pieces: Iterator[bytes]) -> Staged:
        """Content that has a key already, into a file of its own, synced with its folder. OSError; nothing is left."""
        token = os.urandom(8)
        path = self._folder / file_name(key, token)
        with self._synced(path):
            return Staged((), _copy(pieces, path), token)

    def discard(self, names: Collection[str]) -> None:
        """Remove files that no record refers to any more. What cannot be removed now is an orphan of the next start."""
        for name in names:
            with contextlib.suppress(OSError):
                (self._folder / name).unlink()

    @contextlib.contextmanager
    def _synced(self, path: Path) -> Iterator[None]:
        """A new file in the folder: on disk, with its name, or gone."""
        try:
            yield
            sync(path)
            sync(self._folder)
        except BaseException:
            path.unlink(missing_ok=True)
            raise


def our_files(folder: Path) -> set[str]:
    """The names of all files in the folder that we made, whoever refers to them."""
    return {entry.name for entry in os.scandir(folder) if _OURS.fullmatch(entry.name)}


def read(path: Path) -> Iterator[bytes]:
    """The octets of a file. It is open from the first piece on, so that its removal cannot cut it short."""
    with path.open("rb", buffering=0) as file:
        yield b""
        while piece := file.read(READ):
            yield piece


def is_large(message: Message) -> bool:
    return message.size > INLINE


def cut(octets: bytes) -> tuple[bytes, ...]:
    """The chunks that lie in LMDB."""
    return tuple([octets[start : start + CHUNK] for start in range(0, len(octets), CHUNK)])


def _link(message: Message, path: Path) -> bool:
    """Give the queue's own file a second name; False where that cannot be done."""
    source: Path | None = getattr(message.content, "path", None)
    if source is None or message.envelope.left_out:
        return False
    try:
        os.link(source, path)
    except OSError:  # another file system, or one without links
        return False
    if path.stat().st_size == message.content.size:
        return True
    path.unlink()
    return False


def _copy(pieces: Iterator[bytes], path: Path) -> int:
    size = 0
    with open(path, "xb", buffering=0, opener=private) as file:
        for piece in pieces:
            rest = memoryview(piece)
            while rest:
                rest = rest[file.write(rest) :]
            size += len(piece)
    return size
