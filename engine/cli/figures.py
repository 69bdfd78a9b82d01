"""`postroad figures`: what the server has measured over time."""

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

import click

from engine.cli import opening, tables
from engine.cli.configured import config_option
from engine.cli.errors import Refused

if TYPE_CHECKING:
    from engine.figures.charts import Charts, Series
    from engine.operations.figures import SpanName

COLUMNS = ("chart", "line", "unit", "last", "most", "sum", "shape")

_HEIGHTS = " ▁▂▃▄▅▆▇█"
_WIDTH = 48
"""Characters of a shape."""


@click.command()
@click.option("--span", type=click.Choice(["day", "week", "month", "year"]), default="day", show_default=True)
@click.option("--domain", metavar="DOMAIN", default="", help="Only of this domain of ours.")
@click.option("--tls", "of_tls", is_flag=True, help="Of TLS with the servers that we send to.")
@click.option("--chart", metavar="NAME", help="One chart, with the values of each step.")
@click.option("--csv", "as_csv", is_flag=True, help="For spreadsheets; with --chart.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def figures(
    ctx: click.Context, *, span: str, domain: str, of_tls: bool, chart: str | None, as_csv: bool, as_json: bool
) -> None:
    """Show how much mail came, went, was late, was spam, and waited: over a day, a week, a month or a year.

    The server keeps it while it has the listener web or metrics. Times are those of this machine; seconds of `delay`
    are what half of the mail, 90 % and 99 % of it took at most from acceptance to delivery.
    """
    from engine.operations.figures import as_csv as written
    from engine.operations.figures import rows_of, told

    if as_csv and chart is None:
        raise click.UsageError("say by --chart which one")
    found = _seen(ctx, span, domain, of_tls=of_tls)
    if as_json:
        tables.show_json(_built(told(found)))
    elif chart is None:
        tables.show(
            [_row(one.name, one.unit, line) for one in found.charts for line in one.series], COLUMNS, as_json=False
        )
    else:
        if chart not in (known := [one.name for one in found.charts]):
            raise Refused(f"there is no chart {chart}; there are {', '.join(known)}")
        head, rows = rows_of(found, chart)
        if as_csv:
            click.echo(written(head, rows), nl=False)
        else:
            told_rows = [dict(zip(head, ["" if cell is None else cell for cell in row], strict=True)) for row in rows]
            tables.show(told_rows, head, as_json=False)


def _seen(ctx: click.Context, span: str, domain: str, *, of_tls: bool) -> "Charts":
    from engine.figures.store import FOLDER, FigureStore
    from engine.operations.figures import seen

    data = opening.configured(ctx).server.data
    if not (data / FOLDER).exists():
        raise Refused("nothing was measured yet: the server does it while it has the listener web or metrics")
    with opening.translated(), FigureStore.open(data, read_only=True) as store:
        by, now, wanted = opening.onlooker(), time.time(), cast("SpanName", span)
        return seen(store, by, wanted, now, domain=domain, part="tls" if of_tls else "mail")


def _row(chart: str, unit: str, line: "Series") -> dict[str, object]:
    known = [value for value in line.values if value is not None]
    # The step that is under way is not over, so the last one is that before it.
    last = next((value for value in reversed(line.values[:-1]) if value is not None), None)
    return {
        "chart": chart,
        "line": line.name,
        "unit": unit,
        "last": _number(last),
        "most": _number(max(known, default=None)),
        "sum": "" if unit == "seconds" else _number(sum(known)),
        "shape": shape(line.values),
    }


def shape(values: Iterable[float | None], width: int = _WIDTH) -> str:
    """The line in so many characters, each the most of what falls on it."""
    all_of_them = [value or 0.0 for value in values]
    size = max(-(-len(all_of_them) // width), 1)
    parts = [max(all_of_them[start : start + size]) for start in range(0, len(all_of_them), size)]
    most = max(parts, default=0.0) or 1.0
    return "".join(_HEIGHTS[-(-int(part / most * 8000) // 1000)] for part in parts)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def _built(value: object) -> object:
    from msgspec import to_builtins

    return to_builtins(value)
