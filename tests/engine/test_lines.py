"""Lines: mail for a domain that cannot be reached waits together, and leaves places to all other mail."""

import dataclasses

import pytest
import trio
import trio.testing

from engine import Defer, Delivered, Discard, MessageId, Quarantine, Recipient, Reject
from engine.queue.lines import AHEAD, PACE, PAUSE, VENTURE, domain_of
from engine.queue.store import QUARANTINED, WAITING, Shard
from tests.support.messages import message
from tests.support.post import SETTINGS, Clock, Open, Post, standing

NOW = 1000.0
DEAD, ALIVE = "dead.test", "alive.test"
SILENT = Defer("no answer", "4.4.1", retry_after=1000, unreached=True, expires=NOW + 3000)
LINES = ("lines", "turns", "due", "envelopes", "content")


def mail(domain: str = DEAD, number: int = 0, arrived: float = NOW):
    return message(f"u{number}@{domain}", arrived=arrived, identity=MessageId.new(arrived + number / 1000))


def tried(post: Post) -> list[MessageId]:
    """What was given out, without reports."""
    return [delivery.record.id for delivery in post.given if delivery.record.envelope.sender]


def entries(shard: Shard) -> dict[str, int]:
    """How many entries each database has."""
    with shard.environment.begin() as transaction:
        return {
            name: transaction.stat(shard.environment.open_db(name.encode(), txn=transaction))["entries"]
            for name in LINES
        }


async def silent(post: Post, count: int = 5) -> list[MessageId]:
    """So many messages for a domain that the first one finds silent."""
    first, *others = [mail(number=number) for number in range(count)]
    await post.admit(first)
    await post.settle(post.given[-1], SILENT)
    await post.admit(*others)
    await post.settled()
    return [first.id, *(one.id for one in others)]


async def a_hundred_silent(opened: Open) -> Post:
    """An owner with a hundred places, and a hundred lines of one message that are all owed their turns."""
    post = opened(dataclasses.replace(SETTINGS, in_flight=100))
    await trio.testing.wait_all_tasks_blocked()
    for number in range(100):
        await post.admit(mail(f"d{number}.test"))
        await post.settle(post.given[-1], SILENT)
    await post.until(NOW + 1001)
    return post


@pytest.mark.parametrize(
    ("addresses", "domain"),
    [
        (["a@dead.test"], "dead.test"),
        (["a@Dead.test", '"b@alive.test"@DEAD.test'], "dead.test"),
        (['"b@dead.test"@alive.test', "a@dead.test"], ""),
        (["postmaster"], "postmaster"),
    ],
)
def test_the_domain_of_all_recipients(addresses: list[str], domain: str) -> None:
    assert domain_of([Recipient(address) for address in addresses]) == domain


async def test_mail_for_a_domain_that_was_found_silent_is_not_tried(post: Post, shard: Shard) -> None:
    ids = await silent(post)
    assert post.ids == ids[:1]
    assert standing(shard, DEAD) == ids
    assert shard.turn(DEAD) == NOW + 1000


async def test_mail_for_others_goes_out_meanwhile(post: Post) -> None:
    await silent(post)
    other = mail(ALIVE)
    await post.admit(other)
    assert post.ids[-1] == other.id


@pytest.mark.parametrize("reply", ["", "421 nobody is served"])
async def test_one_goes_ahead_at_the_line_s_turn_and_the_others_stay_when_it_finds_nobody(
    post: Post, shard: Shard, mock_clock, reply: str
) -> None:
    ids = await silent(post)
    await post.until(NOW + 1001)
    assert post.ids == [ids[0], ids[0]]
    await post.settle(post.given[-1], dataclasses.replace(SILENT, retry_after=500, reply=reply))
    assert post.ids == [ids[0], ids[0]]
    assert shard.turn(DEAD) == NOW + 1501
    await post.until(NOW + 1502)
    assert post.ids == [ids[0]] * 3
    assert post.given[-1].record.envelope.attempts == 2


async def test_a_turn_sooner_than_the_owner_looks_again_is_not_late(post: Post, mock_clock) -> None:
    await post.admit(mail())
    await post.settle(post.given[0], dataclasses.replace(SILENT, retry_after=5))
    post.clock.now += 5
    await post.wait(5)
    assert len(post.given) == 2


