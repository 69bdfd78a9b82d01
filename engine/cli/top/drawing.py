"""A frame on a screen: a header, the panes, a line of keys."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from engine.cli.top.frame import Frame
from engine.cli.top.panes import PANES, Pane
from engine.cli.top.view import HELP, View
from engine.lanes import MAIL
from engine.watching.wording import NOTHING, rate, time_taken

HEADER, FOOTER, TITLE = 3, 1, 2
"""Lines of the header with the empty one below, of the keys, and of a pane beside its rows."""

SMALLEST = 20
"""Lines of a screen on which all panes are shown; on a smaller one, that in focus."""

_BARS = "▁▂▃▄▅▆▇█"
_TREND = 24


def screen(frame: Frame, view: View, version: str, height: int, trend: Sequence[float] = ()) -> RenderableType:
    """The whole screen, of so many lines. ``trend``: messages a second that came, of some frames."""
    if view.asks_help:
        return Group(*_header(frame, view, version, trend), _help())
    shown = [view.focus] if view.alone or height < SMALLEST else list(range(len(PANES)))
    needs = [len(PANES[pane].rows(frame)) for pane in shown]
    room = height - HEADER - FOOTER - TITLE * len(shown)
    parts: list[RenderableType] = list(_header(frame, view, version, trend))
    for pane, rows in zip(shown, shared_out(needs, room), strict=True):
        parts += _pane(pane, frame, view, rows)
    used = HEADER + sum(TITLE + rows for rows in shared_out(needs, room))
    parts += [Text("")] * (height - used - FOOTER)
    return Group(*parts, _footer(view))


def plain(frame: Frame, version: str) -> RenderableType:
    """All rows of all panes, for a printer or a file."""
    view = View(focus=-1)
    parts: list[RenderableType] = list(_header(frame, view, version, ()))
    for pane in range(len(PANES)):
        parts += [*_pane(pane, frame, view, len(PANES[pane].rows(frame))), Text("")]
    return Group(*parts[:-1])


def shared_out(needs: Sequence[int], room: int) -> list[int]:
    """Rows for each: what it needs, and where there is too little, as much as the others."""
    given = [0] * len(needs)
    room = max(room, 0)
    while room and (open_ := [index for index, need in enumerate(needs) if given[index] < need]):
        each = max(room // len(open_), 1)
        for index in open_:
            more = min(each, needs[index] - given[index], room)
            given[index] += more
            room -= more
    return given


def _header(frame: Frame, view: View, version: str, trend: Sequence[float]) -> Iterator[Text]:
    clock = time.strftime("%H:%M:%S", time.localtime(frame.at))
    if not frame.revision:
        yield _line(("postroad ", "bold"), version, "  no server runs: waiting for one  ", clock)
        yield Text("")
    else:
        age = time_taken(frame.age)
        line = f"{version}  revision {frame.revision}  up {age}  pid {frame.pid}  {clock}"
        yield _line(("postroad ", "bold"), line, ("  paused", "bold yellow") if view.paused else "")
        yield _traffic(frame, trend)
    yield Text("")


def _traffic(frame: Frame, trend: Sequence[float]) -> Text:
    reading = frame.reading
    waiting = ", ".join(f"{count:,} {state}" for state, count in reading.queued.items() if count)
    queue = waiting or ("0" if is_known(frame) else NOTHING)
    oldest = time_taken(reading.oldest) if reading.oldest else NOTHING
    bars = f" {sparkline(trend)}" if trend else ""
    parts: list[str | tuple[str, str]] = [
        ("in ", "bold"),
        rate(reading.arriving),
        (bars, "cyan"),
        ("  out ", "bold"),
        rate(reading.leaving),
    ]
    return _line(*parts, ("  queue ", "bold"), queue, ("  oldest ", "bold"), oldest)


def is_known(frame: Frame) -> bool:
    """Whether every process that owns a part of the queue has said how much is in it."""
    owners = [worker for worker in frame.workers if worker.name.startswith(f"{MAIL}-")]
    return bool(frame.reading.queued and owners) and all(worker.lag is not None for worker in owners)


def _line(*parts: str | tuple[str, str]) -> Text:
    """Parts with their styles, on one line of any screen."""
    return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")


def sparkline(values: Sequence[float]) -> str:
    """The last values as bars, the largest one as the highest."""
    last = values[-_TREND:]
    most = max(last, default=0) or 1
    return "".join(_BARS[round(value / most * (len(_BARS) - 1))] for value in last)


def _pane(number: int, frame: Frame, view: View, rows: int) -> Iterator[RenderableType]:
    pane = PANES[number]
    column, backwards = view.column(number), view.is_backwards(number)
    found = pane.sorted(frame, column, backwards=backwards)
    start = min(view.scrolled.get(number, 0), max(len(found) - rows, 0))
    count = f" {start + 1}–{start + rows} of {len(found)}" if rows < len(found) else ""
    style = "bold reverse" if number == view.focus else "bold"
    yield Text.assemble((f" {number + 1} {pane.name} ", style), (count, "dim"))
    yield _table(pane, found[start : start + rows], column, "▲" if backwards else "▼")


def _table(pane: Pane, rows: Sequence[Any], sorted_by: int | None, mark: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), expand=True, header_style="dim")
    for number, column in enumerate(pane.columns):
        table.add_column(
            f"{column.title}{mark if number == sorted_by else ''}",
            justify="right" if column.is_number else "left",
            ratio=1 if column.takes_rest or _is_widest(pane, number) else None,
            no_wrap=True,
            overflow="ellipsis",
        )
    for row in rows:
        table.add_row(*(Text(column.text(row)) for column in pane.columns))
    return table


def _is_widest(pane: Pane, number: int) -> bool:
    """Where no column takes the rest of the width, the first one does."""
    return number == 0 and not any(column.takes_rest for column in pane.columns)


def _help() -> Table:
    table = Table(box=None, show_header=False, padding=(0, 3, 0, 1))
    for keys, does in HELP:
        table.add_row(Text(keys, "bold"), does)
    return table


def _footer(view: View) -> Text:
    text = f" 0–4 panes  Tab next  s sort  r reverse  p {'go on' if view.paused else 'pause'}  ? help  q quit "
    return Text(f"{text} every {view.interval:g} s", "reverse", no_wrap=True, overflow="crop")
