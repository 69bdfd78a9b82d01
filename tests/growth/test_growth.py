"""What accounts held day by day, and when they will be full by a straight line through it."""

from pathlib import Path

import pytest

from engine.growth import KEPT, LEAST, Day, Growth, estimate

GB = 10**9


def days(*octets: float, messages: int = 0) -> list[Day]:
    return [Day(100 + number, int(size), messages) for number, size in enumerate(octets)]


GROWING = days(*(number * GB for number in range(10)))  # 9 GB on the last day, a gigabyte a day


@pytest.mark.parametrize(
    ("held", "octets", "messages", "when"),
    [
        (GROWING, 19 * GB, 0, 10.0),
        (GROWING, 9 * GB, 0, 0.0),  # it is full
        (GROWING, 1 * GB, 0, 0.0),  # and more than that
        (GROWING, 0, 0, None),  # it has no limit
        (GROWING[: LEAST - 1], 19 * GB, 0, None),  # it is too early
        (GROWING[:LEAST], 7 * GB, 0, 1.0),
        ([], 19 * GB, 0, None),
        (days(*(5 * GB,) * 10), 19 * GB, 0, None),  # nothing comes
        (days(*(9 * GB - number * GB for number in range(10))), 19 * GB, 0, None),  # it becomes less
        (days(*(5 * GB,) * 10), 5 * GB, 0, 0.0),
    ],
)
def test_when_it_will_be_full(held: list[Day], octets: int, messages: int, when: float | None) -> None:
    found = estimate(held, octets, messages)
    assert (found and found.days) == (when if when is None else pytest.approx(when))


def test_the_first_of_both_limits_counts() -> None:
    held = [Day(number, number * GB, number * 100) for number in range(1, 11)]
    found = estimate(held, 100 * GB, 1500)
    assert found is not None
    assert found.days == pytest.approx(5)
    assert found.per_day == pytest.approx(100)


def test_what_is_long_past_does_not_count() -> None:
    """Somebody moved 50 GB out a year ago, and takes a gigabyte a day now."""
    old = [Day(number, 50 * GB, 0) for number in range(10)]
    found = estimate(old + [Day(400 + one.day - 100, one.octets, 0) for one in GROWING], 19 * GB, 0)
    assert found is not None
    assert (found.days, found.rests_on) == (pytest.approx(10), 10)


def test_days_are_kept_and_the_same_day_twice_is_one(tmp_path: Path) -> None:
    with Growth.open(tmp_path) as growth:
        assert growth.noted == 0
        growth.note(5, {1: (10, 1), 2: (20, 2)})
        growth.note(6, {1: (11, 1), 2: (21, 2)})
        growth.note(6, {1: (12, 1), 2: (22, 2)})
        assert growth.noted == 6
    with Growth.open(tmp_path) as growth:
        assert growth.of([1, 2, 3]) == [[Day(5, 10, 1), Day(6, 12, 1)], [Day(5, 20, 2), Day(6, 22, 2)], []]


def test_who_is_gone_and_what_is_too_old_is_forgotten(tmp_path: Path) -> None:
    with Growth.open(tmp_path) as growth:
        growth.note(5, {1: (10, 1), 2: (20, 2)})
        growth.note(5 + KEPT, {1: (11, 1)})
        assert growth.of([1, 2]) == [[Day(5 + KEPT, 11, 1)], []]
