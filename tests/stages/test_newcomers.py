"""How long a reply to an error waits, how many sessions do at once, and who waits for the greeting."""

import trio
import trio.testing

from stages.accept.newcomers import Newcomers, Tarpit


async def seconds(pit: Tarpit, errors: int) -> float:
    began = trio.current_time()
    await pit.hold(errors)
    return trio.current_time() - began


async def test_each_error_waits_twice_as_long_as_the_last(autojump_clock: trio.testing.MockClock) -> None:
    pit = Tarpit(20, 5, 1)
    assert [await seconds(pit, errors) for errors in (6, 7, 8, 9, 10, 11, 5000)] == [1, 2, 4, 8, 16, 20, 20]


async def test_who_finds_no_place_is_answered_at_once(autojump_clock: trio.testing.MockClock) -> None:
    pit = Tarpit(20, 0, 2)
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(pit.hold, 10)
        await trio.testing.wait_all_tasks_blocked()
        assert await seconds(pit, 10) == 0
        nursery.cancel_scope.cancel()  # clients that hang up leave their places
    assert await seconds(pit, 10) == 20


async def test_a_client_waits_for_the_greeting_once_a_day(autojump_clock: trio.testing.MockClock) -> None:
    newcomers = Newcomers(4)
    assert newcomers.delay("192.0.2.1") == 4
    newcomers.has_waited("192.0.2.1")
    assert (newcomers.delay("192.0.2.1"), newcomers.delay("192.0.2.2")) == (0, 4)
    await trio.sleep(86_400)
    assert newcomers.delay("192.0.2.1") == 4
    assert Newcomers(0).delay("192.0.2.1") == 0
