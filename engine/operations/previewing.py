"""What a reload would change, before it does: of stages, listeners and workers, and of what waits in the queue.

As a program of its own it does that for the admin API: it runs the stages of two configurations, which is nothing for a
process that others are served by.
"""

import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import trio

from engine.config import Config, parse
from engine.operations.rehearsing import Result, Versions, rehearsed, summary
from engine.operations.sampling import SAMPLE
from engine.quarantine.held import held, shards
from engine.rehearsal import Comparison, Surroundings
from engine.rehearsal import queued as those_that_wait
from engine.runtime.places import processes
from engine.runtime.revision import is_same

KINDS = ("verdict", "route", "recipient", "wording")
"""Of changes that count for what waits."""


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


class Wanted(msgspec.Struct, frozen=True):
    """What the program reads from its standard input: two texts of the file ``pipeline``.

    ``files``: others that the first one names, as they were then, by path.
    """

    pipeline: str
    before: str
    files: dict[str, str]
    after: str
    sample: int = SAMPLE
    offline: bool = False


def main() -> None:
    """Write a line of JSON for each hundredth that is done, [done, total], and at last what came of it."""
    wanted = msgspec.json.decode(sys.stdin.buffer.read(), type=Wanted)
    path = Path(wanted.pipeline)
    before, after = parse(wanted.before, path, wanted.files), parse(wanted.after, path)
    told = [0]

    def step(done: int, total: int) -> None:
        if done >= told[0]:
            told[0] = done + max(total // 100, 1)
            _say([done, total])

    result = Result()
    every = trio.run(queued, before, after, Look(wanted.sample, wanted.offline), result, step)
    _say({**differences(before, after), "queue": {"every": every, **summary(result)}})


def _say(value: Any) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(value, enc_hook=str) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
