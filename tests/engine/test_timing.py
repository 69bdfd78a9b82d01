"""Mail with a time: held for its sender, due by a moment, late and told of, tried or given up by an operator."""

import dataclasses
import math

import pytest
import trio
import trio.testing
from msgspec.structs import replace

from engine import Defer, Delivered, Duration, Message, MessageId, Quarantine, Recipient
from engine.links.wire import pack_envelope, unpack_envelope
from engine.protocols.timing import UNTIMED, Timing
from engine.queue.orders import Orders, Word
from engine.queue.store import FORMAT, WAITING, Shard, digest, line_key
from tests.engine.test_queue import a_record, put
from tests.support.messages import message
from tests.support.post import MAP_SIZE, SETTINGS, Clock, Open, Post, standing

NOW = 1000.0
WARNING = dataclasses.replace(SETTINGS, delay_warning=Duration("10m"))
LATER = Defer(
    "the next server asks us to try later", "4.2.0", retry_after=60, reply="450 4.2.0 later", remote="mx.test"
)
SILENT = Defer("no answer", "4.4.1", retry_after=10_000, unreached=True)


def timed(timing: Timing, *recipients: str, number: int = 0) -> Message:
    one = message(*recipients, arrived=NOW, identity=MessageId.new(NOW + number / 1000))
    return replace(one, envelope=replace(one.envelope, timing=timing))


def told(post: Post) -> list[bytes]:
    """The reports that were given out."""
    reports = [delivery for delivery in post.given if not delivery.record.envelope.sender]
    return [b"".join(delivery.message.chunks()) for delivery in reports]


@pytest.fixture
async def warning(opened: Open) -> Post:
    post = opened(WARNING)
    await trio.testing.wait_all_tasks_blocked()
    return post


# -- stored


@pytest.mark.parametrize("timing", [UNTIMED, Timing(-9, 5.0, 7.5, "NT")])
def test_what_was_asked_for_travels_and_is_stored(timing: Timing) -> None:
    envelope = replace(message().envelope, timing=timing)
    assert unpack_envelope(pack_envelope(envelope)) == envelope


def test_an_envelope_of_the_release_before_is_read() -> None:
    packed = pack_envelope(message().envelope)
    assert unpack_envelope(packed[:-1]) == message().envelope


async def test_a_line_of_the_format_before_is_brought_up(data) -> None:
    first = Shard(data, 3, map_size=MAP_SIZE)
    record = a_record(line="dead.test")
    await put(first, record)
    with first.environment.begin(write=True) as transaction:
        transaction.delete(line_key(record), db=first._lines)
        transaction.put(digest("dead.test") + record.id, b"", db=first._lines)
        transaction.put(b"format", b"4")
    first.close()
    again = Shard(data, 3, map_size=MAP_SIZE)
    with again.environment.begin() as transaction:
        assert transaction.get(b"format") == str(FORMAT).encode()
        assert transaction.stat(again._lines)["entries"] == 1
    assert standing(again, "dead.test") == [record.id]
    again.close()


# -- held for its sender


async def test_what_is_held_goes_out_when_its_time_has_come(post: Post, mock_clock) -> None:
    await post.admit(timed(Timing(release=NOW + 7200)))
    await post.until(NOW + 7100)
    assert post.given == []
    await post.until(NOW + 7201)
    assert len(post.given) == 1


async def test_the_age_of_what_is_held_counts_from_its_release(post: Post, shard: Shard, reports, mock_clock) -> None:
    await post.admit(timed(Timing(release=NOW + 7200)))  # twice as long as mail may be old
    await post.until(NOW + 7201)
    await post.settle(post.given[0], Defer("later"))
    assert [record.state for record in shard.all_records()] == [WAITING]
    assert not reports


async def test_a_clock_that_was_ahead_releases_nothing_early(
    post: Post, shard: Shard, clock: Clock, mock_clock
) -> None:
    clock.now = NOW + 500_000
    await post.admit(timed(Timing(release=NOW + 600_000)))
    clock.now = NOW
    await post.wait(60)
    assert post.given == []
    assert [record.due for record in shard.all_records()] == [NOW + 600_000]


# -- by a moment


