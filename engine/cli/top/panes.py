"""The four panes: links, stages, sites, workers; their columns, and how these sort."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from engine.cli.top.frame import Frame
from engine.observe.visible import on_one_line
from engine.watching.wording import NOTHING, rate, share, shares, time_taken

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Column:
    """What is shown of a row, and by what rows sort."""

    title: str
    text: Callable[[Any], str]
    value: Callable[[Any], Any]
    is_number: bool = True
    takes_rest: bool = False  # of the width


@dataclass(frozen=True, slots=True)
class Pane:
    """One table."""

    name: str
    columns: tuple[Column, ...]
    rows: Callable[[Frame], Sequence[Any]]

    def sorted(self, frame: Frame, column: int | None, *, backwards: bool) -> list[Any]:
        """The rows; without a column, in the order in which they are known. What is unknown comes last."""
        rows = list(self.rows(frame))
        if column is None:
            return rows[::-1] if backwards else rows
        value, is_number = self.columns[column].value, self.columns[column].is_number
        known = [row for row in rows if value(row) is not None]
        known.sort(key=value, reverse=is_number != backwards)  # numbers begin with the largest
        return known + [row for row in rows if value(row) is None]


def _name(title: str, attribute: str) -> Column:
    def value(row: Any) -> str:
        return str(getattr(row, attribute))

    return Column(title, lambda row: on_one_line(value(row)), value, is_number=False)


def _connections(site: Any) -> str:
    return f"{site.connections}/{site.limit}" if site.limit else str(site.connections)


def _memory(worker: Any) -> str:
    return NOTHING if worker.memory is None else f"{worker.memory / _MIB:,.0f} MiB"


LINKS = Pane(
    "links",
    (
        _name("link", "name"),
        Column("rate", lambda link: rate(link.rate), lambda link: link.rate),
        Column("depth", lambda link: f"{link.depth:,}", lambda link: link.depth),
        Column("lag", lambda link: time_taken(link.lag), lambda link: link.lag),
        Column("out/credits", lambda link: f"{link.out:,}/{link.window:,}", lambda link: link.out),
    ),
    lambda frame: frame.reading.links,
)
STAGES = Pane(
    "stages",
    (
        _name("stage", "name"),
        Column("rate", lambda stage: rate(stage.rate), lambda stage: stage.rate),
        Column("p50", lambda stage: time_taken(stage.half), lambda stage: stage.half),
        Column("p99", lambda stage: time_taken(stage.almost_all), lambda stage: stage.almost_all),
        Column(
            "verdicts",
            lambda stage: ", ".join(shares(stage)),
            lambda stage: ", ".join(shares(stage)),
            is_number=False,
            takes_rest=True,
        ),
    ),
    lambda frame: frame.reading.stages,
)
SITES = Pane(
    "sites",
    (
        _name("site", "site"),
        _name("source", "source"),
        Column("queue", lambda site: f"{site.waiting:,}", lambda site: site.waiting),
        Column("conns", _connections, lambda site: site.connections),
        Column("paused", lambda site: time_taken(site.paused) if site.paused else "", lambda site: site.paused),
        Column(
            "last reply",
            lambda site: on_one_line(site.last_reply),
            lambda site: site.last_reply,
            is_number=False,
            takes_rest=True,
        ),
    ),
    lambda frame: frame.sites,
)
WORKERS = Pane(
    "workers",
    (
        _name("worker", "name"),
        Column("pid", lambda worker: str(worker.pid or NOTHING), lambda worker: worker.pid),
        Column("cpu", lambda worker: NOTHING if worker.cpu is None else share(worker.cpu), lambda worker: worker.cpu),
        Column("memory", _memory, lambda worker: worker.memory),
        Column("loop lag", lambda worker: time_taken(worker.lag), lambda worker: worker.lag),
    ),
    lambda frame: frame.workers,
)

PANES = (LINKS, STAGES, SITES, WORKERS)

QUEUE_OF_SITES = 2
"""The column that sites sort by at first: there may be many."""
