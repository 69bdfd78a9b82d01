"""A guard: what it lets through, and when it lets nothing through."""

from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from engine.scanning import Guard, Unreachable


class Server:
    """Answers, or does not, as it is told."""

    def __init__(self) -> None:
        self.asked = 0
        self.at_once = 0
        self.most_at_once = 0
        self.answers: Callable[[], Awaitable[str]] = self.at_once_yes

    async def __call__(self) -> str:
        self.asked += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return await self.answers()
        finally:
            self.at_once -= 1

    async def at_once_yes(self) -> str:
        return "yes"

    async def later(self) -> str:
        await trio.sleep(1)
        return "later"

    async def never(self) -> str:
        await trio.sleep_forever()
        raise AssertionError

    async def refuses(self) -> str:
        raise Unreachable("connection refused")


@pytest.fixture
def server() -> Server:
    return Server()


def guard(**given: float) -> Guard:
    return Guard("rspamd", **{"time_limit": 10, "at_once": 4, "failures": 2, "pause": 5, **given})  # type: ignore[arg-type]


async def failing(one: Guard, server: Server, times: int) -> list[str]:
    said = []
    for _ in range(times):
        with pytest.raises(Unreachable) as error:
            await one.call(server)
        said.append(str(error.value))
    return said


async def test_an_answer_comes_back(server: Server, autojump_clock: trio.testing.MockClock) -> None:
    assert await guard().call(server) == "yes"


async def test_what_takes_too_long_is_given_up(server: Server, autojump_clock: trio.testing.MockClock) -> None:
    server.answers = server.never
    began = trio.current_time()
    assert await failing(guard(), server, 1) == ["rspamd: no answer within 10 s"]
    assert trio.current_time() - began == 10
    assert server.at_once == 0


async def test_a_dead_server_is_asked_once_in_a_while(server: Server, autojump_clock: trio.testing.MockClock) -> None:
    server.answers = server.refuses
    one = guard()
    said = await failing(one, server, 1000)
    assert server.asked == 2
    assert said[-1] == "rspamd is left alone for a while: connection refused"
    await trio.sleep(5)
    await failing(one, server, 1000)
    assert server.asked == 3


async def test_a_server_that_is_back_is_asked_again(server: Server, autojump_clock: trio.testing.MockClock) -> None:
    server.answers = server.refuses
    one = guard()
    await failing(one, server, 3)
    await trio.sleep(5)
    server.answers = server.at_once_yes
    assert await one.call(server) == "yes"
    server.answers = server.refuses
    await failing(one, server, 1)
    server.answers = server.at_once_yes
    assert await one.call(server) == "yes", "one failure is no reason for a pause"


async def test_one_call_tries_while_the_others_are_told_no(
    server: Server, autojump_clock: trio.testing.MockClock
) -> None:
    server.answers = server.refuses
    one = guard()
    await failing(one, server, 2)
    await trio.sleep(5)
    server.answers = server.later
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.call, server)
        await trio.testing.wait_all_tasks_blocked()
        await failing(one, server, 10)
    assert server.asked == 3
    assert await one.call(server) == "later"


async def test_a_try_that_is_cancelled_leaves_the_way_free(
    server: Server, autojump_clock: trio.testing.MockClock
) -> None:
    server.answers = server.refuses
    one = guard()
    await failing(one, server, 2)
    await trio.sleep(5)
    server.answers = server.never
    with trio.move_on_after(1):
        await one.call(server)
    server.answers = server.at_once_yes
    assert await one.call(server) == "yes"


async def test_so_many_at_once(server: Server, autojump_clock: trio.testing.MockClock) -> None:
    server.answers = server.later
    one = guard()
    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(one.call, server)
    assert (server.asked, server.most_at_once) == (20, 4)


async def test_a_server_that_is_only_busy_is_not_left_alone(
    server: Server, autojump_clock: trio.testing.MockClock
) -> None:
    server.answers = server.later
    one = guard(time_limit=1.5)
    said: list[str] = []

    async def ask() -> None:
        try:
            said.append(await one.call(server))
        except Unreachable as error:
            said.append(str(error))

    async with trio.open_nursery() as nursery:
        for _ in range(12):
            nursery.start_soon(ask)
    busy = "rspamd is busy: no place within 1.5 s"
    assert (said.count("later"), said.count(busy)) == (8, 4)
    assert await one.call(server) == "later"
