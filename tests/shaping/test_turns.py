"""Turns: who waits for one sleeps until it comes, and is woken by what makes it come sooner, or never."""

from collections import deque
from collections.abc import Callable

import pytest
import trio
import trio.testing

from engine import Rate
from engine.outbound.session import NoTurn
from engine.outbound.turns import Turns
from engine.shaping.shape import UNSHAPED, Shape
from engine.shaping.shaping import Shaping
from engine.shaping.valve import Valve
from tests.support.virtual import job_of, letter

FOUR = Shape(messages=(Rate("1/4s"),))


def turns_of(shape: Shape) -> Turns:
    """One message has left, and two wait."""
    valve = Shaping().valve("mx.example.net/")
    valve.use(shape, 5)
    turns = Turns(deque(job_of(letter()) for _ in range(3)), valve)
    first = turns._queue.popleft()
    assert turns.take(first)
    return turns


async def waited(turns: Turns, meanwhile: Callable[[], None] = lambda: None) -> float:
    """Seconds until one has its turn, if something happens after one of them."""
    began = trio.current_time()

    async def later() -> None:
        await trio.sleep(1.0)
        meanwhile()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(later)
        assert await turns.wait_for_one(60.0)
        took = trio.current_time() - began
        nursery.cancel_scope.cancel()
    return took


async def test_a_turn_is_slept_for(autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []
    wait = Valve.wait

    def counted(valve: Valve, now: float, recipients: int = 1) -> float:
        looks.append(now)
        return wait(valve, now, recipients)

    monkeypatch.setattr(Valve, "wait", counted)
    turns = turns_of(FOUR)
    assert 4.0 <= await waited(turns) < 4.05
    assert len(set(looks)) <= 3, "when it begins, and when it is time"
    assert turns.take(turns._queue.popleft())


async def test_other_rules_wake_who_waits(autojump_clock: trio.testing.MockClock) -> None:
    turns = turns_of(FOUR)
    assert await waited(turns, lambda: turns.valve.use(UNSHAPED, 5)) == pytest.approx(1.0)


async def test_a_site_that_takes_mail_again_wakes_who_waits(autojump_clock: trio.testing.MockClock) -> None:
    turns = turns_of(UNSHAPED)
    valve, now = turns.valve, trio.current_time()
    for _ in range(2):  # a pause of two seconds
        valve.heard(421, "4.7.0", "Too many messages", sent=trio.current_time(), now=trio.current_time(), first=True)
    assert turns.wait() > 1.0
    before = turns.wait()

    def taken() -> None:
        valve.heard(250, "2.0.0", "Ok", sent=now + 0.5, now=trio.current_time(), first=True)

    assert 1.0 <= await waited(turns, taken) < before


async def test_what_goes_back_to_the_disk_is_waited_for_no_more(autojump_clock: trio.testing.MockClock) -> None:
    turns = turns_of(FOUR)
    jobs = list(turns._queue)
    assert await waited(turns, turns.close) == pytest.approx(1.0)
    assert not turns._queue
    assert all(isinstance(job.trouble, NoTurn) for job in jobs)


async def test_a_message_for_many_that_has_no_turn_soon_is_not_waited_for_on_a_connection(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """What is behind it neither: it would take the places that the first one waits for."""
    turns = turns_of(Shape(recipients=(Rate("50/1h"),)))
    many, few = job_of(letter(50)), job_of(letter())
    turns._queue.clear()
    turns._queue.extend([many, few])
    assert await waited(turns) == 0.0
    assert isinstance(many.trouble, NoTurn)
    assert isinstance(few.trouble, NoTurn)
    await trio.sleep(1.0)  # after which it counts anew how many may wait
    assert not turns.admits(job_of(letter(50)))
    assert turns.admits(job_of(letter(49)))


async def test_what_has_no_turn_soon_goes_back_at_once(autojump_clock: trio.testing.MockClock) -> None:
    turns = turns_of(Shape(messages=(Rate("1/1h"),)))
    assert await waited(turns) == 0.0
    assert not turns._queue
