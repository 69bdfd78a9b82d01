"""Lines of busy sites: what has no slot waits without an attempt, and slots are used as soon as there are some."""

import dataclasses
import heapq
import json

import pytest
import trio
import trio.testing
from msgspec.structs import replace

from engine import Defer, Delivered, Message, MessageId, Reject
from engine.message import TENANT
from engine.protocols.timing import Timing
from engine.queue.line import PATIENCE
from engine.queue.store import Shard
from engine.queue.verify import Verification
from tests.support.messages import message
from tests.support.post import SETTINGS, Clock, Open, Post, standing

NOW = 1000.0
SITE = "mx.big.test/out-1"
BUSY = Defer("the site is busy", "4.4.5", retry_after=30, line=SITE)


def mail(
    domain: str = "big.test", number: int = 0, *, tenant: str = "", priority: int = 0, arrived: float = NOW
) -> Message:
    one = message(f"u{number}@{domain}", arrived=arrived, identity=MessageId.new(arrived + number / 1000))
    envelope = replace(one.envelope, timing=Timing(priority), facts={TENANT: tenant} if tenant else {})
    return replace(one, envelope=envelope)


async def busy(post: Post, count: int = 5) -> list[MessageId]:
    """So many messages for a site where the first one finds no slot."""
    first, *others = [mail(number=number) for number in range(count)]
    await post.admit(first)
    await post.settle(post.given[-1], BUSY)
    await post.admit(*others)
    await post.settled()
    return [first.id, *(one.id for one in others)]


def events(said: str, kind: str) -> list[dict[str, object]]:
    found = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    return [one for one in found if one["event"] == kind]


async def test_what_finds_no_slot_waits_without_an_attempt_and_so_does_what_comes_behind_it(
    post: Post, shard: Shard, capfd: pytest.CaptureFixture[str]
) -> None:
    ids = await busy(post)
    assert post.ids == ids[:1]
    assert standing(shard, SITE) == ids
    assert {(record.envelope.attempts, record.line) for record in shard.all_records()} == {(0, SITE)}
    assert shard.turn(SITE) == NOW + 30
    said = capfd.readouterr().err
    assert [one["line"] for one in events(said, "line-held")] == [SITE]
    assert events(said, "deferred") == []
    assert list(Verification(shard).problems()) == []


async def test_the_line_has_its_turn_at_the_latest_when_it_was_told_to(post: Post, mock_clock) -> None:
    ids = await busy(post)
    await post.until(NOW + 29)
    assert len(post.given) == 1
    await post.until(NOW + 31)
    assert post.ids == [ids[0], ids[0]]
    assert post.given[-1].record.envelope.attempts == 0


async def test_who_gets_through_is_followed_by_more_and_more(post: Post, shard: Shard, mock_clock) -> None:
    ids = await busy(post, 20)
    await post.until(NOW + 31)
    most = 0
    while post.owner.away:
        most = max(most, len(post.owner.away))
        await post.settle(next(iter(post.owner.away.values())), Delivered("250 ok", "mx.big.test"))
    assert sorted(post.ids[1:]) == sorted(ids)
    assert most > 3
    await post.settled()
    assert shard.turn(SITE) is None
    assert list(Verification(shard).problems()) == []


async def test_a_slot_that_is_freed_is_used_before_the_turn(post: Post, clock: Clock) -> None:
    first, second, third = (mail(number=number) for number in range(3))
    await post.admit(first, second)
    await post.settle(post.given[1], BUSY)  # one is at the site, and the other finds no slot
    await post.admit(third)
    assert post.ids == [first.id, second.id]
    clock.now += 2 * PATIENCE
    await post.settle(post.given[0], Delivered("250 ok", "mx.big.test"))
    assert post.ids == [first.id, second.id, second.id, third.id]


async def test_who_comes_back_unchanged_costs_no_commit(post: Post, shard: Shard, mock_clock) -> None:
    await busy(post, 3)
    await post.until(NOW + 31)
    before = post.owner.writer.commits
    delivery = post.given[-1]
    delivery.outcomes.append((delivery.waiting[0], BUSY))
    post.owner.settle(delivery)
    await trio.testing.wait_all_tasks_blocked()
    assert post.owner.writer.commits == before
    assert not post.owner.away
    await post.until(NOW + 62)
    assert len(post.given) == 3


