"""Large content that another process wants to append: it is written to a file there, and its owner takes it from it."""

import contextlib
import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.mailbox.commands import Appended
from engine.mailbox.large import LargeFiles, Staged, cut, is_large, read, stage_inline
from engine.mailbox.layout import INCOMING, INLINE, content_key, new_content_key
from engine.mailbox.messages import Ready
from engine.message import Content, Envelope, Message, MessageId, Octets
from engine.storage.environment import free_space


class IncomingFile:
    """A new file that takes a message of any size, to be named in ``Appended.file``. Every method may block.

    Use it as a context manager: the file is gone afterwards, whether its owner has taken its content or not. OSError,
    also when fewer than ``floor`` octets would be left on the disk: it is others' too, and no quota has been asked yet.
    """

    def __init__(self, store: Path, floor: int = 0) -> None:
        self._floor = floor
        folder = store / INCOMING
        folder.mkdir(mode=0o700, exist_ok=True)
        self.name = str(MessageId.new())
        self._path = folder / self.name
        self._file = self._path.open("xb")

    def write(self, octets: bytes) -> None:
        if self._floor and free_space(self._path.parent) < self._floor + len(octets):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._file.write(octets)

    def hold(self, octets: bytes) -> str:
        """Write all of it; the name of the file."""
        self.write(octets)
        return self.finish()

    def finish(self, octets: bytes = b"") -> str:
        """Write the last octets; the name of the file."""
        self._file.write(octets)
        self._file.close()
        return self.name

    def __enter__(self) -> "IncomingFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Filed:
    """Content in a file of that folder."""

    path: Path
    size: int

    def chunks(self) -> Iterator[bytes]:
        return read(self.path)


def ready(asked: Appended, store: Path, large: LargeFiles) -> Ready:
    """Make a message ready to be appended; blocks on the disk where it is large. OSError; then nothing is left."""
    if not asked.file and len(asked.content) <= INLINE:
        return Ready(asked, new_content_key(len(asked.content)), Staged(cut(asked.content)))
    content: Content = filed(store, asked.file) if asked.file else Octets(asked.content)
    message = Message(MessageId.new(), Envelope("", ()), content)
    staged = large.stage(message) if is_large(message) else stage_inline(message)
    return Ready(asked, content_key(message), staged)


def clear(store: Path) -> None:
    """Remove what others left there when they died."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(store / INCOMING):
            with contextlib.suppress(OSError):
                os.unlink(entry)


def filed(store: Path, name: str) -> Filed:
    """The content of a file there. OSError when there is no such file."""
    folder = store / INCOMING
    if Path(name).name != name:
        raise FileNotFoundError(f"{name!r} names no file of {folder}")
    path = folder / name
    return Filed(path, path.stat().st_size)
