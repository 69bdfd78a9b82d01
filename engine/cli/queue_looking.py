"""`postroad queue list` and `top`: what is in the queue, and how much of it."""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import click

from engine.cli import tables
from engine.cli.configured import basis, config_option
from engine.cli.selecting import selected
from engine.observe.visible import visible
from engine.operations import queue as operations
from engine.operations.shards import counted
from engine.queue.groups import GROUPED
from engine.queue.tally import Counted
from engine.units import measured, spelled

SHOWN = 100
"""Messages that a list shows on a terminal, if nothing else is said."""

COLUMNS = ("id", "state", "from", "to", "size", "attempts", "due", "reason")

OTHERS = ("arrived", "line", "sites", "lane", "tenant", "priority", "shard")

_AGES = ("5m", "30m", "1h", "4h", "12h", "1d", "3d", "older")


def _columns(_ctx: click.Context, _parameter: click.Parameter, value: str) -> tuple[str, ...]:
    wanted = tuple(one.strip() for one in value.split(","))
    for one in wanted:
        if one not in (*COLUMNS, *OTHERS):
            raise click.BadParameter(f"{one!r} is none of {', '.join((*COLUMNS, *OTHERS))}")
    return wanted


@click.command(name="list")
@click.argument("which", nargs=-1, metavar="[ID|CONDITION]...")
@click.option("--limit", type=click.IntRange(0), help="So many at most; 0: all. On a terminal 100, elsewhere all.")
@click.option("--sort", "by", type=click.Choice(list(operations.SORTED)), help="Instead of the oldest first.")
@click.option("--reverse", is_flag=True, help="The last ones first.")
@click.option("--columns", default=",".join(COLUMNS), callback=_columns, metavar="NAMES", help="What to show of them.")
@click.option("--count", "only_count", is_flag=True, help="Only say how many they are.")
@click.option("--json", "as_json", is_flag=True, help="For programs: all that is known, a message a line.")
@config_option
@click.pass_context
def list_(
    ctx: click.Context, *, which: tuple[str, ...], limit: int | None, by: str | None, reverse: bool,
    columns: tuple[str, ...], only_count: bool, as_json: bool,
) -> None:  # fmt: skip
    """Show the messages in the queue, the oldest first: all, or those that a CONDITION holds for."""
    config, selection = basis(ctx), selected(which)
    if only_count:
        count = operations.count(config, selection)
        click.echo(json.dumps({"messages": count}) if as_json else tables.counted(count, "message"))
        return
    on_terminal = sys.stdout.isatty() and not as_json
    most = limit if limit is not None else SHOWN * on_terminal
    rows = map(_row, operations.listed(config, selection, limit=most, by=by or "", reverse=reverse))
    if as_json:
        _show_json(rows)
    elif on_terminal:
        _show_table(list(rows), columns, most, counted(config))
    else:
        tables.show(rows, columns, as_json=False)


def _show_table(rows: Sequence[dict[str, Any]], columns: tuple[str, ...], most: int, in_all: int) -> None:
    tables.show(rows, columns, as_json=False)
    if most and len(rows) == most < in_all:
        queue = tables.counted(in_all, "message")
        click.echo(f"These are the first {most:,}; {queue} are in the queue. --limit 0 shows all.", err=True)


def _show_json(rows: Iterable[dict[str, Any]]) -> None:
    """One array, with a message on each line."""
    before = "["
    for row in rows:
        click.echo(visible(f"{before}{json.dumps(row, ensure_ascii=False)}"), nl=False)
        before = ",\n"
    click.echo("[]" if before == "[" else "]")


def _row(row: operations.Row) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "state": row.state,
        "from": row.sender or "<>",
        "to": list(row.recipients),
        "size": row.size,
        "attempts": row.attempts,
        "due": _time(row.due),
        "line": row.line,
        "reason": row.reply,
        "arrived": _time(row.arrived),
        "sites": list(row.sites),
        "lane": row.lane,
        "tenant": row.tenant,
        "priority": row.priority,
        "shard": row.shard,
    }


def _time(seconds: float) -> str:
    return tables.timestamp(seconds) if seconds else ""


def _group(function: Callable[..., Any]) -> Callable[..., Any]:
    groups = click.Choice(list(GROUPED))
    return click.option("--by", "group", type=groups, default="domain", show_default=True, help="What to count.")(
        function
    )


@click.command()
@click.argument("which", nargs=-1, metavar="[CONDITION]")
@_group
@click.option("--limit", default=20, show_default=True, type=click.IntRange(0), help="So many at most; 0: all.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def top(ctx: click.Context, which: tuple[str, ...], group: str, limit: int, as_json: bool) -> None:
    """Count messages by domain, or whatever else they have in common, and by age: where most of them wait."""
    config, selection = basis(ctx), selected(which)
    total, groups = operations.counted_by(config, selection, group)
    shown = groups[: limit or None]
    if as_json:
        tables.show_json({"all": _counts(total), "groups": [{group: one.name, **_counts(one)} for one in shown]})
        return
    none = "<>" if group.startswith("sender") else "-"
    rows = [{group: one.name or none, **_cells(one)} for one in shown]
    rows.insert(0, {group: "TOTAL", **_cells(total)})
    tables.show(rows, (group, "messages", "size", "oldest", *_AGES), as_json=False)
    if len(shown) < len(groups):
        click.echo(f"and {tables.counted(len(groups) - len(shown), 'other')}; --limit 0 shows all", err=True)


def _counts(one: Counted) -> dict[str, Any]:
    return {
        "messages": one.messages,
        "octets": one.octets,
        "oldest": round(one.oldest) if one.messages else 0,
        "ages": dict(zip(_AGES, one.ages, strict=True)),
    }


def _cells(one: Counted) -> dict[str, Any]:
    oldest = spelled(max(one.oldest, 0.0)) if one.messages else ""
    ages = {name: count or "" for name, count in zip(_AGES, one.ages, strict=True)}
    return {"messages": one.messages, "size": measured(one.octets), "oldest": oldest, **ages}
