"""What is thought of a network: by what came from it, for how long, and how many outcomes are written at once."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from engine.abuse import Tables
from engine.abuse.reputation import Reputation, Standing
from tests.support.post import Clock

NET, DAY = "192.0.2.0/24", 86_400.0


@pytest.fixture
def known(tables: Tables, clock: Clock) -> Reputation:
    return Reputation(tables["networks"], 7 * DAY, clock)


async def test_nobody_is_thought_well_or_ill_of_before_something_came(known: Reputation) -> None:
    assert await known.score(NET) == 0
    known.note(NET, bad=1)
    assert await known.score(NET) == 0, "it is not written yet"
    await known.flush()
    assert -0.1 < await known.score(NET) < 0, "one letter says little"
    known.note(NET, bad=89)
    await known.flush()
    assert await known.score(NET) == pytest.approx(-0.9)
    assert await known.score("198.51.100.0/24") == 0


async def test_what_was_bad_is_forgotten(known: Reputation, clock: Clock, tables: Tables) -> None:
    known.note(NET, bad=90)
    await known.flush()
    clock.now += 7 * DAY
    assert await known.score(NET) == pytest.approx(-45 / 55)
    known.note(NET, good=45)
    await known.flush()
    assert await known.score(NET) == pytest.approx(0)
    clock.now += 365 * DAY
    assert tables["networks"].local.entries() == []


async def test_many_networks_are_written_by_few_changes(known: Reputation, tables: Tables) -> None:
    for number in range(450):
        for _ in range(3):
            known.note(f"10.{number // 256}.{number % 256}.0/24", good=1)
    await known.flush()
    assert len(tables["networks"].local.entries()) == 450
    assert await known.score("10.1.100.0/24") == pytest.approx(3 / 13)
    await known.flush()
    assert await known.score("10.1.100.0/24") == pytest.approx(3 / 13)


@given(some.floats(0, 1e9), some.floats(0, 1e9))
def test_a_score_is_from_minus_one_to_one(good: float, bad: float) -> None:
    score = Standing(NET, good, bad).score()
    assert -1 < score < 1 or max(good, bad) > 1e8
    assert (score > 0) == (good > bad) or abs(good - bad) < 1e-6
