"""How it stands with a shard: what is told of it, from counts that nobody has to make."""

import dataclasses

import pytest
import trio.testing

from engine import Defer, Quarantine, Size
from engine.message import PARK
from engine.queue.standing import _LOOK, Standing
from tests.support.messages import message
from tests.support.post import SETTINGS, Open, Post


def counted(standing: Standing) -> dict[str, float]:
    """Messages by state, without those of which there are none."""
    return {labels[1]: number for labels, number in standing.messages() if number}


def oldest(standing: Standing) -> float:
    [(labels, age)] = standing.oldest()
    assert labels == ("0",)
    return age


@pytest.fixture
def standing(post: Post) -> Standing:
    return Standing(post.owner)


async def test_an_empty_shard(standing: Standing):
    assert counted(standing) == {}
    assert {labels for labels, _ in standing.messages()} == {
        ("0", state) for state in ("away", "line", "waiting", "held", "quarantined")
    }
    assert oldest(standing) == 0


async def test_what_is_on_its_way_and_what_waits_for_its_time(post: Post, standing: Standing):
    await post.admit(*(message() for _ in range(3)))
    assert counted(standing) == {"away": 3}
    await post.settle(post.given[0], Defer("later", retry_after=60))
    assert counted(standing) == {"away": 2, "waiting": 1}
    await post.settle(post.given[1], Quarantine("as it wished"))
    assert counted(standing) == {"away": 1, "waiting": 1, "quarantined": 1}


async def test_what_has_no_place_waits(opened: Open):
    post = opened(dataclasses.replace(SETTINGS, in_flight=0))
    await post.admit(*(message() for _ in range(5)))
    assert counted(Standing(post.owner)) == {"waiting": 5}


async def test_what_stands_in_a_line(opened: Open):
    post = opened()
    await trio.testing.wait_all_tasks_blocked()
    standing = Standing(post.owner)
    await post.admit(*(message("b@far.test") for _ in range(4)))
    for delivery in list(post.given):
        await post.settle(delivery, Defer("no connection", unreached=True, retry_after=600))
    assert counted(standing) == {"line": 4}
    await post.admit(message("c@near.test"))
    assert counted(standing) == {"line": 4, "away": 1}


async def test_the_age_is_that_of_the_oldest_which_is_not_parked(post: Post, standing: Standing):
    now = post.clock.now
    parked = [message(arrived=now - 500).with_fact(PARK, "as it wished") for _ in range(3)]
    await post.admit(*parked)
    assert oldest(standing) == 0
    await post.admit(message(arrived=now - 70))
    assert oldest(standing) == 70
    post.clock.now += 30
    assert oldest(standing) == 100
    await post.owner.parked.release(parked[0].id, ())
    await post.settled()
    assert oldest(standing) == 530


async def test_many_that_are_parked_are_gone_past_little_by_little(post: Post, standing: Standing):
    now = post.clock.now
    await post.admit(*(message(arrived=now - 5).with_fact(PARK, "spam") for _ in range(2 * _LOOK + 10)))
    await post.admit(message(arrived=now - 3))
    assert [oldest(standing) for _ in range(4)] == [0, 0, 3, 3]


async def test_a_full_disk(opened: Open):
    assert opened(run=False).owner.has_room()
    full = opened(dataclasses.replace(SETTINGS, reserve=Size(2**60)), run=False)
    assert not full.owner.has_room()
    assert full.owner.unwritten == 0
