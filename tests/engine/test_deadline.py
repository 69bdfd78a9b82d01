"""Deadlines: moved often, passed seldom, and never late."""

import math

import trio
import trio.testing

from engine.deadline import Deadline, Rest, Watch


async def over_after(watch: Watch, *allowed: tuple[float, float]) -> float:
    """When the block ended. ``allowed``: at which second how many seconds are given."""
    began = trio.current_time()
    deadline = Deadline(watch)
    with deadline:
        for at, seconds in allowed:
            await trio.sleep_until(began + at)
            deadline.allow(seconds)
        await trio.sleep_forever()
    return trio.current_time() - began


async def test_the_time_that_was_allowed_last_counts(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    watch = Watch()
    nursery.start_soon(watch.run)
    for _ in range(2):
        assert await over_after(watch, (0, 10)) == 10
        assert await over_after(watch, (0, 10), (9, 10), (18, 10)) == 28
        assert await over_after(watch, (0, 600), (300, 5)) == 305
        assert await over_after(watch, (0, 5), (4, math.inf), (100, 1)) == 101


async def test_each_has_its_own_time(autojump_clock: trio.testing.MockClock, nursery: trio.Nursery) -> None:
    watch = Watch()
    nursery.start_soon(watch.run)
    ended: dict[float, float] = {}

    async def one(seconds: float) -> None:
        ended[seconds] = await over_after(watch, (0, seconds))

    async with trio.open_nursery() as beside:
        for seconds in (600.0, 5.0, 120.0, 5.5):
            beside.start_soon(one, seconds)
    assert ended == {5.0: 5, 5.5: 5.5, 120.0: 120, 600.0: 600}


async def test_no_time_is_given_beyond_the_latest(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    watch = Watch()
    nursery.start_soon(watch.run)
    latest = trio.current_time() + 25
    deadline = Deadline(watch)
    with deadline:
        for _ in range(10):
            deadline.allow(10, latest)
            await trio.sleep(9)
    assert deadline.cut_off
    assert trio.current_time() == latest


async def test_what_ends_in_time_is_not_touched(autojump_clock: trio.testing.MockClock, nursery: trio.Nursery) -> None:
    watch = Watch()
    nursery.start_soon(watch.run)
    deadline = Deadline(watch)
    with deadline:
        deadline.allow(10)
    await trio.sleep(20)
    assert not deadline.cut_off
    with deadline:  # a block without a time of its own has all the time there is
        await trio.sleep(1000)
    assert not watch.running


async def test_a_rest_ends_by_its_time_or_when_it_is_woken(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    watch = Watch()
    nursery.start_soon(watch.run)
    rest = Rest(watch)

    async def slept(seconds: float, woken_after: float) -> float:
        began = trio.current_time()
        async with trio.open_nursery() as beside:

            async def wake() -> None:
                await trio.sleep(woken_after)
                rest.wake()

            beside.start_soon(wake)
            await rest.sleep(seconds)
            beside.cancel_scope.cancel()
        return trio.current_time() - began

    assert await slept(3, math.inf) == 3
    assert await slept(30, 2) == 2
    rest.wake()  # nobody sleeps: that is not remembered
    assert await slept(3, math.inf) == 3
    assert not watch.running


async def test_a_rest_that_is_cancelled_is_over(autojump_clock: trio.testing.MockClock, nursery: trio.Nursery) -> None:
    watch = Watch()
    nursery.start_soon(watch.run)
    rest = Rest(watch)
    with trio.move_on_after(1):
        await rest.sleep(10)
    rest.wake()
    assert not watch.running