@pytest.mark.parametrize("mode", ["R", "RT"])
async def test_what_is_too_late_is_returned_at_that_moment_and_not_tried(post: Post, reports, mock_clock, mode) -> None:
    await post.admit(timed(Timing(by=NOW + 100, by_mode=mode)))
    await post.settle(post.given[0], dataclasses.replace(LATER, retry_after=1000))
    assert not reports
    await post.until(NOW + 101)
    assert reports == ["b@rcpt.test"]
    assert len([one for one in post.given if one.record.envelope.sender]) == 1


async def test_what_stands_in_line_is_returned_too(post: Post, reports, mock_clock) -> None:
    await post.admit(timed(Timing(by=NOW + 100, by_mode="R")))
    await post.settle(post.given[0], SILENT)
    await post.until(NOW + 101)
    assert reports == ["b@rcpt.test"]


async def test_who_wants_to_be_told_is_told_once_and_it_goes_on(post: Post, shard: Shard, mock_clock) -> None:
    await post.admit(timed(Timing(by=NOW + 100, by_mode="N")))
    await post.settle(post.given[0], dataclasses.replace(LATER, retry_after=1000))
    await post.until(NOW + 101)
    await post.settle(post.given[1], LATER)
    (report,) = told(post)
    assert b"Action: delayed" in report
    await post.until(NOW + 200)
    again = next(one for one in post.owner.away.values() if one.record.envelope.sender)
    await post.settle(again, LATER)
    assert len(told(post)) == 1


async def test_a_traced_message_is_told_of_by_who_passes_it_on(post: Post, reports: list[str]) -> None:
    traced = timed(Timing(by=NOW + 100, by_mode="NT"), "b@rcpt.test", "quiet@rcpt.test")
    quiet = replace(traced.envelope.recipients[1], notify="NEVER")
    envelope = replace(traced.envelope, recipients=(traced.envelope.recipients[0], quiet))
    await post.admit(replace(traced, envelope=envelope))
    await post.settle(post.given[0], Delivered("250 ok", "mx.test", tell="nothing"))
    assert reports == ["b@rcpt.test"]


# -- late


@pytest.mark.parametrize(
    ("notify", "is_told"), [("", True), ("DELAY", True), ("FAILURE,DELAY", True), ("FAILURE", False), ("NEVER", False)]
)
async def test_a_delay_is_told_of_once_if_that_is_wanted(
    warning: Post, shard: Shard, mock_clock, notify: str, *, is_told: bool
) -> None:
    one = message(arrived=NOW)
    to = (Recipient("b@rcpt.test", notify=notify),)
    await warning.admit(replace(one, envelope=replace(one.envelope, recipients=to, envid="QQ1")))
    await warning.settle(warning.given[0], LATER)
    assert told(warning) == []
    for attempt in (601, 700, 1000):
        await warning.until(NOW + attempt)
        again = next(each for each in warning.owner.away.values() if each.record.envelope.sender)
        await warning.settle(again, LATER)
    reports = told(warning)
    assert len(reports) == is_told
    if is_told:
        assert b"Action: delayed\r\nStatus: 4.2.0" in reports[0]
        assert b"Original-Envelope-Id: QQ1" in reports[0]
        assert b"Subject: Your message is delayed" in reports[0]


async def test_nobody_is_told_that_a_report_is_late(warning: Post, mock_clock) -> None:
    await warning.admit(message(sender="", arrived=NOW))
    await warning.settle(warning.given[0], LATER)
    await warning.until(NOW + 601)
    await warning.settle(warning.given[1], LATER)
    assert len(warning.given) == 2


async def test_who_stands_in_line_is_told_though_it_is_not_tried(
    warning: Post, opened: Open, shard: Shard, mock_clock
) -> None:
    await warning.admit(message(arrived=NOW), message(arrived=NOW))
    await warning.settle(warning.given[0], SILENT)
    await warning.settle(warning.given[1], SILENT)
    await warning.until(NOW + 601)
    assert len(told(warning)) == 2
    assert len([one for one in warning.given if one.record.envelope.sender]) == 2
    warning.owner.drain()
    again = opened(WARNING)  # once over a restart too
    await again.until(NOW + 700)
    assert len(standing(shard, "rcpt.test")) == 2
    assert len(told(again)) == 2  # the reports that were on their way, and no others
    assert shard.count() == 4


