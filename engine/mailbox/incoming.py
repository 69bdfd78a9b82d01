"""Large content that another process wants to append: it is written to a file there, and its owner takes it from it."""

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from engine.mailbox.commands import Appended
from engine.mailbox.large import LargeFiles, Staged, cut, is_large, read, stage_inline
from engine.mailbox.layout import INCOMING, INLINE, content_key, new_content_keys
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
        self.name = str(MessageId.new())
        self._path = store / INCOMING / self.name
        try:
            self._file = self._path.open("xb")
        except FileNotFoundError:  # the first one
            self._path.parent.mkdir(mode=0o700, exist_ok=True)
            self._file = self._path.open("xb")

    def write(self, octets: bytes) -> None:
        if self._floor and free_space(self._path.parent) < self._floor + len(octets):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._file.write(octets)

    @classmethod
    def holding(cls, octets: bytes, store: Path, floor: int = 0) -> Self:
        """A file that holds all that it shall."""
        file = cls(store, floor)
        try:
            file.write(octets)
            file.finish()
        except BaseException:
            file.__exit__()
            raise
        return file

    def finish(self, octets: bytes = b"") -> str:
        """Write the last octets; the name of the file."""
        self._file.write(octets)
        self._file.close()
        return self.name

    def __enter__(self) -> Self:
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


def ready(messages: Sequence[Appended], store: Path, large: LargeFiles) -> Iterator[Ready]:
    """Make messages ready to be appended; blocks on the disk for those that are large. OSError."""
    sizes = [len(asked.content) for asked in messages]
    for asked, size, key in zip(messages, sizes, new_content_keys(sizes), strict=True):
        if not asked.file and size <= INLINE:
            yield Ready(asked, key, Staged(cut(asked.content)), size)
        else:
            yield _ready_large(asked, store, large)


def _ready_large(asked: Appended, store: Path, large: LargeFiles) -> Ready:
    content: Content = filed(store, asked.file) if asked.file else Octets(asked.content)
    message = Message(MessageId.new(), Envelope("", ()), content)
    staged = large.stage(message) if is_large(message) else stage_inline(message)
    return Ready(asked, content_key(message), staged, staged.size)


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
