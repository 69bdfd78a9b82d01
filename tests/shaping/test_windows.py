"""Sliding windows: what is never exceeded, and how much of it can be used."""

from hypothesis import given
from hypothesis import strategies as st

from engine import Rate
from engine.shaping.windows import Window


def most_within(times: list[float], period: float) -> int:
    return max(sum(start <= time < start + period for time in times) for start in times)


@given(
    most=st.integers(1, 40), period=st.sampled_from([0.5, 1.0, 60.0, 3600.0]), start=st.floats(0, 2e9),
    pauses=st.lists(st.floats(0, 1), min_size=1, max_size=120),
)  # fmt: skip
def test_a_rate_is_never_exceeded_wherever_one_begins_to_count(
    most: int, period: float, start: float, pauses: list[float]
) -> None:
    window = Window(Rate(f"{most}/{period:g}s"))
    now, times = start, []
    for pause in pauses:
        now += pause * period / most
        while wait := window.wait(now):
            assert wait > 0
            now += wait
        window.take(now)
        times.append(now)
    assert most_within(times, period * (1 - 1e-6)) <= most


def test_nearly_all_of_a_rate_is_used_where_there_is_enough_to_do() -> None:
    for rate in ("1/1s", "7/1s", "100/1m", "5000/1h"):
        window = Window(Rate(rate))
        now, taken = 1e9, 0
        while now < 1e9 + 40 * window.rate.period:
            if wait := window.wait(now):
                now += wait
            else:
                window.take(now)
                taken += 1
        assert taken >= 0.99 * 40 * window.rate.most, rate


def test_several_at_once() -> None:
    window = Window(Rate("10/1m"))
    window.take(0.0, 8)
    assert window.wait(1.0, 2) == 0
    assert window.wait(1.0, 3) > 59
    assert window.wait(1.0, 11) > 59, "more than it ever allows: when nothing else counts"
    assert window.room(1.0) == 2
    assert window.room(61.0) == 10
    assert window.wait(61.0, 11) == 0


def test_what_was_kept_counts_on() -> None:
    before = Window(Rate("10/1m"))
    before.take(100.0, 4)
    before.take(130.0, 5)
    after = Window(Rate("10/1m"), before.slices())
    assert (after.wait(131.0), after.wait(131.0, 2) > 0) == (0, True)


def test_one_whose_clock_is_a_little_ahead_counts_too() -> None:
    window = Window(Rate("3/1m"))
    window.take(100.0, 2)
    window.take(97.0)
    assert window.wait(98.0) > 0
