"""Snapshots of the queue that the server keeps in its data folder, and what else reads a whole queue.

As a program of its own it does that for the admin API: it takes minutes, and a store can be open once in a process.
"""

import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeAlias

import msgspec
import trio

from engine.config import Basis, Config, parse
from engine.operations.impossible import Impossible, Missing
from engine.operations.moments import moment
from engine.storage.environment import plain

FOLDER = "snapshots"
"""In the data folder."""

MOST = 50
"""That are kept: more would only fill the disk."""

_SUFFIX = ".tar.gz"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PROBLEMS = 1000
"""Contradictions that are told."""

Told: TypeAlias = Callable[[int, int], None]
"""Hears how many messages there have been, and of how many."""


class Snapshot(msgspec.Struct, frozen=True):
    """One that is kept."""

    name: str
    taken: datetime
    octets: int


class Verified(msgspec.Struct, frozen=True):
    """What came of a look at every message, every index and all content. ``problems``: contradictions, in words; of
    more than a thousand the first ones."""

    messages: int
    shards: int
    problems: list[str]


class Taken(msgspec.Struct, frozen=True):
    """A snapshot that was taken."""

    name: str
    messages: int
    octets: int


class Restored(msgspec.Struct, frozen=True):
    """What came of a snapshot of ``messages``: those that are in the queue already, and those that were put back. What
    waited is held now, for nobody knows whether it was delivered since."""

    messages: int
    present: int
    put_back: int


def kept(data: Path) -> list[Snapshot]:
    """Those that there are, by name. OSError."""
    found = []
    for path in sorted((data / FOLDER).glob(f"*{_SUFFIX}")):
        about = path.stat()
        taken = moment(about.st_mtime)
        assert taken is not None
        found.append(Snapshot(path.name.removesuffix(_SUFFIX), taken, about.st_size))
    return found


def file_of(data: Path, name: str) -> Path:
    """Where a snapshot of that name lies. Missing, where it is no name."""
    if not _NAME.fullmatch(name):
        raise Missing(f"there is no snapshot {name}")
    return data / FOLDER / f"{name}{_SUFFIX}"


def removed(data: Path, name: str) -> None:
    """Forget it. Missing."""
    try:
        file_of(data, name).unlink()
    except FileNotFoundError as error:
        raise Missing(f"there is no snapshot {name}") from error


def check_room(config: Config, name: str) -> None:
    """Impossible, where there is such a snapshot, or no room for another one."""
    data = config.server.data
    if file_of(data, name).exists():
        raise Impossible(f"there is a snapshot {name} already")
    if len(kept(data)) >= MOST:
        raise Impossible(f"there are {MOST} snapshots; remove some")
    used = sum(path.stat().st_blocks * 512 for path in (data / "queue").glob("*/data.mdb"))
    with contextlib.suppress(FileNotFoundError):
        used += sum(entry.stat().st_size for entry in os.scandir(data / "content"))
    about = os.statvfs(data)
    # A copy of each shard stands beside the snapshot until that is whole.
    if about.f_bavail * about.f_frsize < 2 * used + config.queue.reserve:
        raise Impossible("there is not room enough for a snapshot beside [queue] reserve")


def verified(config: Basis, told: Told) -> Verified:
    """Look at all of it, beside the running server or without it. StorageError."""
    from engine.operations.shards import counted, opened
    from engine.queue.store import shard_numbers
    from engine.queue.verify import Verification

    numbers, total = shard_numbers(config.server.data), counted(config)
    messages, problems = 0, list[str]()
    for number in numbers:
        with opened(config, number) as shard:
            verification = Verification(shard)
            for problem in verification.problems(lambda seen, before=messages: told(before + seen, total)):  # type: ignore[misc]
                if len(problems) < _PROBLEMS:
                    problems.append(f"shard {number}: {problem}")
            messages += verification.messages
    return Verified(messages, len(numbers), problems)


def taken(config: Basis, name: str, told: Told) -> Taken:
    """Take one. StorageError, OSError."""
    from engine.operations.shards import counted
    from engine.queue.snapshot import take

    file, total = file_of(config.server.data, name), counted(config)
    file.parent.mkdir(mode=0o700, exist_ok=True)
    count = take(config.server.data, file, map_size=config.queue.map_size, told=lambda done: told(done, total))
    return Taken(name, count, file.stat().st_size)


def restored(config: Basis, file: Path, by: str, told: Told) -> Restored:
    """Put back what is in a snapshot and not in the queue, while the server runs or does not. StorageError, Unanswered,
    in groups too."""
    from engine.operations.orders import put_back
    from engine.queue.snapshot import unpacked

    with unpacked(file, config.server.data, map_size=config.queue.map_size) as folder:
        found = trio.run(put_back, config, folder, by, told)
    return Restored(found.total, found.present, found.done)


class Wanted(msgspec.Struct, frozen=True):
    """What the program reads from its standard input: the text of the file ``pipeline``, with others that it names."""

    pipeline: str
    text: str
    files: dict[str, str]
    task: Literal["verify", "take", "restore"]
    name: str = ""
    by: str = ""


def wanted(config: Config, task: Literal["verify", "take", "restore"], name: str = "", by: str = "") -> Wanted:
    """That, of the configuration in force."""
    return Wanted(str(config.path), config.text, dict(config.files), task, name, by)


def main() -> None:
    """Write [done, total] now and then, each on a line as JSON, and at last what came of it; or why it did not."""
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=Wanted)
    config = parse(asked.text, Path(asked.pipeline), asked.files)
    last = [0]

    def told(done: int, total: int) -> None:
        if done >= last[0]:
            last[0] = done + max(total // 100, 1)
            _say([done, total])

    try:
        _say(_done(config, asked, told))
    except BaseException as error:
        reasons = list(_reasons(error))
        if not reasons:
            raise
        _fail(reasons)


def _done(config: Config, asked: Wanted, told: Told) -> msgspec.Struct:
    match asked.task:
        case "verify":
            return verified(config, told)
        case "take":
            return taken(config, asked.name, told)
    return restored(config, file_of(config.server.data, asked.name), asked.by, told)


def _reasons(error: BaseException) -> Iterator[str]:
    """What could not be done, for people; nothing, where it is a mistake of ours."""
    from engine.links.request import Unanswered

    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _reasons(one)
    elif said := str(error) if isinstance(error, Unanswered) else plain(error):
        yield said


def _fail(reasons: list[str]) -> NoReturn:
    _say("; ".join(reasons))
    raise SystemExit(1)


def _say(value: Any) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
