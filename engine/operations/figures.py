"""What operators see of the server over time: of all of it, of TLS with others, or of one of its domains."""

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal

import msgspec

from engine.directory import a_label
from engine.figures import charts
from engine.figures.charts import Charts
from engine.figures.spans import SPANS
from engine.figures.store import FigureStore
from engine.observe.visible import in_cell
from engine.operations.moments import Moment, at
from engine.operations.operator import Operator

SpanName = Literal["day", "week", "month", "year"]
Part = Literal["mail", "tls"]


class Series(msgspec.Struct, frozen=True):
    """One line of a chart: a value for each step; null: nothing is known of it."""

    name: str
    values: tuple[float | None, ...]


class Chart(msgspec.Struct, frozen=True):
    """``form``: "stack", where the values add up to a whole, or "lines". ``unit``: what is counted, or "seconds"."""

    name: str
    form: str
    unit: str
    series: tuple[Series, ...]


class Figures(msgspec.Struct, frozen=True):
    """Charts over a span of time. ``times``: when each step begins, and at last when the one under way ends."""

    span: str
    times: tuple[Moment, ...]
    charts: tuple[Chart, ...]


def seen(
    store: FigureStore, by: Operator, span: SpanName, now: float, *, domain: str = "", part: Part = "mail"
) -> Charts:
    """The charts of a domain, or else of the whole server, for those who may see all of it. Forbidden, StorageError."""
    if domain:
        by.check(domain)
    else:
        by.check_all()
    wanted = SPANS[span]
    rows = store.rows(wanted.rows, now - wanted.length - wanted.step, now)
    if domain:
        return charts.of_domain(wanted, now, rows, a_label(domain))
    return charts.of_tls(wanted, now, rows) if part == "tls" else charts.of_server(wanted, now, rows)


def told(found: Charts) -> Figures:
    """The charts for programs."""
    return Figures(
        found.span.name,
        tuple(map(at, found.times)),
        tuple(
            Chart(one.name, one.form, one.unit, tuple(Series(line.name, line.values) for line in one.series))
            for one in found.charts
        ),
    )


def as_csv(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table for spreadsheets (RFC 4180), in which no text of a stranger is taken for a formula."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(map(_safe, head))
    writer.writerows(map(_safe, row) for row in rows)
    return file.getvalue()


def rows_of(found: Charts, chart: str) -> tuple[list[str], list[list[object]]]:
    """One chart as a table: a row for each step, which begins in the time zone of the server. KeyError."""
    one = {one.name: one for one in found.charts}[chart]
    columns = zip(*(line.values for line in one.series), strict=True)
    rows: list[list[object]] = [
        [datetime.fromtimestamp(begin).astimezone().isoformat(timespec="minutes"), *values]
        for begin, values in zip(found.times, columns, strict=False)
    ]
    return ["time", *(line.name for line in one.series)], rows


def _safe(cell: object) -> object:
    if cell is None:
        return ""
    return in_cell(cell) if isinstance(cell, str) else cell
