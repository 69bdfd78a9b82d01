"""Measures: what counting costs where it happens, and what it costs to be asked."""

import pytest

from bench.micro.measure import Measure
from engine.observe.measures import Counter, Gauge, Histogram, Measures

pytestmark = pytest.mark.benchmark(group="Measures")

MANY = 1000


def test_count(measure: Measure) -> None:
    count = Counter("counted_total", "Counted.", ("what",), to=Measures()).of("this")

    def many() -> float:
        before = count.value
        for _ in range(MANY):
            count.value += 1
        return count.value - before

    assert measure("count something", many, operations=MANY) == MANY


def test_count_by_labels(measure: Measure) -> None:
    family = Counter("counted_total", "Counted.", ("what", "how"), to=Measures())

    def many() -> float:
        before = family.of("this", "so").value
        for _ in range(MANY):
            family.of("this", "so").value += 1
        return family.of("this", "so").value - before

    assert measure("count something by two labels", many, operations=MANY) == MANY


def test_observe(measure: Measure) -> None:
    took = Histogram("took_seconds", "Took.", to=Measures()).of()

    def many() -> int:
        before = sum(took.counts)
        for _ in range(MANY):
            took.observe(0.0002)
        return sum(took.counts) - before

    assert measure("a time in a histogram", many, operations=MANY) == MANY


def test_be_asked(measure: Measure) -> None:
    measures = Measures()
    for number in range(20):
        family = Counter(f"counted_{number}_total", "Counted.", ("what",), to=measures)
        took = Histogram(f"took_{number}_seconds", "Took.", ("what",), to=measures)
        for what in ("this", "that"):
            family.of(what).value += 1
            took.of(what).observe(number)
    Gauge("waiting", "Waits.", ("site",), to=measures).reads(lambda: [((f"mx{n}.test",), n) for n in range(200)])
    assert len(measure("tell 920 numbers", measures.samples)) == 20 * 2 * (1 + 17) + 200
