"""What an operator has done with mail in the queue: each order by itself, and many of them beside a plain model."""

import dataclasses
import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import trio
from msgspec.structs import replace

from engine import Defer, MessageId, Quarantine, Recipient
from engine.message import NEXT_HOP, Octets
from engine.protocols.timing import Timing
from engine.queue.content import FileContent
from engine.queue.orders import MEANT, Order, Orders, Word
from engine.queue.owner import Owner
from engine.queue.store import HELD, QUARANTINED, WAITING, Record, Shard, content_folder
from engine.queue.verify import Verification
from engine.storage.batch import committed
from tests.support.messages import message
from tests.support.post import MAP_SIZE, SETTINGS, Clock, Post, standing

NOW = 1000.0
LATER = Defer("not now", "4.2.0", retry_after=600)
SILENT = Defer("no answer", "4.4.1", retry_after=600, unreached=True, expires=NOW + 3000)


async def ordered(post: Post, order: Order, *identities: MessageId, **how: Any) -> int:
    done = await Orders(post.owner).give(Word(order, **how), identities)
    await post.settled()
    return done


def record_of(shard: Shard, identity: MessageId) -> Record:
    (record,) = shard.records([identity])
    return record


def sound(shard: Shard) -> bool:
    return list(Verification(shard).problems()) == []


async def put_off(post: Post, *to: str, **about: Any) -> MessageId:
    """A message that waits for its next attempt."""
    await post.admit(message(*to, arrived=NOW, **about))
    await post.settle(post.given[-1], LATER)
    return post.ids[-1]


async def parked(post: Post) -> MessageId:
    await post.admit(message(arrived=NOW))
    await post.settle(post.given[-1], Quarantine("odd"))
    return post.ids[-1]


async def test_what_is_held_waits_until_it_is_released(post: Post, shard: Shard, mock_clock) -> None:
    one = await put_off(post)
    before = record_of(shard, one)
    assert await ordered(post, "hold", one, MessageId.new()) == 1
    held = record_of(shard, one)
    assert (held.state, held.due, held.reason, held.decided) == (HELD, before.due, before.reason, NOW)
    assert sound(shard)
    assert shard.held_from(b"", 9)[0] == [one]
    assert await ordered(post, "hold", one) == 0
    assert await ordered(post, "retry", one) == 0
    await post.until(NOW + 60)
    assert await ordered(post, "release", one) == 1
    assert record_of(shard, one) == replace(before, decided=NOW + 60)
    assert sound(shard)
    await post.until(NOW + 601)
    assert post.ids == [one, one]


async def test_what_is_owed_meanwhile_goes_out_when_it_is_released(post: Post, mock_clock) -> None:
    one = await put_off(post)
    await ordered(post, "hold", one)
    await post.until(NOW + 5000)
    assert post.ids == [one]
    await ordered(post, "release", one)
    assert post.ids == [one, one]


async def test_who_stood_in_line_stands_there_again(post: Post, shard: Shard, mock_clock) -> None:
    first = message("c@dead.test", arrived=NOW)
    others = [message("c@dead.test", arrived=NOW, identity=MessageId.new(NOW + number)) for number in (1, 2)]
    await post.admit(first)
    await post.settle(post.given[0], SILENT)
    await post.admit(*others)
    await ordered(post, "hold", others[0].id)
    held = record_of(shard, others[0].id)
    assert (held.state, held.line, held.back) == (HELD, "", "dead.test")
    assert standing(shard, "dead.test") == [first.id, others[1].id]
    assert sound(shard)
    await ordered(post, "release", others[0].id)
    assert standing(shard, "dead.test") == [first.id, others[0].id, others[1].id]
    assert len(post.given) == 1
    assert sound(shard)
    await post.until(NOW + 601)
    assert post.ids == [first.id, first.id]


async def test_a_line_that_is_over_is_opened_again(post: Post, shard: Shard, mock_clock) -> None:
    one = message("c@dead.test", arrived=NOW)
    await post.admit(one)
    await post.settle(post.given[0], SILENT)
    await ordered(post, "hold", one.id)
    await post.until(NOW + 700)
    assert shard.turn("dead.test") is None
    await ordered(post, "release", one.id)
    await post.wait(1)
    assert post.ids == [one.id, one.id]
    assert sound(shard)


async def test_what_is_held_is_held_over_a_restart(data: Path, clock: Clock) -> None:
    for life in range(2):
        shard = Shard(data, 7, map_size=MAP_SIZE)
        given: list[Any] = []
        owner = Owner(shard, SETTINGS, "mx.test", given.append, clock=clock)
        post = Post(owner, given, clock)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(owner.run)
            if life == 0:
                one = await put_off(post)
                await ordered(post, "hold", one)
                clock.now += 10_000
            else:
                await post.settled()
                assert given == []
                assert await ordered(post, "release", one) == 1
                assert post.ids == [one]
            nursery.cancel_scope.cancel()
        owner.close()
        shard.close()


