"""Charts as SVG: axes that people can read, and drawings that hold what they are given and no more."""

from xml.etree import ElementTree

import pytest

from engine.drawing import axes, chart
from engine.drawing.chart import Tick


@pytest.mark.parametrize(
    ("most", "ticks"),
    [
        (0, (0, 1)),
        (1, (0, 1)),
        (3, (0, 1, 2, 3)),
        (7, (0, 2, 4, 6, 8)),
        (10, (0, 5, 10)),
        (40, (0, 10, 20, 30, 40)),
        (41, (0, 20, 40, 60)),
        (123_456, (0, 50_000, 100_000, 150_000)),
    ],
)
def test_counts_go_by_whole_round_numbers(most, ticks):
    axis = axes.of_counts(most)
    assert axis.ticks == ticks
    assert axis.high >= most
    assert axis.at(0) == 0
    assert axis.at(axis.high) == 1


@pytest.mark.parametrize(
    ("most", "step"), [(3, 1), (50, 15), (400, 120), (7000, 1800), (100_000, 43_200), (3_000_000, 864_000), (1e9, None)]
)
def test_times_go_by_minutes_hours_and_days(most, step):
    axis = axes.of_seconds(most)
    assert step in (None, axis.ticks[1])
    assert 2 <= len(axis.ticks) <= 6
    assert axis.high >= most


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [
        ((), 0.1, 10.0),
        ((0.02, 0.4), 0.01, 1.0),
        ((0.5, 200.0), 0.1, 600.0),
        ((5e6,), 86_400.0, 5e6),
        ((0.1,), 0.1, 1.0),
    ],
)
def test_delays_go_by_factors(values, low, high):
    axis = axes.of_delays(values)
    assert (axis.low, axis.high) == (low, high)
    assert len(axis.ticks) >= 2
    assert all(0 <= axis.at(value) <= 1 for value in (*values, 0.0))


def drawn(text):
    """The drawing as a tree; what is no XML fails."""
    return ElementTree.fromstring(f'<svg xmlns="http://www.w3.org/2000/svg">{text}</svg>')


def paths(text):
    return [path.get("d") for path in drawn(text).iter("{http://www.w3.org/2000/svg}path")]


def test_bars_stand_on_each_other():
    axis = axes.of_counts(4)
    assert paths(chart.bars([[1, None, 4], [3, 2, 0]], axis)) == [
        "M30.0 1000.0V750.0H303.3V1000.0zM696.7 1000.0V0.0H970.0V1000.0z",
        "M30.0 750.0V0.0H303.3V750.0zM363.3 1000.0V500.0H636.7V1000.0z",
    ]


def test_a_line_is_broken_where_nothing_is_known_and_one_moment_is_a_dot():
    assert paths(chart.lines([[0, 4, None, 2, None]], axes.of_counts(4))) == ["M100.0 1000.0L300.0 0.0M700.0 500.0h.1"]


def test_nothing_at_all_can_be_drawn():
    axis = axes.of_counts(0)
    assert paths(chart.bars([], axis)) == []
    assert paths(chart.lines([[]], axis)) == [""]
    drawn(chart.field(chart.bars([[None]], axis), axis, "nothing"))


def test_what_is_beyond_the_colours_has_the_last():
    classes = [path.get("class") for path in drawn(chart.bars([[1]] * 10, axes.of_counts(10)))]
    assert classes[-3:] == ["bar part-8"] * 3
    assert classes[0] == "bar part-1"


def test_words_of_others_are_words():
    hostile = "\"><script>alert(1)</script>&'"
    axis = axes.of_counts(1)
    for text in (
        chart.field("", axis, hostile),
        chart.below([Tick(0.5, hostile)]),
        chart.side([Tick(0.5, hostile)]),
        chart.spark([[1]], "stack", axis, hostile),
    ):
        assert "<script" not in text
        found = drawn(text)
        assert hostile in [*(one.get("aria-label") for one in found.iter()), *(one.text for one in found.iter())]
