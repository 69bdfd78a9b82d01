"""What was away when the owner died: suspected, tried alone, parked at last; nobody is suspected without a reason."""

import os
import stat
from pathlib import Path

import pytest
import trio
import trio.testing

from engine import Defer, Delivered, MessageId
from engine.queue.away import RECENT, Away
from engine.queue.owner import DEATHS, SUSPECT, Delivery, Owner
from engine.queue.store import QUARANTINED, WAITING, Shard
from tests.support.messages import message
from tests.support.post import SETTINGS, Clock, Open, Post


def test_what_was_given_out_is_left_behind_by_who_dies(tmp_path: Path) -> None:
    first, second = MessageId.new(), MessageId.new()
    before = Away(tmp_path / "away")
    place = before.note(first)
    before.note(second)
    before.forget(place)
    assert Away(tmp_path / "away").left_behind == [second]
    assert Away(tmp_path / "away").left_behind == []


def test_nothing_is_after_an_orderly_end(tmp_path: Path) -> None:
    before = Away(tmp_path / "away")
    before.note(MessageId.new())
    before.close()
    assert Away(tmp_path / "away").left_behind == []


def test_places_are_used_again(tmp_path: Path) -> None:
    away = Away(tmp_path / "away")
    size = (tmp_path / "away").stat().st_size
    for _ in range(3):
        for place in [away.note(MessageId.new()) for _ in range(100)]:
            away.forget(place)
    kept = MessageId.new()
    away.note(kept)
    assert (tmp_path / "away").stat().st_size == size
    assert Away(tmp_path / "away").left_behind == [kept]


def test_what_finds_no_place_is_not_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.queue.away.PLACES", 3)
    away = Away(tmp_path / "away")
    for _ in range(2):  # all places are taken, and used again
        several = [MessageId.new() for _ in range(4)]
        places = [away.note(identity) for identity in several]
        assert (all(places[:3]), places[3]) == (True, 0)
        away.forget(places[3])
        assert sorted(Away(tmp_path / "away").left_behind) == sorted(several[:3])
        for place in places:
            away.forget(place)


def test_the_notes_are_private_and_leave_no_descriptor_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    away = Away(tmp_path / "away")
    away.close()
    assert len(os.listdir("/proc/self/fd")) == before
    assert stat.S_IMODE((tmp_path / "away").stat().st_mode) == 0o600


def test_what_has_been_away_for_long_is_no_reason(tmp_path: Path) -> None:
    clock = Clock()
    before = Away(tmp_path / "away", clock)
    before.note(MessageId.new())
    clock.now += 1
    several = [MessageId.new(), MessageId.new()]
    before.note(several[0])
    clock.now += RECENT
    before.note(several[1])
    assert Away(tmp_path / "away", clock).left_behind == several


def test_a_new_start_of_the_machine_suspects_nobody(tmp_path: Path, monkeypatch) -> None:
    Away(tmp_path / "away").note(MessageId.new())
    monkeypatch.setattr("engine.queue.away.this_boot", lambda: b"0123456789abcdef")
    assert Away(tmp_path / "away").left_behind == []


async def dead(opened: Open) -> Post:
    """An owner after one that has died with all that it had given out."""
    post = opened()
    await trio.testing.wait_all_tasks_blocked()
    return post


async def test_a_message_with_which_owners_die_goes_alone_and_is_parked(opened: Open, shard: Shard, reports) -> None:
    post = await dead(opened)
    several = [message() for _ in range(5)]
    await post.admit(*several)
    for deaths in range(1, DEATHS):
        post = await dead(opened)
        assert [record.deaths for record in shard.all_records()] == [deaths] * 5
        assert len(post.owner.away) == (5 if deaths < SUSPECT else 1)
    other = message()
    await post.admit(other)
    assert post.ids[-1] == other.id  # those who are not suspected do not wait for those who are
    [suspect] = [delivery for delivery in post.owner.away.values() if delivery.record.id != other.id]
    post = await dead(opened)
    [reason] = [record.reason for record in shard.all_records() if record.state == QUARANTINED]
    assert reason.startswith("3 mail workers died with this message")
    states = {record.id: record.state for record in shard.all_records()}
    assert states == {one.id: WAITING for one in (*several, other)} | {suspect.record.id: QUARANTINED}
    while post.owner.away:
        await post.settle(next(iter(post.owner.away.values())), Delivered())
    assert [record.id for record in shard.all_records()] == [suspect.record.id]


async def test_who_has_come_back_is_suspected_no_more(opened: Open, shard: Shard) -> None:
    post = await dead(opened)
    await post.admit(message())
    post = await dead(opened)
    await post.settle(post.given[0], Defer("later", retry_after=100))
    assert [record.deaths for record in shard.all_records()] == [0]
    await dead(opened)
    assert [record.deaths for record in shard.all_records()] == [0]


async def test_nobody_is_suspected_after_an_orderly_end(
    opened: Open, shard: Shard, clock: Clock, nursery: trio.Nursery
) -> None:
    given: list[Delivery] = []
    owner = Owner(shard, SETTINGS, "mx.test", given.append, clock=clock)
    nursery.start_soon(owner.run)
    await Post(owner, given, clock).admit(message())
    owner.close()
    post = await dead(opened)
    assert len(given) == len(post.given) == 1
    assert [record.deaths for record in shard.all_records()] == [0]


async def test_who_cannot_be_suspected_for_want_of_room_is_given_out(
    opened: Open, shard: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    post = await dead(opened)
    await post.admit(message())
    with monkeypatch.context() as patch:
        patch.setattr(shard, "replace", full)
        post = await dead(opened)
    assert len(post.given) == 1
    assert [record.deaths for record in shard.all_records()] == [0]
