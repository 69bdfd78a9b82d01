"""Rounds, counts and figures: what is computed, without any server."""

from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest

from bench import Failed
from bench.latency import moments, quantile
from bench.measure import FEWEST, PROBE, TRIES, Cell, Run, Spread, Trial, Wanted, counted, ratio, rounds


class Witness:
    """Remembers."""

    def __init__(self) -> None:
        self.turns: list[tuple[int, str]] = []
        self.failures: list[tuple[int, str, str]] = []

    def turn(self, number: int, trial: Trial) -> None:
        self.turns.append((number, trial.key))

    def ran(self, number: int, trial: Trial, run: Run) -> None:
        assert (number, trial.key) == self.turns[-1]

    def failed(self, number: int, trial: Trial, reason: str) -> None:
        self.failures.append((number, trial.key, reason))


def at(rate: float, counts: list[int], *, begins: float = 0.0) -> Callable[[int], Awaitable[Run]]:
    """Runs at this rate, after so many seconds in which nothing is done; what counts were asked for."""

    async def run(count: int) -> Run:
        counts.append(count)
        return Run(count, begins + count / rate)

    return run


def trial(key: str, run: Callable[[int], Awaitable[Run]], count: int | None = None, most: int | None = None) -> Trial:
    return Trial(key, key.capitalize(), "1", "synced", run, count, most)


async def test_all_have_their_turn_in_each_round() -> None:
    witness = Witness()
    done = await rounds([trial("a", at(100, [])), trial("b", at(100, []))], Wanted(3, 1.0, 10), witness)
    assert witness.turns == [(1, "a"), (1, "b"), (2, "a"), (2, "b"), (3, "a"), (3, "b")]
    assert {key: list(runs) for key, runs in done.items()} == {"a": [1, 2, 3], "b": [1, 2, 3]}


async def test_each_gets_as_many_messages_as_its_speed_asks_for() -> None:
    slow: list[int] = []
    fast: list[int] = []
    bounded: list[int] = []
    trials = [
        trial("slow", at(50, slow)),
        trial("fast", at(10_000, fast)),
        trial("few", at(10_000, bounded), most=7000),
    ]
    done = await rounds(trials, Wanted(2, 6.0), Witness())
    assert slow == [PROBE, 300, 300]
    assert fast == [PROBE, 10_000, 60_000, 60_000]  # a run of 40 ms says little: again, for a second
    assert bounded == [PROBE, 7000, 7000, 7000]
    assert len(done["slow"]) == 2  # the first runs do not count


async def test_a_server_that_is_slow_at_first_runs_as_long_as_others() -> None:
    counts: list[int] = []
    await rounds([trial("a", at(10_000, counts, begins=0.2))], Wanted(1, 3.0), Witness())
    assert counts[:-1] == [PROBE, 1667, 4546]  # until a run took half a second: 0.24, 0.37, 0.65
    assert counts[-1] == pytest.approx(20_800, rel=0.01)


async def test_a_trial_may_say_how_many() -> None:
    counts: list[int] = []
    await rounds([trial("a", at(100, counts), count=77)], Wanted(2, 6.0), Witness())
    assert counts == [77, 77]


async def test_a_failed_run_is_told_and_the_others_go_on() -> None:
    tries = 0

    async def breaks_once(count: int) -> Run:
        nonlocal tries
        tries += 1
        if tries == 2:
            raise Failed("it fell over")
        return Run(count, 1.0)

    witness = Witness()
    done = await rounds([trial("a", breaks_once), trial("b", at(100, []))], Wanted(3, 1.0, 10), witness)
    assert list(done["a"]) == [1, 3]
    assert list(done["b"]) == [1, 2, 3]
    assert witness.failures == [(2, "a", "it fell over")]


async def test_what_fails_again_is_left_out() -> None:
    async def breaks(count: int) -> Run:
        raise ExceptionGroup("from a nursery", [ExceptionGroup("inner", [Failed("no")])])

    witness = Witness()
    done = await rounds([trial("a", breaks), trial("b", at(100, []))], Wanted(5, 1.0), witness)
    assert witness.failures == [(0, "a", "no")] * TRIES
    assert not done["a"]
    assert len(done["b"]) == 5


async def test_what_nobody_foresaw_ends_it() -> None:
    async def breaks(count: int) -> Run:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await rounds([trial("a", breaks)], Wanted(1, 1.0, 10), Witness())


@pytest.mark.parametrize(
    ("rate", "seconds", "most", "count"),
    [(1000.4, 6.0, None, 6002), (1.0, 6.0, None, FEWEST), (1e6, 6.0, 59_999, 59_999), (0.0, 1.0, None, FEWEST)],
)
def test_messages_of_a_run(rate: float, seconds: float, most: int | None, count: int) -> None:
    assert counted(rate, seconds, most) == count


def test_a_ratio_is_taken_round_by_round() -> None:
    ours, theirs = {1: 100.0, 2: 10.0, 3: 100.0, 4: 5.0}, {1: 50.0, 2: 5.0, 3: 25.0, 5: 1.0}
    assert ratio(ours, theirs) == Spread(2.0, 2.0, 4.0)  # medians by themselves would say 55 / 25
    assert ratio(ours, {}) is None


def test_a_spread() -> None:
    spread = Spread.of([3.0, 1.0, 20.0])
    assert spread == Spread(3.0, 1.0, 20.0)
    assert spread.shown(".1f") == "3.0 (1.0–20.0)"
    assert Spread(5, 5, 5).shown(".0f") == "5"
    assert Spread.of([]) is None


def test_a_cell_says_what_is_sent() -> None:
    assert str(Cell(4096, 20)) == "4 KiB, 20 sessions, connections reused"
    assert str(Cell(100, 1, False, 10**6)) == (
        "100 octets, 1 sessions, a connection for each message, 1,000,000 messages waiting"
    )


def test_quantiles_are_nearest_ranks() -> None:
    times = [float(number) for number in range(1, 1001)]
    assert [quantile(times, share) for share in (0.5, 0.99, 0.999, 1.0)] == [500, 990, 999, 1000]
    assert quantile([7.0], 0.01) == 7.0


def test_messages_start_at_random_moments_that_are_the_same_for_all() -> None:
    found = list(moments(1000.0, 10.0))
    assert found == sorted(found) == list(moments(1000.0, 10.0))
    assert found[0] > 0
    assert found[-1] < 10
    assert 9500 < len(found) < 10_500
    gaps = sorted(later - sooner for sooner, later in pairwise(found))
    assert quantile(gaps, 0.5) < 0.001 * 0.8  # the median of an exponential distribution is ln 2 of its mean
