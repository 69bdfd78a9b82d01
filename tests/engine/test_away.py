"""What was away when the owner died: suspected, tried alone, parked at last; nobody is suspected without a reason."""

from pathlib import Path

import pytest
import trio.testing

from engine import Defer, Delivered, MessageId
from engine.queue.away import RECENT, Away
from engine.queue.owner import DEATHS, SUSPECT
from engine.queue.store import QUARANTINED, WAITING, Shard
from tests.support.messages import message
from tests.support.post import Clock, Open, Post


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


def test_what_has_been_away_for_long_is_no_reason(tmp_path: Path) -> None:
    clock = Clock()
    before = Away(tmp_path / "away", clock)
    before.note(MessageId.new())
    clock.now += RECENT + 1
    last = MessageId.new()
    before.note(last)
    assert Away(tmp_path / "away", clock).left_behind == [last]


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
