"""Files that are there whole or not at all, and names of mailboxes as names of files."""

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from engine.storage.files import private, sync

PART = ".part"
"""What the name of a file ends in that is not whole yet."""

LONGEST = 200
"""Octets of a file's name: file systems allow 255, and suffixes follow."""

_UNSAFE = re.compile(r'^\.|[%/\\:*?"<>|\x00-\x1f\x7f]|[. ]$')
_ESCAPED = re.compile(r"%([0-9A-F]{2})")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A new file, synced, that takes the place of ``path`` at the end of the block, or never. OSError."""
    part = path.with_name(path.name + PART)
    try:
        with open(part, "wb", opener=private) as file:
            yield file
            settle(file)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    sync(path.parent)


def descriptor(path: Path | str, flags: int = os.O_RDONLY) -> int:
    """A file of a source, open. OSError, for a link too: who made the source may not be one who can read its target."""
    try:
        return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "it is a link, which an import does not follow", str(path)) from error
        raise


def opened(path: Path) -> BinaryIO:
    """The same, to be read."""
    return open(path, "rb", opener=descriptor)


def text_of(path: Path) -> str:
    """All that is in it. OSError."""
    with opened(path) as file:
        return file.read().decode(errors="replace")


def messages_in(folder: Path) -> list[Path]:
    """The files of a folder that are not hidden, links too: they are to be named. OSError."""
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        return [Path(one) for one in entries if not one.name.startswith(".") and (one.is_file() or one.is_symlink())]
    return []


def settle(file: BinaryIO, modified: int = 0) -> None:
    """Have what was written on disk; ``modified``: the file's date, Unix milliseconds, or 0 for now. OSError."""
    file.flush()
    if modified:
        os.utime(file.fileno(), ns=(modified * 1_000_000, modified * 1_000_000))
    os.fsync(file.fileno())


def safe(part: str) -> str:
    """A text, such as one level of a mailbox's name, as a name that any file system takes, and that hides nothing."""
    name = _UNSAFE.sub(lambda match: f"%{ord(match[0]):02X}", part)
    return name.encode()[:LONGEST].decode(errors="ignore")


def unsafe(name: str) -> str:
    """What ``safe`` made it from, if it was not too long."""
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), name)
