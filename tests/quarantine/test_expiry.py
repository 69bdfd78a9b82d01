"""When parked mail is deleted because it is old, and when it is not."""

from collections.abc import Awaitable, Callable

import trio
import trio.testing

from engine.quarantine.expiry import ROUND, expire
from engine.storage.environment import StorageError

DAY = 86_400.0


class Wall:
    """A clock that goes with the loop's, until it is set."""

    def __init__(self) -> None:
        self.ahead = 1_000_000.0

    def __call__(self) -> float:
        return trio.current_time() + self.ahead


async def rounds(
    count: int, keep: Callable[[], float], wall: Wall, delete: Callable[[float], Awaitable[int]], set_at: int = -1
) -> None:
    """Let so many hours pass; in the hour ``set_at`` the clock is set ahead by a year."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(expire, delete, keep, wall)
        for hour in range(count):
            await trio.sleep(ROUND / 2)
            if hour == set_at:
                wall.ahead += 365 * DAY
            await trio.sleep(ROUND / 2 + 0.01)
        nursery.cancel_scope.cancel()


async def test_each_hour_what_is_old_enough_is_deleted(autojump_clock) -> None:
    wall, seen = Wall(), []

    async def delete(before: float) -> int:
        seen.append(round(wall() - before))
        return 0

    await rounds(3, lambda: 30 * DAY, wall, delete)
    assert seen == [30 * DAY] * 3


async def test_a_clock_that_jumps_ahead_deletes_nothing(autojump_clock) -> None:
    wall, seen = Wall(), []

    async def delete(before: float) -> int:
        seen.append(before)
        return 0

    await rounds(1, lambda: 30 * DAY, wall, delete, set_at=0)
    assert seen == []
    await rounds(2, lambda: 30 * DAY, wall, delete, set_at=0)  # it stays ahead: then it is believed
    assert len(seen) == 1


async def test_for_ever_and_trouble(autojump_clock, capfd) -> None:
    async def delete(before: float) -> int:
        raise StorageError("the disk is full")

    await rounds(2, lambda: 0.0, Wall(), delete)
    assert "expiry-failed" not in capfd.readouterr().err
    await rounds(2, lambda: DAY, Wall(), delete)
    assert capfd.readouterr().err.count("the disk is full") == 2
