"""What of a frame is looked at, and how keys change that."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from engine.cli.top.panes import PANES, QUEUE_OF_SITES, SITES

INTERVALS = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""Seconds between two frames, by the keys + and -."""

HELP = (
    ("1 2 3 4", "links, stages, sites, workers alone"),
    ("0", "all of them"),
    ("Tab", "go to the next one"),
    ("s S", "sort by the next column, by the one before"),
    ("r", "the other way round"),
    ("j k", "down and up, and the arrows"),
    ("p", "pause, and go on"),
    ("+ -", "more often, less often"),
    ("q", "quit"),
)

_SEQUENCE = re.compile(r"\x1b\[[0-9;]*[~A-Za-z]|\x1bO[A-Za-z]|.", re.DOTALL)
_NAMED = {
    "\x1b[A": "up", "\x1bOA": "up", "\x1b[B": "down", "\x1bOB": "down", "\x1b[5~": "page-up", "\x1b[6~": "page-down",
    "\x1b[Z": "back-tab", "\t": "tab", " ": "p", "\x03": "q", "\x04": "q", "h": "?",
}  # fmt: skip
_STEPS = {"up": -1, "k": -1, "down": 1, "j": 1, "page-up": -10, "page-down": 10}


@dataclass(frozen=True, slots=True)
class View:
    """What is looked at. ``alone``: the pane in focus has the screen for itself."""

    focus: int = 0
    alone: bool = False
    paused: bool = False
    asks_help: bool = False
    interval: float = 1.0
    ended: bool = False
    columns: Mapping[int, int | None] = field(default_factory=lambda: {PANES.index(SITES): QUEUE_OF_SITES})
    backwards: Mapping[int, bool] = field(default_factory=dict)
    scrolled: Mapping[int, int] = field(default_factory=dict)  # rows above the first one that is shown

    def column(self, pane: int) -> int | None:
        return self.columns.get(pane)

    def is_backwards(self, pane: int) -> bool:
        return self.backwards.get(pane, False)


def keys_in(text: str) -> Iterator[str]:
    """The keys that were pressed, by their names."""
    for sequence in _SEQUENCE.findall(text):
        yield _NAMED.get(sequence, sequence)


def pressed(view: View, key: str, rows: int = 1_000_000) -> View:
    """The view after a key; what means nothing changes nothing. ``rows``: how many the pane in focus has."""
    if view.asks_help:
        return replace(view, asks_help=False, ended=key == "q")
    focus = view.focus
    if key in _STEPS:
        above = min(view.scrolled.get(focus, 0) + _STEPS[key], rows - 1)
        return replace(view, scrolled={**view.scrolled, focus: max(above, 0)})
    if key.isdigit() and 1 <= int(key) <= len(PANES):
        return replace(view, focus=int(key) - 1, alone=True)
    match key:
        case "0":
            return replace(view, alone=False)
        case "tab" | "back-tab":
            return replace(view, focus=(focus + (1 if key == "tab" else -1)) % len(PANES))
        case "s" | "S":
            return replace(view, columns={**view.columns, focus: _next_column(view, 1 if key == "s" else -1)})
        case "r":
            return replace(view, backwards={**view.backwards, focus: not view.is_backwards(focus)})
        case "p":
            return replace(view, paused=not view.paused)
        case "+" | "-":
            return replace(view, interval=_next_interval(view.interval, more=key == "+"))
        case "?":
            return replace(view, asks_help=True)
        case "q":
            return replace(view, ended=True)
    return view


def _next_column(view: View, step: int) -> int | None:
    """The next column; behind the last one comes the order in which the rows are known."""
    count = len(PANES[view.focus].columns)
    now = view.column(view.focus)
    following = ((count if now is None else now) + step) % (count + 1)
    return None if following == count else following


def _next_interval(now: float, *, more: bool) -> float:
    """The next one that is shorter, or longer."""
    if more:
        return max((one for one in INTERVALS if one < now), default=now)
    return min((one for one in INTERVALS if one > now), default=now)