async def test_what_is_parked_goes_on(post: Post, shard: Shard) -> None:
    one = await parked(post)
    assert await ordered(post, "release", one) == 1
    assert post.ids == [one, one]


@pytest.mark.parametrize("in_file", [False, True])
async def test_what_is_deleted_is_gone_whatever_it_was(post: Post, shard: Shard, data: Path, *, in_file: bool) -> None:
    file = content_folder(data) / "large"
    content: Any = Octets(b"Subject: x\r\n\r\n")
    if in_file:
        identity = MessageId.new(NOW)
        file = content_folder(data) / str(identity)
        file.write_bytes(content)
        content = FileContent(file, len(content))
    else:
        identity = MessageId.new(NOW)
    waits = await put_off(post, content=content, identity=identity)
    held, odd = await put_off(post), await parked(post)
    await ordered(post, "hold", held)
    assert await ordered(post, "delete", waits, held, odd) == 3
    assert list(shard.all_records()) == []
    assert not file.exists()
    assert sound(shard)


async def test_lines_that_nothing_holds_any_more_leave_at_once(post: Post, shard: Shard, mock_clock) -> None:
    held = [Defer("suspended", "4.3.2", retry_after=30, line=line) for line in ("mx.a.test/out", "mx.b.test/out")]
    for domain, verdict in zip(("a.test", "b.test"), held, strict=True):
        await post.admit(message(f"c@{domain}", arrived=NOW))
        await post.settle(post.given[-1], verdict)
    seen = []

    def is_of_b(line: str, domain: str) -> bool:
        seen.append((line, domain))
        return domain == "b.test"

    assert await Orders(post.owner).let_go(is_of_b) == 1
    await post.settled()
    assert sorted(seen) == [("mx.a.test/out", "a.test"), ("mx.b.test/out", "b.test")]
    assert post.ids == [post.ids[0], post.ids[1], post.ids[1]]
    assert shard.turn("mx.a.test/out") == NOW + 30
    assert sound(shard)


async def test_what_is_returned_says_why(post: Post, shard: Shard) -> None:
    waits, held, odd = await put_off(post), await put_off(post), await parked(post)
    await ordered(post, "hold", held)
    assert await ordered(post, "bounce", waits, held, odd, text="We do not take this", code="5.7.27") == 3
    reports = [b"".join(delivery.message.chunks()) for delivery in post.given[3:]]
    assert len(reports) == 3
    for report in reports:
        assert b"We do not take this" in report
        assert b"Status: 5.7.27" in report
    assert all(record.envelope.sender == "" for record in shard.all_records())
    assert sound(shard)


async def test_what_is_held_can_be_given_up(post: Post, shard: Shard) -> None:
    held, odd = await put_off(post), await parked(post)
    await ordered(post, "hold", held)
    assert await ordered(post, "expire", held, odd) == 1
    assert b"Status: 5.4.7" in b"".join(post.given[-1].message.chunks())
    assert record_of(shard, odd).state == QUARANTINED


async def test_another_way_is_tried_at_once(post: Post, shard: Shard) -> None:
    await post.admit(message(arrived=NOW))
    (delivery,) = post.given
    with_lane = (Recipient("b@rcpt.test", lane="remote"),)
    delivery.record = replace(delivery.record, envelope=replace(delivery.record.envelope, recipients=with_lane))
    delivery.sites["b@rcpt.test"] = "mx.rcpt.test"
    await post.settle(delivery, LATER)
    one = post.ids[0]
    assert record_of(shard, one).sites == ("mx.rcpt.test",)
    assert await ordered(post, "reroute", one, lane="other", to_site="mx.else.test:26") == 1
    new = post.given[1].record
    assert (new.lane, new.envelope.recipients, new.sites) == ("other", (Recipient("b@rcpt.test"),), ())
    assert new.envelope.facts[NEXT_HOP] == "mx.else.test:26"
    await post.settle(post.given[1], LATER)
    await ordered(post, "reroute", one, to_site="")
    assert (post.given[2].record.lane, NEXT_HOP in post.given[2].record.envelope.facts) == ("other", False)


async def test_another_way_for_what_is_held_keeps_it_held(post: Post, shard: Shard) -> None:
    one = await put_off(post)
    await ordered(post, "hold", one)
    await ordered(post, "reroute", one, lane="other")
    assert (record_of(shard, one).state, record_of(shard, one).lane) == (HELD, "other")
    assert len(post.given) == 1
    await ordered(post, "release", one)
    assert post.given[1].record.lane == "other"