async def test_nothing_is_forgotten_over_a_restart(post: Post, opened: Open, shard: Shard, mock_clock) -> None:
    ids = await busy(post)
    post.owner.drain()
    again = opened()
    await trio.testing.wait_all_tasks_blocked()
    assert again.ids == []  # it rests still
    again.clock.now = NOW + 31
    await again.wait(60)
    assert again.ids == ids[:1]
    while again.owner.away:
        await again.settle(next(iter(again.owner.away.values())), Delivered("250 ok", "mx.big.test"))
    assert sorted(again.ids) == sorted(ids)


async def test_what_stands_in_line_for_too_long_is_returned(
    post: Post, shard: Shard, reports: list[str], mock_clock
) -> None:
    await busy(post, 2)
    forever = dataclasses.replace(BUSY, retry_after=100_000.0)
    await post.until(NOW + 31)
    await post.settle(post.given[-1], forever)
    await post.until(NOW + SETTINGS.expire + 5)
    for delivery in list(post.owner.away.values()):
        await post.settle(delivery, forever)
    assert len(reports) == 2
    assert [record.envelope.sender for record in shard.all_records()] == ["", ""]


async def test_a_refusal_at_a_busy_site_is_final_and_lets_the_next_one_try(
    post: Post, reports: list[str], mock_clock
) -> None:
    ids = await busy(post, 3)
    await post.until(NOW + 31)
    await post.settle(post.given[-1], Reject("no", "5.1.1", reply="550 no such user"))
    assert len(reports) == 1
    assert ids[1] in post.ids


async def test_a_line_of_one_recipient_and_a_deferral_of_the_other_count_as_an_attempt(
    post: Post, shard: Shard
) -> None:
    await post.admit(message("a@big.test", "b@small.test"))
    await post.settle(post.given[0], BUSY, Defer("later", retry_after=60, reply="451 later"))
    (record,) = shard.all_records()
    assert (record.line, record.envelope.attempts, record.due) == ("", 1, NOW + 30)