async def test_all_follow_the_one_that_got_through_and_nothing_is_left(post: Post, shard: Shard, mock_clock) -> None:
    ids = await silent(post, 20)
    await post.until(NOW + 1001)
    assert len(post.owner.away) == 1
    most = 0
    while post.owner.away:
        most = max(most, len(post.owner.away))
        await post.settle(next(iter(post.owner.away.values())), Delivered())
    assert sorted(post.ids) == sorted([ids[0], *ids])
    assert most > 3  # more and more at once
    await post.settled()
    assert entries(shard) == dict.fromkeys(LINES, 0)


@pytest.mark.parametrize(
    "verdict",
    [
        Reject("no such user", "5.1.1", reply="550 5.1.1 no such user"),
        Defer("later", "4.2.2", retry_after=9000, reply="452 4.2.2 full"),
    ],
)
async def test_a_reply_of_whatever_kind_shows_that_the_domain_can_be_reached(
    post: Post, reports: list[str], mock_clock, verdict: Reject | Defer
) -> None:
    ids = await silent(post)
    await post.until(NOW + 1001)
    await post.settle(post.given[-1], verdict)
    assert tried(post) == [ids[0], ids[0], ids[1], ids[2]]


@pytest.mark.parametrize(
    "verdict",
    [
        Reject("too old", "5.4.7"),
        Reject("too old", "5.4.7", reply="451 what it said at the attempt before"),
        Reject("a filter says no"),
        Defer("local trouble", retry_after=9000),
        Discard("a filter again"),
        Quarantine("and again"),
    ],
)
async def test_what_says_nothing_of_the_domain_lets_the_next_one_go_ahead(
    post: Post, reports: list[str], mock_clock, verdict
) -> None:
    ids = await silent(post)
    await post.until(NOW + 1001)
    await post.settle(post.given[-1], verdict)
    assert tried(post) == [ids[0], ids[0], ids[1]]


async def test_one_new_message_is_tried_after_a_pause_though_the_line_has_no_turn(post: Post, clock: Clock) -> None:
    await silent(post)
    clock.now += PAUSE - 1
    await post.admit(mail(number=6, arrived=clock.now))
    assert len(post.ids) == 1
    clock.now += 1
    first, second, third = (mail(number=number, arrived=clock.now) for number in range(3))
    await post.admit(first, second)
    assert post.ids[1:] == [first.id]
    clock.now += VENTURE
    await post.admit(third)
    assert post.ids[1:] == [first.id, third.id]


async def test_who_finds_the_domain_silent_after_others_did_puts_off_no_turn(post: Post, shard: Shard) -> None:
    await post.admit(mail(number=1), mail(number=2))
    await post.settle(post.given[0], SILENT)
    post.clock.now += 10
    await post.settle(post.given[1], SILENT)
    assert shard.turn(DEAD) == NOW + 1000


async def test_who_goes_ahead_is_believed_though_a_new_message_is_out_to_see(
    post: Post, shard: Shard, mock_clock
) -> None:
    await silent(post)
    post.clock.now = NOW + 999
    await post.admit(mail(number=9, arrived=NOW + 999))
    await post.until(NOW + 1001)
    _, venturing, ahead = post.given
    assert (venturing.line, ahead.line is None) == (None, False)
    await post.settle(ahead, SILENT)
    assert shard.turn(DEAD) == NOW + 2001
    assert len(post.given) == 3


async def test_nothing_goes_ahead_before_a_line_that_is_to_rest_does(post: Post) -> None:
    await silent(post)
    post.clock.now = NOW + 900
    await post.admit(mail(number=9, arrived=NOW + 900))
    post.clock.now = NOW + 1001  # its turn has come
    post.given[1].outcomes.append((post.given[1].waiting[0], SILENT))
    post.owner.settle(post.given[1])
    post.owner._fill()  # before it hears that the new turn is stored
    await post.settled()
    assert len(post.given) == 2


async def test_of_too_many_silent_domains_the_one_told_of_longest_ago_is_forgotten(
    post: Post, monkeypatch: pytest.MonkeyPatch, mock_clock
) -> None:
    monkeypatch.setattr("engine.queue.lines.PAUSES", 2)
    await post.admit(mail("d1.test"), mail("d2.test"))
    await post.settle(post.given[0], SILENT)
    await post.settle(post.given[1], dataclasses.replace(SILENT, retry_after=10))
    await post.until(NOW + 11)
    await post.settle(post.given[2], SILENT)  # told of again
    await post.admit(mail("d1.test", 1), mail("d2.test", 1))
    assert len(post.given) == 3
    await post.admit(mail("d3.test"))
    await post.settle(post.given[3], SILENT)
    await post.admit(mail("d1.test", 2), mail("d2.test", 2), mail("d3.test", 2))
    assert [delivery.domain for delivery in post.given[4:]] == ["d1.test"]