async def test_what_its_sender_has_held_goes_another_way_at_its_time(post: Post, shard: Shard) -> None:
    one = message(arrived=NOW)
    one = replace(one, envelope=replace(one.envelope, timing=Timing(release=NOW + 7200)))
    await post.admit(one)
    assert await ordered(post, "reroute", one.id, lane="other") == 1
    assert post.given == []
    assert record_of(shard, one.id).due == NOW + 7200


@pytest.mark.parametrize("order", sorted(MEANT))
async def test_what_is_on_its_way_is_left_alone(post: Post, shard: Shard, order: Order) -> None:
    await post.admit(message(arrived=NOW))
    before = record_of(shard, post.ids[0])
    assert await ordered(post, order, post.ids[0]) == 0
    assert record_of(shard, post.ids[0]) == before


async def test_the_site_of_the_last_attempt_is_remembered(post: Post, shard: Shard, mock_clock) -> None:
    await post.admit(message("a@one.test", "b@two.test", "c@one.test", arrived=NOW))
    post.given[0].sites |= {"a@one.test": "mx.one", "b@two.test": "mx.two", "c@one.test": "mx.one"}
    await post.settle(post.given[0], LATER)
    assert record_of(shard, post.ids[0]).sites == ("mx.one", "mx.two")
    await post.until(NOW + 700)
    await post.settle(post.given[1], LATER)  # this time it did not get so far
    assert record_of(shard, post.ids[0]).sites == ("mx.one", "mx.two")


# -- beside a model

MOVES: Mapping[Order, Mapping[str, str | None]] = {
    "hold": {WAITING: HELD},
    "release": {HELD: WAITING, QUARANTINED: WAITING},
    "reroute": {WAITING: WAITING, HELD: HELD},
    "retry": {WAITING: WAITING},
    "expire": {WAITING: None, HELD: None},
    "bounce": {WAITING: None, HELD: None, QUARANTINED: None},
    "delete": {WAITING: None, HELD: None, QUARANTINED: None},
}


def test_the_model_knows_all_orders() -> None:
    assert {order: set(moves) for order, moves in MOVES.items()} == {order: set(some) for order, some in MEANT.items()}


def made(shard: Shard, dice: random.Random, count: int) -> dict[MessageId, str]:
    """Messages in all states; those that wait by themselves or in one of three lines."""
    states: dict[MessageId, str] = {}
    with committed(shard.environment) as batch:
        for number in range(count):
            state = dice.choice([WAITING, WAITING, WAITING, HELD, QUARANTINED])
            line = dice.choice(["", "dead.test", "tenant/x"])
            about = message("b@dead.test", sender="", arrived=NOW)
            record = Record(
                MessageId.new(NOW + number), about.envelope, "inbound", len(about.content), state=state, due=NOW + 500
            )
            if state == WAITING:
                record = replace(record, line=line)
            elif state == HELD:
                record = replace(record, back=line)
            shard.put_new(batch, record, about.content)
            if record.line:
                shard.ensure_turn(batch, line, NOW + 500, NOW)
            states[record.id] = state
    return states


def after(order: Order, model: Mapping[MessageId, str], chosen: Iterable[MessageId]) -> dict[MessageId, str]:
    """What the model becomes."""
    new = dict(model)
    for identity in chosen:
        if identity in new and new[identity] in MOVES[order]:
            become = MOVES[order][new[identity]]
            if become is None:
                del new[identity]
            else:
                new[identity] = become
    return new


@pytest.mark.parametrize("seed", range(6))
async def test_many_orders_and_restarts_beside_a_model(data: Path, clock: Clock, seed: int) -> None:
    dice = random.Random(seed)
    first = Shard(data, 5, map_size=MAP_SIZE)
    model = made(first, dice, 30)
    everybody = list(model)
    first.close()
    for _ in range(4):  # lives
        shard = Shard(data, 5, map_size=MAP_SIZE)
        owner = Owner(shard, dataclasses.replace(SETTINGS, in_flight=0), "mx.test", lambda _: None, clock=clock)
        owner.drain()
        for _ in range(8):
            order = dice.choice(["hold", "release", "release", "reroute", "retry", "expire", "bounce", "delete"])
            chosen = dice.sample(everybody, 3)
            expected = after(order, model, chosen)  # type: ignore[arg-type]
            done = await Orders(owner).give(Word(order, lane="other"), chosen)  # type: ignore[arg-type]
            await owner.writer.apply(lambda _: None)
            assert done == sum(i in model and model[i] in MOVES[order] for i in chosen)  # type: ignore[index]
            model = expected
            assert {record.id: record.state for record in shard.all_records()} == model
            assert list(Verification(shard).problems()) == []
        if dice.random() < 0.5:
            owner.close()
        else:
            owner.writer.close()  # it has died: its notes are left
        shard.close()
