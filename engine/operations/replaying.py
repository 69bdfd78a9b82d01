"""Mail of the queue or the quarantine, taken through two configurations, beside a running server.

A program of its own, for the admin API: it runs the stages of both, which is nothing for a process that others are
served by. Light to import for those who only ask for it.
"""

import sys
from collections.abc import Callable
from itertools import islice
from typing import Any

import msgspec
import trio


class Wanted(msgspec.Struct, frozen=True):
    """What the program reads from its standard input: two texts of the file ``pipeline``, and which mail to take.

    ``files``: others that the first text names, as they were then, by path.
    """

    pipeline: str
    before: str
    files: dict[str, str]
    after: str
    source: str  # "queue" or "quarantine"
    where: str  # a condition; empty: all
    limit: int  # messages at most
    offline: bool


def replayed(wanted: Wanted, step: Callable[[int, int], None]) -> dict[str, Any]:
    """What is different. ``step`` hears how far it is. ConfigError, StageError, Unavailable, each in a group."""
    from contextlib import closing
    from pathlib import Path

    from engine.condition import parse_condition
    from engine.config import parse
    from engine.operations.rehearsing import Result, Versions, rehearsed, summary
    from engine.quarantine.held import shards
    from engine.rehearsal import Surroundings, parked, queued

    path, result = Path(wanted.pipeline), Result()
    before, after = parse(wanted.before, path, wanted.files), parse(wanted.after, path)
    meets = parse_condition(wanted.where).holds if wanted.where else lambda _: True

    def hear(found: Any) -> None:
        result.add(found, keep=False)
        step(result.messages, wanted.limit)

    with (
        closing(Surroundings(before.server.data, offline=wanted.offline)) as surroundings,
        shards(before.server.data, before.queue.map_size) as found,
    ):
        source = parked(found) if wanted.source == "quarantine" else queued(found)
        chosen = islice((one for one in source if meets(one.message)), wanted.limit)
        trio.run(rehearsed, Versions(before, after, surroundings), chosen, result, hear)
    return summary(result)


def main() -> None:
    """Write [done, total] now and then, each on a line as JSON, and at last what came of it."""
    wanted = msgspec.json.decode(sys.stdin.buffer.read(), type=Wanted)
    told = [0]

    def step(done: int, total: int) -> None:
        if done >= told[0]:
            told[0] = done + max(total // 100, 1)
            _say([done, total])

    _say(replayed(wanted, step))


def _say(value: Any) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(value, enc_hook=str) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