async def test_a_new_message_that_gets_through_sets_the_line_in_motion(post: Post, clock: Clock) -> None:
    ids = await silent(post)
    clock.now += PAUSE + 1
    await post.admit(mail(number=9, arrived=clock.now))
    await post.settle(post.given[-1], Delivered())
    assert set(post.ids[2:]) <= set(ids)
    while post.owner.away:
        await post.settle(next(iter(post.owner.away.values())), Delivered())
    assert sorted(post.ids[2:]) == sorted(ids)


async def test_what_stands_in_line_goes_out_when_it_expires(post: Post, shard: Shard, reports: list[str], mock_clock):
    await silent(post, 2)
    await post.until(NOW + 1001)
    await post.settle(post.given[-1], dataclasses.replace(SILENT, retry_after=10_000))
    await post.until(NOW + 3002)
    assert len(post.owner.away) == 2
    for delivery in list(post.owner.away.values()):
        await post.settle(delivery, Reject("too old", "5.4.7"))
    assert len(reports) == 2
    await post.until(NOW + 20_000)
    assert {name: entries(shard)[name] for name in ("lines", "turns")} == {"lines": 0, "turns": 0}


async def test_a_line_whose_turn_lies_in_a_false_future_has_it_soon(post: Post, shard: Shard, mock_clock) -> None:
    post.clock.now += 200_000
    await post.admit(*(mail(number=number, arrived=post.clock.now) for number in range(3)))
    silent = dataclasses.replace(SILENT, expires=post.clock.now + 3000)  # as is its age, by the clock that was ahead
    for delivery in list(post.given):
        await post.settle(delivery, silent)
    assert shard.turn(DEAD) == NOW + 200_000 + 1000
    post.clock.now = NOW
    await post.wait(60)
    assert len(post.given) == 4
    await post.settle(post.given[-1], silent)
    assert {record.due for record in shard.all_records()} == {NOW + 3001, NOW + 203_001}
    assert shard.turn(DEAD) == NOW + 1000


async def test_a_line_whose_turn_lies_in_a_false_future_has_it_after_a_restart(
    post: Post, opened: Open, shard: Shard, mock_clock
) -> None:
    post.clock.now += 200_000
    await post.admit(mail(arrived=post.clock.now))
    await post.settle(post.given[0], dataclasses.replace(SILENT, expires=post.clock.now + 3000))
    post.owner.drain()
    post.clock.now = NOW
    again = opened()
    await again.wait(60)
    assert again.ids == post.ids


async def test_what_stands_in_line_is_not_returned_by_a_jump_of_the_clock(
    post: Post, shard: Shard, reports: list[str], mock_clock
) -> None:
    await silent(post, 2)
    await post.until(NOW + 200_000)
    assert len(post.owner.away) == 2
    for delivery in list(post.owner.away.values()):
        await post.settle(delivery, SILENT)
    assert not reports
    await post.until(NOW + 202_000)
    for delivery in list(post.owner.away.values()):
        await post.settle(delivery, SILENT)
    assert len(reports) == 2


async def test_a_pause_that_began_in_a_false_future_is_over(post: Post, mock_clock) -> None:
    post.clock.now += 200_000
    await post.admit(mail(arrived=post.clock.now))
    await post.settle(post.given[0], dataclasses.replace(SILENT, expires=post.clock.now + 3000))
    post.clock.now = NOW
    await post.admit(mail(number=1))
    assert len(post.given) == 2


async def test_a_deferral_without_an_age_expires_by_the_engine_s_own(post: Post, shard: Shard) -> None:
    await post.admit(mail())
    await post.settle(post.given[-1], Defer("no DNS", "4.4.3", unreached=True))
    (record,) = shard.all_records()
    assert record.line == DEAD
    assert record.due == NOW + SETTINGS.expire + 1
    assert shard.turn(DEAD) == NOW + SETTINGS.retry[0]


async def test_recipients_of_several_domains_wait_for_themselves(post: Post, shard: Shard) -> None:
    await post.admit(message(f"a@{DEAD}", f"b@{ALIVE}"))
    await post.settle(post.given[-1], SILENT)
    (record,) = shard.all_records()
    assert (record.line, record.due) == ("", NOW + 1000)
    assert entries(shard)["lines"] == 0


