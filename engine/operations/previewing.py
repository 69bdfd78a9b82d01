"""What a reload would change, before it does: of stages, listeners and workers, and of what waits in the queue.

As a program of its own it does that for the admin API: it runs the stages of two configurations, which is nothing for a
process that others are served by.
"""

import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple

import msgspec
import trio

from engine.config import Config, parse
from engine.operations.rehearsing import Result, Versions, rehearsed, summary
from engine.operations.sampling import SAMPLE
from engine.quarantine.held import held, shards
from engine.rehearsal import KINDS as EVERY_KIND
from engine.rehearsal import Asked, Comparison, Surroundings, Told, in_mailbox, parked, told
from engine.rehearsal import queued as those_that_wait
from engine.runtime.places import processes
from engine.runtime.revision import is_same

KINDS = ("verdict", "route", "recipient", "wording")
"""Of changes that count for what waits."""

ELSEWHERE = ("verdict", "route", "recipient")
"""Of changes by which a message fares otherwise, or goes another way."""

LATEST = 200
"""Messages of each folder of a mailbox that are tried: the latest."""


def differences(before: Config, after: Config) -> dict[str, dict[str, list[str]]]:
    """What would be opened, closed and restarted: stages, listeners, workers, and what a reload does not change."""

    def same(name: str) -> bool:
        return is_same(before, after, after.stages[name])

    workers = [{process.name: process for process in processes(config)} for config in (before, after)]
    return {
        "stages": _compared(before.stages, after.stages, same),
        "listeners": _compared(before.listen, after.listen, lambda name: before.listen[name] == after.listen[name]),
        "workers": _compared(workers[0], workers[1], lambda _: True),
        "lanes": _compared(before.courses, after.courses, lambda name: before.courses[name] == after.courses[name]),
        "restart": {"needed": list(_restarts(before, after))},
    }


def _compared(before: Mapping[str, Any], after: Mapping[str, Any], same: Callable[[str], bool]) -> dict[str, list[str]]:
    return {
        "new": [name for name in after if name not in before],
        "changed": [name for name in after if name in before and not same(name)],
        "gone": [name for name in before if name not in after],
        "the same": [name for name in after if name in before and same(name)],
    }


def _restarts(before: Config, after: Config) -> Iterator[str]:
    """What counts only from the next start on."""
    for name in ("data", "workers", "user"):
        if getattr(before.server, name) != getattr(after.server, name):
            yield f"[server] {name}"
    if before.directory != after.directory:
        yield "[directory]"


class Look(NamedTuple):
    """At how much of the queue, and how."""

    sample: int = SAMPLE  # messages, evenly spread; 0: all
    offline: bool = False  # whether nobody else is asked, such as the DNS


async def queued(before: Config, after: Config, look: Look, result: Result, step: Callable[[int, int], None]) -> int:
    """What would become of what waits: of all of it, or of each so many-th message, which number is returned.

    ``result`` is filled, and ``step`` hears how far it is. ConfigError, StageError, Unavailable, each in a group.
    """
    sample = look.sample
    with (
        closing(Surroundings(before.server.data, offline=look.offline)) as surroundings,
        shards(before.server.data, before.queue.map_size) as found,
    ):
        count = sum(shard.count() for shard in found) - sum(1 for _ in held(found))
        every = max(math.ceil(count / sample), 1) if sample else 1

        def hear(one: Comparison) -> None:
            result.add(one, keep=False, kinds=KINDS)
            step(result.messages, min(count, sample or count))

        await rehearsed(Versions(before, after, surroundings), those_that_wait(found, every), result, hear)
    return every


async def replayed(
    versions: Versions, which: "Which", result: Result, step: Callable[[int, int], None]
) -> tuple[int, int]:
    """What would become of parked mail, of the latest in a mailbox, or of what waits: every change counts.

    How many of them would be decided or routed otherwise is returned, and the number of messages of which each one
    stands for so many. Raises what ``queued`` raises.
    """
    elsewhere = 0
    with _chosen(versions, which) as (count, every, asked):

        def hear(one: Comparison) -> None:
            nonlocal elsewhere
            result.add(one, keep=False, kinds=EVERY_KIND)
            elsewhere += any(change.kind in ELSEWHERE for change in one.changes)
            step(result.messages, count)

        await rehearsed(versions, asked, result, hear)
    return elsewhere, every


@contextmanager
def _chosen(versions: Versions, which: "Which") -> Iterator[tuple[int, int, Iterator[Asked]]]:
    """How many there are, 0 if nobody knows; for how many each stands; and each of them. StorageError."""
    before, on = versions.before, versions.surroundings
    if which.source == "mailbox":
        to = Told(recipients=(which.address,))
        found = in_mailbox(on.mailboxes(before.mailboxes.map_size), which.account, to, _unread, last=LATEST)
        yield 0, 1, islice(found, which.most)
        return
    if which.source == "file":
        with TemporaryDirectory() as folder:
            path = Path(folder, "letters")
            path.write_bytes(which.letters)
            yield 0, 1, islice(told(path, Told(), _unread), which.most)
        return
    with shards(before.server.data, before.queue.map_size) as open_shards:
        held_back = sum(1 for _ in held(open_shards))
        if which.source == "parked":
            yield min(held_back, which.most), 1, islice(parked(open_shards), which.most)
        else:
            count = sum(shard.count() for shard in open_shards) - held_back
            every = max(math.ceil(count / which.most), 1)
            yield min(count, which.most), every, those_that_wait(open_shards, every)


def _unread(_where: str, _why: str) -> None:
    """What cannot be read is not tried."""


class Which(msgspec.Struct, frozen=True):
    """The messages that are tried: ``most`` of what waits, evenly spread; of what is parked; of a mailbox; or of
    ``letters``, one message or an mbox."""

    source: Literal["queue", "parked", "mailbox", "file"] = "queue"
    most: int = 1000
    account: int = 0
    address: str = ""
    letters: bytes = b""


class Wanted(msgspec.Struct, frozen=True):
    """What the program reads from its standard input: two texts of the file ``pipeline``.

    ``files``: others that the first one names, as they were then, by path; ``after_files``: the same of the second one.
    ``which``: messages on which every change counts; else those that wait, and what counts for them.
    """

    pipeline: str
    before: str
    files: dict[str, str]
    after: str
    sample: int = SAMPLE
    offline: bool = False
    after_files: dict[str, str] = {}
    which: Which | None = None


def main() -> None:
    """Write a line of JSON for each hundredth that is done, [done, total], and at last what came of it."""
    wanted = msgspec.json.decode(sys.stdin.buffer.read(), type=Wanted)
    path = Path(wanted.pipeline)
    before, after = parse(wanted.before, path, wanted.files), parse(wanted.after, path, wanted.after_files)
    said = [0]

    def step(done: int, total: int) -> None:
        if done >= said[0]:
            said[0] = done + max(total // 100, 1)
            _say([done, total])

    result = Result()
    if wanted.which is None:
        every = trio.run(queued, before, after, Look(wanted.sample, wanted.offline), result, step)
        _say({**differences(before, after), "queue": {"every": every, **summary(result)}})
        return
    with closing(Surroundings(before.server.data, offline=wanted.offline)) as surroundings:
        elsewhere, every = trio.run(replayed, Versions(before, after, surroundings), wanted.which, result, step)
    _say({**differences(before, after), "tried": {"elsewhere": elsewhere, "every": every, **summary(result)}})


def _say(value: Any) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(value, enc_hook=str) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
