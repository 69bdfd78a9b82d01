"""A whole queue in one file: taken beside a running server, and put back on this machine or another."""

import gzip
import lzma
import os
import re
import tarfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec

from engine.queue.store import EARLIER, FORMAT, Shard, content_folder, shard_numbers
from engine.storage.batch import committed
from engine.storage.environment import StorageError
from engine.storage.files import give_to, sync
from engine.storage.ownership import held, workspace

Told = Callable[[int], None]
"""Hears now and then how many messages, or octets, there have been."""

SNAPSHOT, RESTORE = ".postroad-snapshot-", ".restore-"
"""How the folders begin in which a snapshot gathers, and in which one is unpacked."""

_MANIFEST = "postroad-queue.json"
_MANIFEST_LIMIT = 1000  # octets; it has some sixty
_MEMBER = re.compile(r"queue/\d{1,4}/data\.mdb|content/[0-9A-HJKMNP-TV-Z]{26}")
_PAGE = 1000
_DAMAGED = (
    tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, ValueError, msgspec.MsgspecError,
    FileExistsError,
)  # fmt: skip
"""What comes out of reading a file that is no snapshot; the last one of a member that stands there twice."""


class _Manifest(msgspec.Struct, frozen=True):
    format: int  # of the shards
    taken: float  # Unix time
    messages: int


def take(data: Path, file: Path, *, map_size: int, told: Told = lambda _: None) -> int:
    """Write all messages of the queue in ``data`` to ``file``, and return how many they are. StorageError, OSError.

    Each shard is as it was at one moment. A message with a file of its own that was done before its file could be
    copied is left out. The file takes its name when it is whole and synced.
    """
    count = 0
    with ExitStack() as stack:
        copies = stack.enter_context(workspace(file.parent, SNAPSHOT))
        partial = copies / "whole"
        stream = stack.enter_context(_private(partial))
        archive = stack.enter_context(tarfile.open(fileobj=stream, mode="w:gz" if file.suffix == ".gz" else "w"))
        numbers = shard_numbers(data)
        for number in numbers:
            with closing(Shard(data, number, map_size=map_size, read_only=True)) as shard:
                (copies / "queue" / str(number)).mkdir(parents=True)
                shard.environment.copy(str(copies / "queue" / str(number)), compact=True)
            with closing(Shard(copies, number, map_size=map_size)) as copy:
                count += _with_files(copy, data, archive, lambda done, before=count: told(before + done))  # type: ignore[misc]
        for number in numbers:
            archive.add(copies / "queue" / str(number) / "data.mdb", f"queue/{number}/data.mdb")
        manifest = copies / _MANIFEST
        manifest.write_bytes(msgspec.json.encode(_Manifest(FORMAT, time.time(), count)))
        archive.add(manifest, _MANIFEST)
        archive.close()
        stream.flush()
        os.fsync(stream.fileno())
        partial.rename(file)
    sync(file.parent)
    return count


def _private(path: Path) -> BinaryIO:
    """A new file that only its owner can read."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")


def _with_files(copy: Shard, data: Path, archive: tarfile.TarFile, told: Told) -> int:
    """Put the files of a shard's messages into the archive; those whose file is gone leave the copy. How many stay."""
    seen = 0
    gone = []
    for record in copy.all_records():
        seen += 1
        if seen % _PAGE == 0:
            told(seen)
        if record.in_file:
            try:
                archive.add(content_folder(data) / str(record.id), f"content/{record.id}", recursive=False)
            except FileNotFoundError:
                gone.append(record)
    with committed(copy.environment) as batch:
        for record in gone:
            copy.remove(batch, record)
    return seen - len(gone)


def restore(file: Path, data: Path, *, map_size: int, told: Told = lambda _: None) -> int:
    """Put the messages in ``file`` into the queue of ``data``, which must be empty; how many they are.

    All of them at one moment: who is killed before it leaves an empty queue. StorageError when the queue is not empty,
    or when it is no snapshot of this release. The caller sees to it that no server starts there meanwhile.
    ``told`` hears how many octets have been unpacked.
    """
    with ExitStack() as stack:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        shards = sorted(path for path in (data / "queue").glob("*") if path.name.isdigit())  # finished or not
        for path in shards:
            stack.callback(os.close, held(path))
            _refuse_messages(data, int(path.name), map_size)
        new = stack.enter_context(workspace(data, RESTORE))
        messages = _unpacked(file, new, told)
        content_folder(new).mkdir(mode=0o700, exist_ok=True)
        content_folder(data).mkdir(mode=0o700, exist_ok=True)
        (new / "queue").mkdir(mode=0o700, exist_ok=True)
        (new / "before").mkdir()
        give_to(data.stat(), content_folder(data), new)
        for path in content_folder(new).iterdir():  # before the records that refer to them
            path.rename(content_folder(data) / path.name)
        sync(content_folder(data))
        for path in shards:
            path.rename(new / "before" / path.name)
        for path in (*(new / "queue").iterdir(), new / "queue"):
            sync(path)
        (new / "queue").rename(data / "queue")
        sync(data)
    return messages


@contextmanager
def unpacked(file: Path, data: Path, *, map_size: int, told: Told = lambda _: None) -> Iterator[Path]:
    """The queue in ``file``, as that of a data folder of its own below ``data``, until the block ends. StorageError.

    Files of content are on the same disk, so that they can be given another name.
    """
    with workspace(data, RESTORE) as new:
        _unpacked(file, new, told)
        content_folder(new).mkdir(mode=0o700, exist_ok=True)
        for number in shard_numbers(new):
            Shard(new, number, map_size=map_size).close()  # brings up one of an earlier release
        give_to(data.stat(), content_folder(new), new)
        yield new


def _refuse_messages(data: Path, number: int, map_size: int) -> None:
    with closing(Shard(data, number, map_size=map_size)) as shard:
        if waiting := shard.count():
            raise StorageError(
                f"the queue in {data} is not empty: shard {number} has {waiting} messages; "
                "let the server deliver them first, or restore into another data folder"
            )


def _unpacked(file: Path, folder: Path, told: Told) -> int:
    """The members of a snapshot as synced files below ``folder``; how many messages it says it has."""
    messages, octets = None, 0
    with _archive(file) as archive:
        for member in archive:
            source = archive.extractfile(member) if member.type == tarfile.REGTYPE else None
            if source is not None and member.name == _MANIFEST:
                manifest = msgspec.json.decode(source.read(_MANIFEST_LIMIT), type=_Manifest)
                if manifest.format not in (*EARLIER, FORMAT):
                    raise StorageError(f"{file} has format {manifest.format}, this release reads {FORMAT}")
                messages = manifest.messages
            elif source is not None and _MEMBER.fullmatch(member.name):
                path = folder / member.name
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                with _private(path) as target:
                    while piece := source.read(2**20):
                        octets += target.write(piece)
                        told(octets)
                    target.flush()
                    os.fsync(target.fileno())
            else:
                raise StorageError(f"{file} is no snapshot of a queue: it has {member.name!r} in it")
    if messages is None:
        raise StorageError(f"{file} is not whole: it was cut off")
    return messages


@contextmanager
def _archive(file: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(file) as archive:
            yield archive
    except _DAMAGED as error:
        raise StorageError(f"{file} is no snapshot of a queue, or not whole: {error}") from error
