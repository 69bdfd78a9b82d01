"""What commands share that take messages through two configurations: doing it, and saying what came of it."""

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import click
import trio

from engine.cli import tables
from engine.cli.errors import Refused, Unusable, inner
from engine.config import Config, ConfigError
from engine.directory import Unavailable
from engine.observe.visible import on_one_line
from engine.rehearsal import (
    KINDS,
    Asked,
    Comparison,
    Groups,
    Outcome,
    Rehearsal,
    Surroundings,
    compared,
    rehearsal,
)
from engine.stage import StageError

Heard: TypeAlias = Callable[[Comparison], None]

AT_ONCE = 16
"""Messages that are taken along at the same time."""

_TROUBLES = 10


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


def rehearsed(versions: Versions, asked: Iterable[Asked], result: Result, hear: Heard) -> None:
    """Take all of them through both, and tell of each. What cannot be opened ends the command."""
    try:
        trio.run(_rehearsed, versions, asked, result, hear)
    except BaseException as error:
        for found in inner(error):
            if isinstance(found, ConfigError):
                raise Unusable(str(found)) from error
            if isinstance(found, StageError | Unavailable):
                raise Refused(str(found)) from error
        raise


async def _rehearsed(versions: Versions, asked: Iterable[Asked], result: Result, hear: Heard) -> None:
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


def show(result: Result, *, each: bool, as_json: bool) -> None:
    """Print what came of it: what is different, by its kind and frequency; and every message, if that is wanted."""
    if as_json:
        told = summary(result)
        if each:
            told["each"] = list(map(_whole, result.each))
        tables.show_json(told)
        return
    if each:
        tables.show(list(map(_row, result.each)), ("id", "from", "to", "before", "after"), as_json=False)
    say_limits(result)
    count = tables.counted(result.messages, "message")
    if not result.different:
        click.echo(f"{count}: no difference.")
        return
    click.echo(f"{count}: {result.different:,} would fare otherwise.")
    for line in lines(result):
        click.echo(on_one_line(line))


def say_limits(result: Result) -> None:
    """What the result does not tell, and what went wrong, on standard error."""
    if result.absent:
        click.echo(f"not run, as nobody else is to be asked: {', '.join(result.absent)}", err=True)
    for trouble in result.troubles[:_TROUBLES]:
        click.echo(on_one_line(f"trouble: {trouble}"), err=True)
    if (more := len(result.troubles) - _TROUBLES) > 0:
        click.echo(f"and {tables.counted(more, 'other trouble')}", err=True)


def lines(result: Result) -> Iterator[str]:
    """The differences, for people."""
    kind = ""
    for group in result.groups.rows():
        change = group.change
        if change.kind != kind:
            kind = change.kind
            yield kind
        name = f"{change.name}: " if change.name else ""
        yield f"  {tables.counted(group.messages, 'message')}: {name}{change.before}"
        yield f"      → {change.after}"
        others = f"and {group.values - 1:,} other values; " if group.values > 1 else ""
        yield f"      {others}such as {', '.join(group.examples)}"


def summary(result: Result) -> dict[str, Any]:
    """The same for programs."""
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


def _row(found: Comparison) -> dict[str, Any]:
    return {
        **_about(found.asked),
        "before": found.before.told,
        "after": found.after.told if found.changes else "the same",
    }


def _about(asked: Asked) -> dict[str, Any]:
    return {"id": asked.where, "from": asked.message.sender or "<>", "to": list(asked.message.recipients)}


def _whole(found: Comparison) -> dict[str, Any]:
    return {
        **_about(found.asked),
        "before": _outcome(found.before),
        "after": _outcome(found.after),
        "changes": [change._asdict() for change in found.changes],
    }


def _outcome(outcome: Outcome) -> dict[str, Any]:
    return {
        "recipients": [
            {
                "recipient": fate.recipient,
                "verdict": fate.verdict,
                "text": fate.text,
                "stage": fate.stage,
                "lane": fate.lane,
                "site": fate.site,
                "facts": dict(fate.facts),
            }
            for fate in outcome.fates
        ],
        "way": [[step.lane, step.stage, step.verdict, step.milliseconds] for step in outcome.way],
    }
