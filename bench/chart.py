"""The picture: one panel of bars below the other, as SVG."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from bench.measure import Spread

_WIDTH = 960
_LEFT, _RIGHT = 60, 20
_HEAD, _BARS, _FOOT = 76, 180, 68
"""Heights of a panel's parts: title and legend, bars, and the labels below them."""

_SCALE = _BARS - 40
"""Height of the longest bar: above it stands its figure."""

_UPRIGHT = 30.0
"""Width of a bar below which its figure stands on end."""

_OURS = "#c2410c"
_OTHERS = ("#1e3a8a", "#2563eb", "#0f766e", "#7c3aed", "#64748b", "#a16207", "#0891b2", "#9d174d")
_INK, _FAINT = "#111827", "#d1d5db"


@dataclass(frozen=True, slots=True)
class Bar:
    """What one server did."""

    key: str
    name: str
    height: Spread


@dataclass(frozen=True, slots=True)
class Panel:
    """Bars in groups, all to one scale."""

    title: str
    subtitle: str
    unit: str
    groups: Mapping[tuple[str, ...], Sequence[Bar]]  # by the lines below the group


def picture(panels: Sequence[Panel]) -> str:
    """An SVG document."""
    height = len(panels) * (_HEAD + _BARS + _FOOT)
    colours = _colours(panels)
    body = "".join(part for number, panel in enumerate(panels) for part in _panel(panel, number, colours))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}" '
        f'font-family="system-ui, sans-serif" font-size="12" fill="{_INK}">\n'
        f'<rect width="100%" height="100%" fill="white"/>\n{body}</svg>\n'
    )


def _colours(panels: Sequence[Panel]) -> dict[str, str]:
    """Ours stands out; each other has the same in every panel."""
    keys = dict.fromkeys(bar.key for panel in panels for bars in panel.groups.values() for bar in bars)
    others = [key for key in keys if not key.startswith("postroad")]
    found = {key: _OURS if key == "postroad" else "#fb923c" for key in keys if key not in others}
    return found | {key: _OTHERS[number % len(_OTHERS)] for number, key in enumerate(others)}


def _panel(panel: Panel, number: int, colours: Mapping[str, str]) -> Iterator[str]:
    top = number * (_HEAD + _BARS + _FOOT)
    floor = top + _HEAD + _BARS
    most = max(bar.height.most for bars in panel.groups.values() for bar in bars) or 1.0

    def up(value: float) -> float:
        return floor - value / most * _SCALE

    yield _text(_LEFT, top + 18, panel.title, weight="bold", size=14)
    yield _text(_LEFT, top + 35, panel.subtitle)
    yield from _legend(panel, top + 56, colours)
    for step in _steps(most):
        y = up(step)
        yield f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="{_FAINT}"/>\n'
        yield _text(_LEFT - 6, y + 4, f"{step:,g}", anchor="end", size=11)
    yield f'<text x="14" y="{floor - _BARS / 2:.0f}" transform="rotate(-90 14 {floor - _BARS / 2:.0f})" '
    yield f'text-anchor="middle">{escape(panel.unit)}</text>\n'
    room = (_WIDTH - _LEFT - _RIGHT) / len(panel.groups)
    for place, (label, bars) in enumerate(panel.groups.items()):
        left = _LEFT + place * room
        for line, text in enumerate(label):
            yield _text(left + room / 2, floor + 16 + 14 * line, text, anchor="middle")
        wide = min(room * 0.85 / len(bars), 70.0)
        start = left + (room - wide * len(bars)) / 2
        for count, bar in enumerate(bars):
            yield from _bar(bar, start + count * wide, wide, up, colours[bar.key])


def _bar(bar: Bar, left: float, wide: float, up: Callable[[float], float], colour: str) -> Iterator[str]:
    floor, top, middle = up(0.0), up(bar.height.median), left + wide / 2
    yield f'<rect x="{left + 2:.1f}" y="{top:.1f}" width="{wide - 4:.1f}" height="{floor - top:.1f}" fill="{colour}">'
    yield f"<title>{escape(bar.name)}: {bar.height.shown(',.4g')}</title></rect>\n"
    yield f'<line x1="{middle:.1f}" x2="{middle:.1f}" y1="{up(bar.height.least):.1f}" y2="{up(bar.height.most):.1f}" '
    yield f'stroke="{_INK}"/>\n'
    shown = f"{bar.height.median:{',.0f' if bar.height.median >= 100 else ',.3g'}}"
    above = min(top, up(bar.height.most)) - 4
    if wide >= _UPRIGHT:
        yield _text(middle, above, shown, anchor="middle", size=10)
    else:
        yield f'<g transform="rotate(-90 {middle + 3:.1f} {above:.1f})">{_text(middle + 3, above, shown, size=9)}</g>\n'


def _legend(panel: Panel, y: float, colours: Mapping[str, str]) -> Iterator[str]:
    names = {bar.key: bar.name for bars in panel.groups.values() for bar in bars}
    x = float(_LEFT)
    for key, name in names.items():
        yield f'<rect x="{x:.0f}" y="{y - 9:.0f}" width="10" height="10" fill="{colours[key]}"/>\n'
        yield _text(x + 15, y, name)
        x += 30 + 6.6 * len(name) + 2.5 * sum(map(str.isupper, name))  # capitals are wider


def _steps(most: float) -> list[float]:
    """Round numbers for the lines of a scale: two to four of them up to ``most``, and 0."""
    power = 10.0 ** math.floor(math.log10(most))
    step = power * (2 if most / power >= 5 else 1 if most / power >= 2 else 0.5)
    return [step * number for number in range(int(most / step) + 1)]


def _text(x: float, y: float, text: str, *, anchor: str = "start", weight: str = "normal", size: int = 12) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" font-size="{size}">'
        f"{escape(text)}</text>\n"
    )