async def test_who_is_left_of_several_domains_stands_in_line(post: Post, shard: Shard) -> None:
    await post.admit(message(f"a@{DEAD}", f"b@{ALIVE}"))
    await post.settle(post.given[-1], SILENT, Delivered())
    (record,) = shard.all_records()
    assert record.line == DEAD


async def test_a_message_that_is_parked_leaves_the_line(post: Post, shard: Shard, mock_clock) -> None:
    ids = await silent(post, 1)
    await post.until(NOW + 1001)
    await post.settle(post.given[-1], Quarantine("by hand"))
    (record,) = shard.all_records()
    assert (record.id, record.state, record.line) == (ids[0], QUARANTINED, "")
    await post.settled()
    assert entries(shard)["lines"] == entries(shard)["turns"] == 0


async def test_who_is_parked_apart_leaves_the_line_and_who_waits_stays(post: Post, shard: Shard, mock_clock) -> None:
    await post.admit(message(f"a@{DEAD}", f"b@{DEAD}"))
    await post.settle(post.given[-1], SILENT)
    await post.until(NOW + 1001)
    await post.settle(post.given[-1], Quarantine("odd"), SILENT)
    records = {record.state: record for record in shard.all_records()}
    assert (records[QUARANTINED].line, records[QUARANTINED].reason) == ("", "odd")
    assert standing(shard, DEAD) == [records[WAITING].id]


async def test_lines_and_their_turns_outlive_a_restart(post: Post, opened: Open, clock: Clock) -> None:
    ids = await silent(post)
    post.owner.drain()
    clock.now += 1001
    again = opened()
    await trio.testing.wait_all_tasks_blocked()
    assert again.ids == ids[:1]
    while again.owner.away:
        await again.settle(next(iter(again.owner.away.values())), Delivered())
    assert sorted(again.ids) == sorted(ids)


async def test_what_only_waits_for_a_place_goes_out_after_a_restart(opened: Open, shard: Shard) -> None:
    post = opened(dataclasses.replace(SETTINGS, in_flight=2))
    await trio.testing.wait_all_tasks_blocked()
    await post.admit(mail(ALIVE), mail(ALIVE, 1), mail(ALIVE, 2))
    assert (len(post.given), len(standing(shard, ALIVE)), shard.turn(ALIVE)) == (1, 2, NOW)
    post.owner.drain()
    again = opened()
    await trio.testing.wait_all_tasks_blocked()
    while again.owner.away:
        await again.settle(next(iter(again.owner.away.values())), Delivered())
    assert len({*again.ids}) == len(again.ids) == 3


async def test_a_line_whose_turn_is_yet_to_come_rests_after_a_restart(post: Post, opened: Open) -> None:
    await silent(post)
    post.owner.drain()
    again = opened()
    await trio.testing.wait_all_tasks_blocked()
    assert again.ids == []


async def test_lines_that_are_all_owed_their_turns_leave_places_to_other_mail(
    opened: Open, clock: Clock, mock_clock
) -> None:
    """They go ahead a few at a time, up to a quarter of the places: each may take long to find out."""
    post = await a_hundred_silent(opened)
    for places in (AHEAD, AHEAD + 4, AHEAD + 8, AHEAD + 12, 25, 25):
        assert len(post.owner.away) == places
        clock.now += 4 / PACE
        await post.wait(4 / PACE)
    await post.admit(*(mail(ALIVE, number, clock.now) for number in range(30)))
    assert len(post.owner.away) == 25 + 30
    ahead: set[str] = set()
    while len(ahead) < 100:
        for delivery in [one for one in post.owner.away.values() if one.domain != ALIVE]:
            ahead.add(delivery.domain)
            await post.settle(delivery, SILENT)
        clock.now += 1
        await post.wait(1)


async def test_lines_that_get_through_do_not_wait_for_the_pace_of_those_that_do_not(
    opened: Open, shard: Shard, mock_clock
) -> None:
    post = await a_hundred_silent(opened)
    while post.owner.away:  # the clock stands still
        await post.settle(next(iter(post.owner.away.values())), Delivered())
    assert len(post.given) == 200
    await post.settled()
    assert entries(shard) == dict.fromkeys(LINES, 0)


