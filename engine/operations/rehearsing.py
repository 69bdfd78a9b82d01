"""Messages that are taken through two configurations, and what comes of that."""

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import trio

from engine.config import Config
from engine.rehearsal import KINDS, Asked, Comparison, Groups, Rehearsal, Surroundings, compared, rehearsal

Heard: TypeAlias = Callable[[Comparison], None]

AT_ONCE = 16
"""Messages that are taken along at the same time."""


@dataclass(slots=True)
class Result:
    """What came of all of them. ``each`` is filled when every message is to be told by itself."""

    messages: int = 0
    different: int = 0
    groups: Groups = field(default_factory=Groups)
    each: list[Comparison] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    def add(self, found: Comparison, *, keep: bool, kinds: Container[str] = KINDS) -> None:
        """``kinds`` of changes: others do not count."""
        changes = [change for change in found.changes if change.kind in kinds]
        self.messages += 1
        self.different += bool(changes)
        self.groups.add(found.asked.where, changes)
        if keep:
            self.each.append(found)


class Versions(NamedTuple):
    """The two configurations, and what both stand on."""

    before: Config
    after: Config
    surroundings: Surroundings


async def rehearsed(versions: Versions, asked: Iterable[Asked], result: Result, hear: Heard) -> None:
    """Take all of them through both, and tell of each. ConfigError, StageError, Unavailable, each in a group."""
    before, after, on = versions
    with on.hearing():
        async with rehearsal(before, on) as old, rehearsal(after, on) as new:
            await _all(old, new, iter(asked), hear)
    result.each.sort(key=lambda one: one.asked.where)
    result.absent = sorted({*old.absent, *new.absent})
    result.troubles = list(on.troubles)


async def _all(old: Rehearsal, new: Rehearsal, asked: Iterator[Asked], hear: Heard) -> None:
    async def some() -> None:
        for one in asked:  # all tasks take from it in turn
            hear(await compared(old, new, one))

    async with trio.open_nursery() as nursery:
        for _ in range(AT_ONCE):
            nursery.start_soon(some)


def summary(result: Result) -> dict[str, Any]:
    """What is different, by its kind and frequency, for programs."""
    groups = [
        {**group.change._asdict(), "messages": group.messages, "values": group.values, "examples": group.examples}
        for group in result.groups.rows()
    ]
    return {
        "messages": result.messages,
        "different": result.different,
        "groups": groups,
        "not_run": result.absent,
        "troubles": result.troubles,
    }
