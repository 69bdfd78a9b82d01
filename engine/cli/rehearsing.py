"""What commands share that take messages through two configurations: doing it, and saying what came of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from engine.cli import tables
from engine.cli.errors import Refused, Unusable, inner
from engine.config import ConfigError
from engine.directory import Unavailable
from engine.observe.visible import on_one_line
from engine.operations.rehearsing import Result, summary
from engine.rehearsal import Asked, Comparison, Outcome
from engine.stage import StageError

_TROUBLES = 10


@contextmanager
def translated() -> Iterator[None]:
    """What cannot be opened ends the command."""
    try:
        yield
    except BaseException as error:
        for found in inner(error):
            if isinstance(found, ConfigError):
                raise Unusable(str(found)) from error
            if isinstance(found, StageError | Unavailable):
                raise Refused(str(found)) from error
        raise


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
