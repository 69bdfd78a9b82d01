"""Charts over time as SVG: a field of bars or lines, and what is written at its sides.

The field is as wide as its place, whatever that is: what is drawn is stretched, while letters and the width of lines
are not. So one drawing does for a telephone and for a wall. Colours are those of the page, by classes: part-1, part-2 …
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, TypeAlias
from xml.sax.saxutils import escape, quoteattr

from engine.drawing.axes import Axis

Values: TypeAlias = Sequence[float | None]

PARTS = 8
"""Colours that can be told apart; what is beyond has the last one."""

_UNITS = 1000.0
"""Of the drawing, in both directions."""

_FEW = 70
"""Steps up to which there is a gap between bars."""


@dataclass(frozen=True, slots=True)
class Tick:
    """What is written at a side, at a place from 0 to 1. ``minor``: left out where there is little room."""

    place: float
    label: str
    minor: bool = False


def bars(series: Sequence[Values], axis: Axis) -> str:
    """Bars of parts that stand on each other, the first at the bottom."""
    count = max(map(len, series), default=0)
    width = _UNITS / max(count, 1)
    gap = width * 0.18 if count <= _FEW else 0.0
    heaps, drawn = [0.0] * count, []
    for number, values in enumerate(series):
        steps = []
        for index, value in enumerate(values):
            if value:
                bottom, heaps[index] = axis.at(heaps[index]), heaps[index] + value
                left, top, low = index * width + gap / 2, _y(axis.at(heaps[index])), _y(bottom)
                steps.append(f"M{left:.1f} {low:.1f}V{top:.1f}H{left + width - gap:.1f}V{low:.1f}z")
        drawn.append(f'<path class="bar part-{part(number)}" d="{"".join(steps)}"/>')
    return "".join(drawn)


def lines(series: Sequence[Values], axis: Axis) -> str:
    """Lines, broken where nothing is known. One moment by itself is a dot."""
    drawn = []
    for number, values in enumerate(series):
        width = _UNITS / max(len(values), 1)
        places = [((index + 0.5) * width, value) for index, value in enumerate(values)]
        runs = (list(run) for known, run in groupby(places, key=lambda one: one[1] is not None) if known)
        path = "".join(_run([(x, _y(axis.at(value))) for x, value in run if value is not None]) for run in runs)
        drawn.append(f'<path class="line part-{part(number)}" d="{path}"/>')
    return "".join(drawn)


def part(number: int) -> int:
    """The colour of a part, from 1."""
    return min(number + 1, PARTS)


def field(inner: str, axis: Axis, label: str) -> str:
    """The field with its grid. ``label`` says in words what is to be seen."""
    grid = "".join(_level(axis.at(tick)) for tick in axis.ticks)
    return (
        f'<svg class="field" role="img" aria-label={quoteattr(label)} xmlns="http://www.w3.org/2000/svg">{grid}'
        f'<svg viewBox="0 0 {_UNITS:g} {_UNITS:g}" preserveAspectRatio="none" width="100%" height="100%">{inner}</svg>'
        "</svg>"
    )


def side(ticks: Iterable[Tick]) -> str:
    """What is written at the left side, from the bottom to the top."""
    texts = "".join(
        f'<text x="100%" y="{(1 - tick.place) * 100:.2f}%" dy=".35em" text-anchor="end">{escape(tick.label)}</text>'
        for tick in ticks
    )
    return f'<svg class="side-scale" aria-hidden="true" xmlns="http://www.w3.org/2000/svg">{texts}</svg>'


def below(ticks: Iterable[Tick]) -> str:
    """What is written below, from the left to the right, each with a mark at its place."""
    texts = "".join(
        f"<g{' class=' + quoteattr('minor') if tick.minor else ''}>"
        f'<line x1="{tick.place * 100:.2f}%" x2="{tick.place * 100:.2f}%" y1="0" y2="5"/>'
        f'<text x="{tick.place * 100:.2f}%" y="17" text-anchor="{_anchor(tick.place)}">{escape(tick.label)}</text></g>'
        for tick in ticks
    )
    return f'<svg class="time-scale" aria-hidden="true" xmlns="http://www.w3.org/2000/svg">{texts}</svg>'


def spark(series: Sequence[Values], form: Literal["stack", "lines"], axis: Axis, label: str) -> str:
    """A small one with nothing written at it."""
    inner = bars(series, axis) if form == "stack" else lines(series, axis)
    return (
        f'<svg class="spark" role="img" aria-label={quoteattr(label)} viewBox="0 0 {_UNITS:g} {_UNITS:g}" '
        f'preserveAspectRatio="none" xmlns="http://www.w3.org/2000/svg">{inner}</svg>'
    )


def _run(places: Sequence[tuple[float, float]]) -> str:
    if len(places) == 1:
        ((x, y),) = places
        return f"M{x:.1f} {y:.1f}h.1"
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)


def _level(place: float) -> str:
    y = f"{(1 - place) * 100:.2f}%"
    return f'<line x1="0" x2="100%" y1="{y}" y2="{y}"/>'


def _y(place: float) -> float:
    return (1 - place) * _UNITS


def _anchor(place: float) -> str:
    return "end" if place > 0.98 else "middle"  # on the left there is room below the scale at the side