async def test_what_is_held_for_more_lines_than_are_remembered_is_put_off(
    post: Post, shard: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.queue.lines.LINES", 1)
    await busy(post, 1)
    await post.admit(mail("other.test", 1))
    await post.settle(post.given[-1], dataclasses.replace(BUSY, line="mx.other.test/out-1"))
    record = next(record for record in shard.all_records() if record.envelope.recipients[0].address == "u1@other.test")
    assert (record.line, record.envelope.attempts, record.due) == ("", 0, NOW + 30)


async def test_a_tenant_over_its_rate_holds_up_its_own_mail_alone(post: Post, shard: Shard) -> None:
    held = Defer("over its rate", "4.7.0", retry_after=30, line="tenant/acme")
    await post.admit(mail(number=1, tenant="acme"))
    await post.settle(post.given[-1], held)
    await post.admit(mail("elsewhere.test", 2, tenant="acme"), mail(number=3, tenant="other"), mail(number=4))
    assert [delivery.flow for delivery in post.given] == ["acme", "other", ""]
    assert len(standing(shard, "tenant/acme")) == 2


async def test_tenants_take_turns_in_a_line_by_their_weights(opened: Open, mock_clock) -> None:
    post = opened(dataclasses.replace(SETTINGS, in_flight=1000))
    await trio.testing.wait_all_tasks_blocked()
    post.owner.shares.weigh({"large": 2.0, "small": 1.0})
    await post.admit(mail(number=0, tenant="large"))
    await post.settle(post.given[-1], BUSY)
    await post.admit(*(mail(number=number, tenant="large") for number in range(1, 200)))
    small = [mail(number=500 + number, tenant="small") for number in range(20)]
    await post.admit(small[0])
    await post.settle(post.given[-1], BUSY)
    await post.admit(*small[1:])
    await post.until(NOW + 31)
    while len(post.given) < 62:
        await post.settle(next(iter(post.owner.away.values())), Delivered("250 ok", "mx.big.test"))
    turns = [delivery.flow for delivery in post.given[2:62]]
    assert turns.count("small") == pytest.approx(20, abs=2)


async def test_in_a_line_what_is_urgent_goes_first_then_what_is_old(post: Post, mock_clock) -> None:
    ids = await busy(post, 3)
    urgent, bulk = mail(number=7, priority=4), mail(number=8, priority=-3)
    await post.admit(bulk, urgent)
    await post.until(NOW + 31)
    while post.owner.away:
        await post.settle(next(iter(post.owner.away.values())), Delivered("250 ok", "mx.big.test"))
    assert post.ids[1:] == [urgent.id, *ids, bulk.id]


async def test_reports_pass_a_line_of_a_tenant_with_a_million(opened: Open) -> None:
    post = opened(dataclasses.replace(SETTINGS, in_flight=32))
    await trio.testing.wait_all_tasks_blocked()
    await post.admit(*(mail(f"d{number}.test", number, tenant="huge") for number in range(100)))
    assert len(post.owner.away) == 30
    report = message("sender@back.test", sender="")
    await post.admit(report, mail("x.test", tenant="tiny"))
    assert post.ids[-2:] == [report.id, post.given[-1].record.id]
    assert post.given[-1].flow == "tiny"


async def test_what_is_urgent_passes_what_waits_for_a_place(opened: Open) -> None:
    post = opened(dataclasses.replace(SETTINGS, in_flight=32))
    await trio.testing.wait_all_tasks_blocked()
    await post.admit(*(mail(f"d{number}.test", number) for number in range(100)))
    urgent = mail("urgent.test", 200, priority=1)
    await post.admit(urgent)
    assert post.ids[-1] == urgent.id


class Site:
    """A site that has so many slots, each for ``seconds`` a message, and a window of what is ready for them."""

    def __init__(self, post: Post, slots: int, seconds: float, ready: int) -> None:
        self.post = post
        self.slots, self.seconds, self.ready = slots, seconds, ready
        self.inside = 0
        self.queue: list[tuple[float, int]] = []  # when they are done
        self.free = [post.clock.now] * slots
        self.looked = 0
        self.came_back = 0
        self.worked = 0.0

    async def run(self, until: float) -> None:
        clock = self.post.clock
        while clock.now < until:
            await self.take()
            done = self.queue[0][0] if self.queue else until
            step = min(done, clock.now + 1.0, until) - clock.now
            clock.now += max(step, 0.0) + 1e-6
            await self.post.wait(max(step, 0.0) + 1e-6)
            while self.queue and self.queue[0][0] <= clock.now:
                _, index = heapq.heappop(self.queue)
                self.inside -= 1
                await self.post.settle(self.post.given[index], Delivered("250 ok", "mx.big.test"))

    async def take(self) -> None:
        while self.looked < len(self.post.given):
            index, self.looked = self.looked, self.looked + 1
            if self.inside >= self.ready:
                self.came_back += 1
                await self.post.settle(self.post.given[index], BUSY)
                continue
            self.inside += 1
            begin = max(heapq.heappop(self.free), self.post.clock.now)
            heapq.heappush(self.free, begin + self.seconds)
            heapq.heappush(self.queue, (begin + self.seconds, index))
            self.worked += self.seconds


@pytest.mark.parametrize(("slots", "ready"), [(1, 1), (1, 4), (4, 16), (10, 10), (10, 40)])
async def test_the_slots_of_a_busy_site_are_used_and_few_come_back(
    opened: Open, mock_clock, slots: int, ready: int
) -> None:
    """Slots are used to at least 95 %, and under 5 % come back, once the line has found the site's size."""
    post = opened(dataclasses.replace(SETTINGS, in_flight=400))
    await trio.testing.wait_all_tasks_blocked()
    await post.admit(*(mail(number=number) for number in range(500)))
    site = Site(post, slots, seconds=1.0, ready=ready)
    await site.run(NOW + 5)
    given, came_back, worked = len(post.given), site.came_back, site.worked
    seconds = min(300 // slots, 60)
    await site.run(NOW + 5 + seconds)
    assert site.worked - worked >= 0.95 * slots * seconds
    assert site.came_back - came_back <= max(0.05 * (len(post.given) - given), 3)
    assert {record.envelope.attempts for record in post.owner.shard.all_records()} <= {0}
