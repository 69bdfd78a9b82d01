"""Content at rest: small in LMDB chunks, large in a file of its own; read in pieces, from any process."""

import contextlib
import os
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import lmdb

from engine.links.wire import Reference
from engine.message import Content, MessageId, Octets
from engine.observe.events import event
from engine.storage.environment import StorageError, reason
from engine.storage.files import private, sync

CHUNK = 4096 - 16
"""Octets of a value that fill a page of LMDB exactly. A longer value needs adjoining free pages; where few adjoin, each
commit looks through the whole list of free pages (docs/decisions/0011-one-page-a-chunk.md)."""

AT_ONCE = 16
"""Chunks read in one transaction: pieces of at most 64 KiB."""

PIECE = 256 * 1024
"""Octets of a file held in memory at once while it is read or written."""


class FileContent:
    """Content in a file of its own."""

    __slots__ = ("path", "size")

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.size = size

    @property
    def reference(self) -> Reference:
        return ("file", str(self.path), self.size)

    def chunks(self) -> Iterator[bytes]:
        """StorageError before the first piece, when the file is not there or has lost something."""
        try:
            file = self.path.open("rb", buffering=0)
        except OSError as error:
            raise StorageError(f"cannot read {self.path}: {reason(error)}") from error
        with file:
            if (found := os.fstat(file.fileno()).st_size) != self.size:
                raise StorageError(f"{self.path} is damaged: it has {found} octets instead of {self.size}")
            while piece := file.read(PIECE):
                yield piece


class LooseContent(FileContent):
    """Content in a file to which no record refers: when nobody refers to this object any more, the file goes.

    What is to stay is given another name (`link`, `put_in_place`) while it lives. A crash leaves the file to the sweep.
    """

    __slots__ = ("__weakref__",)

    def __init__(self, path: Path, size: int) -> None:
        super().__init__(path, size)
        weakref.finalize(self, remove, path)


class Aside(NamedTuple):
    """Where content goes that a stage has made, if it is larger than what is held in memory from stage to stage."""

    folder: Path
    inline: int

    def of(self, contents: Iterable[Content]) -> list[Octets]:
        """Those that are too large."""
        return [content for content in contents if isinstance(content, Octets) and content.size > self.inline]


def set_aside(octets: bytes, folder: Path) -> LooseContent:
    """The octets in a file of their own, synced. Blocks on the disk. OSError; then nothing is left."""
    path = folder / str(MessageId.new())
    try:
        with open(path, "xb", buffering=0, opener=private) as file:
            rest = memoryview(octets)
            while rest:
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return LooseContent(path, len(octets))


class QueueContent:
    """Content in the chunks of a shard, read through its memory map in short transactions."""

    __slots__ = ("_database", "_environment", "id", "shard", "size")

    def __init__(self, environment: lmdb.Environment, database: Any, shard: int, id: MessageId, size: int) -> None:  # noqa: A002
        self._environment = environment
        self._database = database
        self.shard = shard
        self.id = id
        self.size = size

    @property
    def reference(self) -> Reference:
        return ("queue", self.shard, self.id, self.size)

    def chunks(self) -> Iterator[bytes]:
        keys = [chunk_key(self.id, number) for number in range(-(-self.size // CHUNK))]
        for start in range(0, len(keys), AT_ONCE):
            some = keys[start : start + AT_ONCE]
            with self._environment.begin() as transaction, transaction.cursor(self._database) as cursor:
                chunks = [chunk for _, chunk in cursor.getmulti(some)]
            if len(chunks) < len(some):
                raise LookupError(f"content of {self.id} is no longer in the queue")
            yield b"".join(chunks)


def chunk_key(identity: MessageId, number: int) -> bytes:
    return identity + number.to_bytes(4, "big")


def cut(octets: bytes) -> list[bytes]:
    """The octets in chunks."""
    return [octets[start : start + CHUNK] for start in range(0, len(octets), CHUNK)]


def link(old: Path, new: Path) -> None:
    """Give a file a second name, on disk before any record refers to it. It may be there: a crash came after this."""
    with contextlib.suppress(FileExistsError):
        os.link(old, new)
    sync(new.parent)


def put_in_place(content: FileContent, path: Path) -> FileContent:
    """Give content the name by which a record will refer to it, in place of what has it now. Blocks. OSError."""
    if content.path != path:
        beside = path.with_name(str(MessageId.new()))
        os.link(content.path, beside)
        beside.replace(path)
        sync(path.parent)
    return FileContent(path, content.size)


def remove(path: Path) -> None:
    """Remove content that nobody refers to. What cannot be removed is a leftover."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        event("content-left", file=str(path), error=error.strerror)