@pytest.mark.parametrize("places", [10, 2])
async def test_one_domain_has_half_of_the_places_and_loses_nothing(opened: Open, shard: Shard, places: int) -> None:
    post = opened(dataclasses.replace(SETTINGS, in_flight=places))
    await trio.testing.wait_all_tasks_blocked()
    for wave in (0, 100):
        many = [mail(ALIVE, wave + number) for number in range(30)]
        await post.admit(*many)
        assert len(post.owner.away) == places // 2
        await post.admit(*(mail("other.test", wave + number) for number in range(places // 2)))
        assert len(post.owner.away) == places - places // 5  # it has half of what is left
        left = 30
        while post.owner.away:
            alive = sum(delivery.domain == ALIVE for delivery in post.owner.away.values())
            assert min(-(-places // 4), left) <= alive <= places // 2
            delivery = next(iter(post.owner.away.values()))
            left -= delivery.domain == ALIVE
            await post.settle(delivery, Delivered())
        assert sorted(post.ids) == sorted({*post.ids})
        assert {one.id for one in many} <= {*post.ids}
        await post.settled()
        assert entries(shard) == dict.fromkeys(LINES, 0)
        assert not post.owner.shares._domains  # nothing is kept of a domain that has no mail


async def test_a_line_that_found_no_place_moves_on_when_there_is_one(opened: Open, reports: list[str], mock_clock):
    post = opened(dataclasses.replace(SETTINGS, in_flight=2))
    await trio.testing.wait_all_tasks_blocked()
    await post.admit(mail(ALIVE), mail("other.test"), mail(ALIVE, 1))
    await post.settle(post.given[0], Reject("a filter says no"))
    assert [delivery.domain for delivery in post.owner.away.values()] == ["other.test", "sender.test"]  # the report
    await post.settle(post.given[2], Delivered())
    await post.wait(60)
    assert [delivery.domain for delivery in post.owner.away.values()] == ["other.test", ALIVE]


async def test_what_is_due_for_a_silent_domain_joins_its_line(post: Post, opened: Open, shard: Shard, mock_clock):
    several = [mail(number=number) for number in range(4)]
    await post.admit(*several)
    for delivery in list(post.owner.away.values()):
        await post.settle(delivery, Defer("greylisted", retry_after=100, reply="450 later"))
    assert standing(shard, DEAD) == []
    await post.admit(mail(number=9))
    await post.settle(post.given[-1], SILENT)
    before = len(post.given)
    await post.until(NOW + 101)
    assert len(post.given) == before
    assert len(standing(shard, DEAD)) == 5
    joined = [record for record in shard.all_records() if record.decided == NOW + 101]
    assert [record.due for record in joined] == [NOW + 3001] * 4  # at the end of their time, whatever the line does
    await post.until(NOW + 1002)
    while post.owner.away:
        await post.settle(next(iter(post.owner.away.values())), Delivered())
    await post.settled()
    assert entries(shard) == dict.fromkeys(LINES, 0)


async def test_what_could_not_join_its_line_is_looked_at_again(
    post: Post, shard: Shard, monkeypatch: pytest.MonkeyPatch, mock_clock
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    await post.admit(mail())
    await post.settle(post.given[-1], Defer("greylisted", retry_after=100, reply="450 later"))
    await post.admit(mail(number=9))
    await post.settle(post.given[-1], SILENT)
    with monkeypatch.context() as patch:
        patch.setattr(shard, "replace", full)
        await post.until(NOW + 101)
    assert len(standing(shard, DEAD)) == 1
    await post.until(NOW + 161)
    assert len(standing(shard, DEAD)) == 2
    assert len(post.given) == 2


async def test_a_line_moves_from_its_start_again_when_an_older_message_comes_back(post: Post, mock_clock) -> None:
    await silent(post, 4)
    await post.until(NOW + 1001)
    await post.settle(post.given[-1], Delivered())  # two more go
    first, second = list(post.owner.away.values())
    await post.settle(second, Delivered())
    await post.settle(first, SILENT)  # found silent once more
    assert first.record.id in {delivery.record.id for delivery in post.given}
    await post.until(NOW + 2500)
    while post.owner.away:
        await post.settle(next(iter(post.owner.away.values())), Delivered())
    assert post.ids.count(first.record.id) == 2
    assert not post.owner.away


async def test_no_place_holds_all_mail_and_makes_no_lines(opened: Open, shard: Shard) -> None:
    post = opened(dataclasses.replace(SETTINGS, in_flight=0))
    await trio.testing.wait_all_tasks_blocked()
    await post.admit(*(mail(number=number) for number in range(5)))
    assert entries(shard)["lines"] == 0
    assert entries(shard)["due"] == 5