async def test_who_is_late_within_the_millisecond_is_told_and_not_tried(warning: Post, mock_clock) -> None:
    warning.clock.now = NOW + 1.0004
    await warning.admit(message(arrived=NOW + 1.0004))
    await warning.settle(warning.given[0], SILENT)
    await warning.until(NOW + 601.0002)
    assert len(told(warning)) == 1
    assert len([one for one in warning.given if one.record.envelope.sender]) == 1


async def test_a_jump_of_the_clock_alone_tells_nobody(warning: Post, shard: Shard, mock_clock) -> None:
    await warning.admit(message(arrived=NOW), message("c@dead.test", arrived=NOW))
    await warning.settle(warning.given[0], LATER)
    await warning.settle(warning.given[1], SILENT)
    await warning.until(NOW + 2000)
    await warning.settle(warning.given[2], LATER)
    warning.clock.now = NOW + 61
    await warning.wait(60)
    assert told(warning) == []
    assert [record.warned for record in shard.all_records()] == [False, False]


async def test_a_warning_and_the_mark_that_it_was_given_are_one_change(
    warning: Post, shard: Shard, monkeypatch: pytest.MonkeyPatch, mock_clock
) -> None:
    await warning.admit(message(arrived=NOW))
    await warning.settle(warning.given[0], LATER)
    await warning.until(NOW + 60)
    await warning.settle(warning.given[1], dataclasses.replace(LATER, retry_after=541))
    await warning.until(NOW + 601)
    with monkeypatch.context() as broken:
        broken.setattr(Shard, "put_new", lambda *_: 1 / 0)
        delivery = warning.given[2]
        delivery.outcomes.append((delivery.waiting[0], LATER))
        warning.owner.settle(delivery)
        await warning.settled()
        assert [record.warned for record in shard.all_records()] == [False]
    await warning.wait(6)
    assert sorted(record.warned for record in shard.all_records()) == [False, True]
    assert len(told(warning)) == 1


# -- what an operator wants


async def test_what_waits_is_tried_now_by_an_operator_s_word(post: Post, shard: Shard) -> None:
    await post.admit(message(arrived=NOW), message("c@dead.test", arrived=NOW), message("d@park.test", arrived=NOW))
    await post.settle(post.given[0], dataclasses.replace(LATER, retry_after=5000))
    await post.settle(post.given[1], SILENT)
    await post.settle(post.given[2], Quarantine("odd"))
    assert await Orders(post.owner).give(Word("retry"), [*post.ids, MessageId.new()]) == 2
    assert post.ids[3:] == post.ids[:2]
    assert await Orders(post.owner).give(Word("retry"), post.ids) == 0  # they are on their way


async def test_what_its_sender_has_held_is_not_tried(post: Post) -> None:
    one = timed(Timing(release=NOW + 7200))
    await post.admit(one)
    assert await Orders(post.owner).give(Word("retry"), [one.id]) == 0


async def test_what_is_given_up_is_returned(post: Post, shard: Shard, mock_clock) -> None:
    await post.admit(message(arrived=NOW), message(sender="", arrived=NOW))
    await post.settle(post.given[0], dataclasses.replace(LATER, retry_after=5000))
    await post.settle(post.given[1], dataclasses.replace(LATER, retry_after=5000))
    assert await Orders(post.owner).give(Word("expire"), post.ids) == 2
    report = b"".join(post.given[-1].message.chunks())
    assert b"Action: failed" in report
    assert b"administrator" in report
    assert [record.envelope.sender for record in shard.all_records()] == [""]


async def test_a_line_has_its_turn_by_an_operator_s_word(post: Post) -> None:
    await post.admit(message("c@dead.test", arrived=NOW))
    await post.settle(post.given[0], SILENT)
    await post.admit(message("d@dead.test", arrived=NOW, identity=MessageId.new(NOW + 1)))
    assert len(post.given) == 1
    assert await Orders(post.owner).turn("dead.test")
    await trio.testing.wait_all_tasks_blocked()
    assert post.ids == [post.ids[0], post.ids[0]]
    assert not await Orders(post.owner).turn("nobody.test")


async def test_never_is_infinitely_far(post: Post) -> None:
    assert post.owner._late.warns(message(sender="").envelope) == math.inf
