"""Lists as a person or a program reads them: a table on a terminal, tab-separated lines elsewhere, or JSON."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from engine.observe.visible import on_one_line, visible


def show(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool) -> None:
    """Print ``columns`` of all rows; as JSON, every key of every row."""
    if as_json:
        show_json(list(rows))
    elif sys.stdout.isatty():
        _table(rows, columns)
    else:
        for row in rows:
            click.echo("\t".join(_cell(row[column]) for column in columns))


def show_json(value: Any) -> None:
    """Print it for programs, and so that nobody's terminal obeys what strangers wrote."""
    click.echo(visible(json.dumps(value, ensure_ascii=False, indent=2)))


def counted(count: int, what: str) -> str:
    """ "1 message", "2,000 messages"."""
    return f"{count:,} {what}{'s' * (count != 1)}"


def timestamp(when: float | datetime) -> str:
    """A Unix time, or a moment in UTC, as ISO 8601 in UTC, to the second."""
    moment = when if isinstance(when, datetime) else datetime.fromtimestamp(when, UTC)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _cell(value: Any) -> str:
    return on_one_line(", ".join(value) if isinstance(value, list | tuple) else str(value))


def _table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*(Text(_cell(row[column])) for column in columns))
    Console().print(table)
