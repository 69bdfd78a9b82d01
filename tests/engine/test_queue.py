"""The queue: what is stored, when it is given out, and what becomes of each outcome."""

import dataclasses
import json
import os
import re
import stat
from pathlib import Path

import pytest
import trio
import trio.testing
from msgspec.structs import replace

import engine.queue.owner
import engine.queue.parked
from engine import Defer, Delivered, Discard, Message, MessageId, Quarantine, Recipient, Reject, Size, Verdict
from engine.message import PARK, PARKED_BY, RELEASED, Octets
from engine.queue.bounce import wants_report
from engine.queue.content import AT_ONCE, CHUNK, FileContent, set_aside
from engine.queue.delivery import Delivery
from engine.queue.incoming import ContentWriter
from engine.queue.owner import Owner
from engine.queue.store import (
    QUARANTINED,
    WAITING,
    Record,
    Shard,
    content_folder,
    due_key,
    position_before,
    shard_numbers,
)
from engine.storage.batch import committed
from engine.storage.environment import StorageError, open_environment
from tests.support.messages import LETTER, message
from tests.support.post import MAP_SIZE, SETTINGS, Clock, Open, Post

DAY = 86400.0

# -- the shard


async def put(shard: Shard, record: Record, content=LETTER) -> None:
    with committed(shard.environment) as batch:
        shard.put_new(batch, record, Octets(content))


def a_record(content: bytes = LETTER, due: float = 1000.0, **changes: object) -> Record:
    about = message("b@rcpt.test", "c@rcpt.test")
    return replace(Record(about.id, about.envelope, "inbound", len(content), due=due), **changes)


async def test_a_record_comes_back_as_it_was_stored(shard: Shard) -> None:
    record = a_record(reason="greylisted", due=1234.567)
    await put(shard, record)
    assert shard.records([record.id, MessageId.new()]) == [record]
    assert list(shard.all_records()) == [record]
    assert shard.count() == 1
    assert shard.holds(record.id)


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, AT_ONCE * CHUNK, AT_ONCE * CHUNK + 5])
async def test_content_of_every_size_comes_back_in_bounded_pieces(shard: Shard, size: int) -> None:
    octets = bytes(number % 251 for number in range(size))
    record = a_record(octets)
    await put(shard, record, octets)
    pieces = list(shard.message(record).content.chunks())
    assert b"".join(pieces) == octets
    assert all(0 < len(piece) <= AT_ONCE * CHUNK for piece in pieces)


async def test_a_removed_message_leaves_nothing_behind(shard: Shard) -> None:
    octets = bytes(3 * CHUNK)
    record = a_record(octets)
    await put(shard, record, octets)
    with committed(shard.environment) as batch:
        shard.remove(batch, record)
    with shard.environment.begin() as transaction:
        left = [transaction.stat(db)["entries"] for db in (shard._envelopes, shard._content, shard._due)]
    assert left == [0, 0, 0]
    with pytest.raises(LookupError):
        list(shard.message(record).content.chunks())


async def test_records_are_read_in_pages_without_gap_or_repeat(shard: Shard) -> None:
    records = [a_record(due=number) for number in range(7)]
    for record in records:
        await put(shard, record)
    assert len(shard._page(b"", limit=3)) == 3
    position, seen = b"", []
    while page := shard._page(position, limit=3):
        seen += page
        position = page[-1].id + b"\0"
    assert {record.id for record in seen} == {record.id for record in records}
    assert len(seen) == 7


async def test_the_due_index_is_read_from_a_position_up_to_now(shard: Shard) -> None:
    records = [a_record(due=float(number)) for number in (10, 20, 30)]
    for record in records:
        await put(shard, record)
    ids = [record.id for record in records]
    found, position = shard.due_from(b"", 1, 25.0)
    assert found == ids[:1]
    assert shard.due_from(position, 9, 25.0)[0] == ids[1:2]
    assert shard.due_from(position_before(records[1]), 9, 30.0)[0] == ids[1:]
    assert shard.due_from(b"", 9, 9.999) == ([], b"")
    assert shard.next_due(b"") == 10.0
    assert shard.next_due(position_before(records[2])) == 30.0
    assert shard.next_due(shard.due_from(b"", 9, 99.0)[1]) is None


async def test_a_record_may_move_in_time_and_leave_the_index(shard: Shard) -> None:
    record = a_record(due=10.0)
    await put(shard, record)
    later, parked = replace(record, due=20.0), replace(record, due=20.0, state=QUARANTINED)
    for old, new, expected in (
        (record, later, [20.0]),
        (later, later, [20.0]),
        (later, parked, []),
        (parked, record, [10.0]),
    ):
        with committed(shard.environment) as batch:
            shard.replace(batch, old, new)
        due = shard.next_due(b"")
        assert ([] if due is None else [due]) == expected
        assert shard.records([record.id]) == [new]


async def test_another_process_s_shard_is_read_without_writing(shard: Shard, data: Path) -> None:
    with pytest.raises(StorageError):
        Shard(data, 7, map_size=MAP_SIZE, read_only=True)
    assert not (data / "queue" / "7").exists()


async def test_a_shard_that_was_never_finished_is_not_read(data: Path) -> None:
    open_environment(data / "queue" / "7", map_size=MAP_SIZE, databases=8).close()
    for _ in range(2):  # it is left closed
        with pytest.raises(StorageError, match="not finished"):
            Shard(data, 7, map_size=MAP_SIZE, read_only=True)


def test_the_shards_of_a_data_folder_are_found_by_their_numbers(data: Path) -> None:
    for name in ("10", "2", "0", "lost+found"):
        (data / "queue" / name).mkdir(parents=True)
        (data / "queue" / name / "data.mdb").touch()
    (data / "queue" / "3").mkdir()  # what a crash has left while it was made
    assert shard_numbers(data) == [0, 2, 10]


async def test_a_shard_of_another_format_is_refused(data: Path) -> None:
    first = Shard(data, 3, map_size=MAP_SIZE)
    with first.environment.begin(write=True) as transaction:
        transaction.put(b"format", b"99")
    first.close()
    with pytest.raises(StorageError, match="format 99"):
        Shard(data, 3, map_size=MAP_SIZE)


async def test_the_store_is_private(shard: Shard) -> None:
    assert stat.S_IMODE(shard.path.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in shard.path.iterdir())


# -- content as it arrives


async def test_small_content_stays_in_memory(tmp_path: Path) -> None:
    writer = ContentWriter(tmp_path, MessageId.new(), 10)
    writer.write(b"12345")
    writer.write(b"67890")
    content = await writer.finish()
    assert content == b"1234567890"
    assert not list(tmp_path.iterdir())


async def test_large_content_goes_to_a_private_file_in_its_order(tmp_path: Path) -> None:
    identity = MessageId.new()
    writer = ContentWriter(tmp_path, identity, 10)
    for piece in (b"12345", b"67890", b"x", b"y" * 600_000):
        writer.write(piece)
    content = await writer.finish()
    assert isinstance(content, FileContent)
    assert content.path == tmp_path / str(identity)
    assert content.size == 600_011
    assert b"".join(content.chunks()) == b"1234567890x" + b"y" * 600_000
    assert max(map(len, content.chunks())) <= 256 * 1024
    assert stat.S_IMODE(content.path.stat().st_mode) == 0o600


@pytest.mark.parametrize("finished", [False, True])
async def test_discarded_content_leaves_no_file(tmp_path: Path, *, finished: bool) -> None:
    writer = ContentWriter(tmp_path, MessageId.new(), 0)
    writer.write(b"gone")
    assert list(tmp_path.iterdir())
    if finished:
        await writer.finish()
    writer.discard()
    writer.discard()
    assert not list(tmp_path.iterdir())


# -- the owner: in, out, settled


async def test_a_message_is_stored_then_given_out_then_gone(post: Post, shard: Shard) -> None:
    first = message()
    assert await post.stored(first) == Delivered(f"queued as {first.id}")
    assert post.ids == [first.id]
    delivery = post.given[0]
    assert (delivery.record.lane, [r.address for r in delivery.waiting]) == ("inbound", ["b@rcpt.test"])
    assert b"".join(delivery.message.chunks()) == LETTER
    assert shard.count() == 1
    await post.settle(delivery, Delivered())
    assert shard.count() == 0
    assert not post.owner.away


async def test_a_deferral_comes_back_at_its_own_time(post: Post, shard: Shard, mock_clock) -> None:
    await post.admit(message())
    await post.settle(post.given[0], Defer("greylisted", retry_after=300))
    (record,) = shard.all_records()
    assert (record.due, record.reason, record.envelope.attempts) == (1300.0, "greylisted", 1)
    await post.until(1299.0)
    assert len(post.given) == 1
    await post.until(1300.0)
    assert len(post.given) == 2
    assert post.given[1].message.envelope.attempts == 1


async def test_the_next_attempt_is_that_of_who_waits_for_the_shortest_time(post: Post, shard: Shard) -> None:
    await post.admit(message("b@rcpt.test", "c@rcpt.test"))
    await post.settle(post.given[0], Defer("later", retry_after=500), Defer("later", retry_after=10))
    (record,) = shard.all_records()
    assert record.due == 1010.0


async def test_a_deferral_shorter_than_the_owner_s_rest_comes_back_in_time(post: Post, mock_clock) -> None:
    await post.admit(message())
    await post.settle(post.given[0], Defer("greylisted", retry_after=5))
    post.clock.now += 5
    await post.wait(5)
    assert len(post.given) == 2


async def test_a_deferral_without_a_time_follows_the_schedule_whose_last_step_repeats(
    post: Post, shard: Shard, mock_clock
) -> None:
    await post.admit(message())
    for attempt, due in enumerate((1060.0, 1360.0, 1660.0)):
        await post.settle(post.given[attempt], Defer("later"))
        (record,) = shard.all_records()
        assert record.due == due
        await post.until(due)
        assert len(post.given) == attempt + 2


@pytest.mark.parametrize(
    "told", [(Defer("greylisted", retry_after=7), 4608.0), (Defer("no answer", expires=9000.0), 4901.0)]
)
async def test_a_deferral_with_a_time_of_its_own_does_not_expire_by_ours(
    post: Post, shard: Shard, reports: list[str], mock_clock, told: tuple[Defer, float]
) -> None:
    await post.admit(message())
    await post.settle(post.given[0], Defer("later", retry_after=3601))
    await post.until(4601.0)
    verdict, due = told
    await post.settle(post.given[1], verdict)
    (record,) = shard.all_records()
    assert record.due == due
    assert not reports


@pytest.mark.parametrize("seconds", [0, 0.0, -5])
async def test_a_deferral_of_no_time_does_not_spin(post: Post, shard: Shard, seconds: float) -> None:
    await post.admit(message())
    await post.settle(post.given[0], Defer("now", retry_after=seconds))
    (record,) = shard.all_records()
    assert record.due == 1001.0
    assert len(post.given) == 1


async def test_a_message_that_has_waited_too_long_is_reported_in_the_same_commit(
    post: Post, shard: Shard, reports: list[str], mock_clock
) -> None:
    await post.admit(message("b@rcpt.test", "quiet@rcpt.test"))
    post.clock.now = 1000.0 + 3599
    await post.settle(post.given[0], Defer("timed out"))
    await post.until(1000.0 + 3660)
    delivery = post.given[1]
    quiet = replace(delivery.record.envelope.recipients[1], notify="NEVER")
    delivery.outcomes += [
        (delivery.record.envelope.recipients[0], Defer("timed out")),
        (quiet, Defer("timed out")),
    ]
    commits = post.owner.writer.commits
    post.owner.settle(delivery)
    await post.settled()
    assert post.owner.writer.commits <= commits + 2  # the change itself, and the one that waited for it
    assert reports == ["b@rcpt.test"]
    (report,) = shard.all_records()
    assert report.envelope.sender == ""
    assert [(r.address, r.notify) for r in report.envelope.recipients] == [("a@sender.test", "NEVER")]
    assert report.lane == "inbound"
    assert report.envelope.arrived == report.due == report.decided == 1000.0 + 3660
    assert post.given[2].record == report  # and it sets out at once
    assert b"".join(post.given[2].message.chunks()) == b"Subject: report\r\n\r\n"


@pytest.mark.parametrize("smtputf8", [False, True])
async def test_a_report_asks_for_what_its_message_asked_for(
    post: Post, shard: Shard, reports: list[str], smtputf8: bool
) -> None:
    one = message()
    await post.admit(replace(one, envelope=replace(one.envelope, smtputf8=smtputf8)))
    await post.settle(post.given[0], Reject("no"))
    (report,) = shard.all_records()
    assert report.envelope.smtputf8 is smtputf8


OUTCOMES = ["delivered", "failed", "failed", "discarded", "quarantined", "deferred"]


async def test_each_outcome_is_told(post: Post, reports: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    await post.admit(message(*(f"{name}@rcpt.test" for name in "abcdef")))
    post.clock.now += 3601
    post.given[0].given = post.clock.now
    late = Defer("timed out", reply="450 busy", remote="mx.test", expires=4600.0)
    later = Defer("later", retry_after=60, expires=9999.0)
    post.given[0].record = replace(post.given[0].record, due=4560.0)
    await post.settle(
        post.given[0], Delivered("250 ok"), late, Reject("no"), Discard("virus"), Quarantine("odd"), later
    )
    events = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    told = {one["to"]: one for one in events if one["event"] in OUTCOMES}
    assert [told[f"{name}@rcpt.test"]["event"] for name in "abcdef"] == OUTCOMES
    expired = told["b@rcpt.test"]
    assert re.fullmatch("It could not be delivered for .+: timed out", expired["text"])
    assert (expired["code"], expired["reply"], expired["remote"]) == ("5.4.7", "450 busy", "mx.test")


async def test_what_is_left_out_is_on_disk_and_stays_out(post: Post, shard: Shard) -> None:
    await post.admit(message().without_fields("Subject", lambda _: True))
    (record,) = shard.all_records()
    kept = Message(record.id, record.envelope, shard.content(record))
    assert b"".join(kept.chunks()) == b"From: a@sender.test\r\n\r\nhello\r\n"
    assert record.size == len(b"".join(kept.content.chunks()))


async def test_a_refusal_of_one_recipient_is_reported_while_the_other_waits(
    post: Post, shard: Shard, reports: list[str]
) -> None:
    await post.admit(message("bad@rcpt.test", "slow@rcpt.test", "good@rcpt.test", "black@rcpt.test"))
    await post.settle(post.given[0], Reject("no"), Defer("later", retry_after=60), Delivered(), Discard("virus"))
    kept, report = sorted(shard.all_records(), key=lambda record: record.envelope.sender, reverse=True)
    assert [r.address for r in kept.envelope.recipients] == ["slow@rcpt.test"]
    assert kept.due == 1060.0
    assert reports == ["bad@rcpt.test"]
    assert report.envelope.sender == ""


async def test_a_bounce_is_never_bounced(post: Post, shard: Shard, reports: list[str]) -> None:
    await post.admit(message(sender=""))
    await post.settle(post.given[0], Reject("no"))
    assert shard.count() == 0
    assert not reports


WANTED = [
    ("", Reject("no"), True),
    ("", Delivered(), False),
    ("NEVER", Reject("no"), False),
    ("SUCCESS", Reject("no"), False),
    ("success,failure", Reject("no"), True),
    ("SUCCESS", Delivered(), True),
    ("FAILURE,DELAY", Delivered(), False),
    ("SUCCESS", Delivered(remote="mx.rcpt.test", tell="relayed"), True),
    ("SUCCESS", Delivered(remote="mx.rcpt.test", tell="nothing"), False),
    ("", Delivered(remote="mx.rcpt.test", tell="untimed"), True),
    ("FAILURE", Delivered(remote="mx.rcpt.test", tell="untimed"), True),
    ("NEVER", Delivered(remote="mx.rcpt.test", tell="untimed"), False),
]


@pytest.mark.parametrize(("notify", "verdict", "wanted"), WANTED)
def test_who_wants_a_report(notify: str, verdict: Reject | Delivered, wanted: bool) -> None:
    assert wants_report(Recipient("b@rcpt.test", notify=notify), verdict) is wanted


async def test_who_cannot_be_reported_is_parked_and_not_lost(
    post: Post, shard: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **_letters: object) -> bytes:
        raise RuntimeError("no template")

    monkeypatch.setattr("engine.queue.descendants.bounce", broken)
    await post.admit(message("bad@rcpt.test", "good@rcpt.test"))
    await post.settle(post.given[0], Reject("no"), Delivered())
    (record,) = shard.all_records()
    assert record.state == QUARANTINED
    assert "no template" in record.reason
    assert [r.address for r in record.envelope.recipients] == ["bad@rcpt.test"]
    assert not post.owner.away


async def test_a_discarded_message_is_gone_and_nobody_is_told(post: Post, shard: Shard, reports: list[str]) -> None:
    await post.admit(message())
    await post.settle(post.given[0], Discard("virus"))
    assert shard.count() == 0
    assert not reports


async def test_a_quarantined_message_stays_and_is_never_given_out_again(
    post: Post, opened: Open, shard: Shard, mock_clock
) -> None:
    await post.admit(message())
    await post.settle(post.given[0], Quarantine("it kills workers"))
    (record,) = shard.all_records()
    assert (record.state, record.reason) == (QUARANTINED, "it kills workers")
    await post.until(10_000.0)
    again = opened()
    await trio.testing.wait_all_tasks_blocked()
    assert len(post.given) == 1
    assert not again.given


async def test_what_was_quarantined_before_the_queue_is_not_given_out_after_a_restart_either(
    post: Post, opened: Open, shard: Shard, mock_clock
) -> None:
    await post.admit(message().with_fact(PARK, "virus"))
    again = opened()
    await again.until(10_000.0)
    assert not post.given
    assert not again.given
    assert [(record.state, record.reason) for record in shard.all_records()] == [(QUARANTINED, "virus")]


async def test_content_in_a_file_goes_with_its_message(post: Post, data: Path, mock_clock) -> None:
    identity = MessageId.new()
    writer = ContentWriter(content_folder(data), identity, 4)
    writer.write(LETTER)
    await post.admit(message(content=await writer.finish(), identity=identity))
    assert b"".join(post.given[0].message.chunks()) == LETTER
    await post.settle(post.given[0], Defer("later", retry_after=10))
    assert (content_folder(data) / str(identity)).exists()
    await post.until(1010.0)
    await post.settle(post.given[1], Delivered())
    assert not list(content_folder(data).iterdir())


# -- at an operator's word


async def parked(post: Post, data: Path, *to: str, in_file: bool = False) -> MessageId:
    identity = MessageId.new()
    writer = ContentWriter(content_folder(data), identity, 0 if in_file else len(LETTER))
    writer.write(LETTER)
    letter = message(*to, content=await writer.finish(), identity=identity)
    await post.admit(letter.with_fact(PARK, "virus"))
    return identity


@pytest.mark.parametrize("in_file", [False, True])
async def test_a_parked_message_is_released_once(post: Post, shard: Shard, data: Path, in_file: bool) -> None:
    identity = await parked(post, data, in_file=in_file)
    post.clock.now += 100
    assert await post.owner.parked.release(identity) == ""
    assert post.ids == [identity]
    assert dict(post.given[0].message.envelope.facts) == {RELEASED: ["virus"]}
    assert b"".join(post.given[0].message.chunks()) == LETTER
    (record,) = shard.all_records()
    assert (record.state, record.reason, record.due, record.decided) == (WAITING, "", 1100.0, 1100.0)
    assert await post.owner.parked.release(identity) == "it is not parked"
    assert await post.owner.parked.delete(identity) == "it is not parked"
    await post.settle(post.given[0], Delivered())
    assert shard.count() == 0
    assert not list(content_folder(data).iterdir())


@pytest.mark.parametrize("in_file", [False, True])
async def test_a_parked_message_is_deleted_with_all_it_has(post: Post, shard: Shard, data: Path, in_file: bool) -> None:
    identity = await parked(post, data, in_file=in_file)
    assert await post.owner.parked.delete(identity) == ""
    assert shard.count() == 0
    assert not list(content_folder(data).iterdir())
    assert await post.owner.parked.delete(identity) == "it is not parked"
    assert await post.owner.parked.release(identity) == "it is not parked"
    assert not post.given


@pytest.mark.parametrize("in_file", [False, True])
async def test_one_of_two_is_released_alone_and_once(post: Post, shard: Shard, data: Path, in_file: bool) -> None:
    identity = await parked(post, data, "b@rcpt.test", "c@rcpt.test", in_file=in_file)
    assert await post.owner.parked.release(identity, ["C@rcpt.test"]) == ""
    assert await post.owner.parked.release(identity, ["c@rcpt.test"]) == "it is not parked for c@rcpt.test"
    (delivery,) = post.given
    assert delivery.message.recipients == ("c@rcpt.test",)
    assert b"".join(delivery.message.chunks()) == LETTER
    records = {record.state: record for record in shard.all_records()}
    assert [one.address for one in records[QUARANTINED].envelope.recipients] == ["b@rcpt.test"]
    assert (records[QUARANTINED].id, records[WAITING].id != identity) == (identity, True)
    await post.settle(delivery, Delivered())
    assert await post.owner.parked.delete(identity, ["b@rcpt.test"]) == ""
    assert shard.count() == 0
    assert not list(content_folder(data).iterdir())


async def test_of_two_words_at_once_one_counts(post: Post, data: Path) -> None:
    identity = await parked(post, data)
    said = []

    async def release() -> None:
        said.append(await post.owner.parked.release(identity))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(release)
        nursery.start_soon(release)
    assert sorted(said) == ["", "it is not parked"]
    assert post.ids == [identity]


@pytest.mark.parametrize("in_file", [False, True])
async def test_what_was_parked_long_ago_expires(
    post: Post, shard: Shard, data: Path, in_file: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    old = await parked(post, data, in_file=in_file)
    await post.admit(message())
    post.clock.now += 100
    new = await parked(post, data, in_file=in_file)
    assert await post.owner.parked.expire(1050.0) == 1
    assert {record.id for record in shard.all_records()} == {new, post.ids[0]}
    assert not (content_folder(data) / str(old)).exists()
    assert await post.owner.parked.expire(1050.0) == 0
    (told,) = [json.loads(line) for line in capfd.readouterr().err.splitlines() if '"expired"' in line]
    assert (told["id"], told["reason"], told["parked"]) == (str(old), "virus", 1000.0)


async def test_more_than_a_page_expires(post: Post, shard: Shard, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine.queue.parked, "PAGE", 2)
    for _ in range(5):
        await parked(post, data)
    assert await post.owner.parked.expire(1050.0) == 5
    assert shard.count() == 0


async def test_what_stages_have_found_stays_with_what_is_parked(post: Post, shard: Shard) -> None:
    await post.admit(message("b@rcpt.test"))
    post.given[0].facts |= {"scan.score": 7.5, PARKED_BY: "scan"}
    await post.settle(post.given[0], Quarantine("spam"))
    (record,) = shard.all_records()
    assert dict(record.envelope.facts) == {"scan.score": 7.5, PARKED_BY: "scan"}


async def test_a_shard_without_the_index_of_what_is_parked_gets_it(data: Path) -> None:
    first = Shard(data, 3, map_size=MAP_SIZE)
    record = a_record(state=QUARANTINED)
    await put(first, record)
    with first.environment.begin(write=True) as transaction:
        transaction.delete(due_key(record), db=first._parked)
        transaction.put(b"format", b"3")
    first.close()
    with pytest.raises(StorageError, match="a server that starts brings it up"):
        Shard(data, 3, map_size=MAP_SIZE, read_only=True)
    again = Shard(data, 3, map_size=MAP_SIZE)
    assert again.parked_from(b"", 9, 2000.0)[0] == [record.id]
    again.close()
    Shard(data, 3, map_size=MAP_SIZE, read_only=True).close()


# -- what is done must stay done, what is not must stay


async def test_progress_takes_those_who_have_it_off_the_record(post: Post, shard: Shard) -> None:
    await post.admit(message("b@rcpt.test", "c@rcpt.test"))
    delivery = post.given[0]
    delivery.told(delivery.record.envelope.recipients[:1], Delivered())
    post.owner.progress(delivery)
    await post.settled()
    (record,) = shard.all_records()
    assert [r.address for r in record.envelope.recipients] == ["c@rcpt.test"]


async def test_progress_keeps_those_who_were_put_off(post: Post, shard: Shard) -> None:
    await post.admit(message("b@rcpt.test", "c@rcpt.test", "d@rcpt.test"))
    delivery = post.given[0]
    delivery.told(delivery.record.envelope.recipients[:1], Defer("busy"))
    delivery.told(delivery.record.envelope.recipients[1:2], Delivered())
    post.owner.progress(delivery)
    await post.settled()
    (record,) = shard.all_records()
    assert sorted(r.address for r in record.envelope.recipients) == ["b@rcpt.test", "d@rcpt.test"]


async def test_what_is_sent_comes_with_the_end_of_a_recipient_and_once(post: Post, shard: Shard) -> None:
    """Both recipients tell of the same message, and a progress in between must not lose it."""
    about = message("b@rcpt.test", "c@rcpt.test", "d@rcpt.test", content=LETTER + bytes(AT_ONCE * CHUNK))
    await post.admit(about)
    post.clock.now += 7
    delivery = post.given[0]
    answer = message("a@client.test", content=b"Subject: away\r\n\r\n")
    copy = replace(delivery.message, id=MessageId.new(), envelope=replace(answer.envelope, prepended=b"X-A: 1\r\n"))
    b, c, d = delivery.record.envelope.recipients
    delivery.told([b, c], Delivered(sends=(answer, copy)))
    post.owner.progress(delivery)
    await post.settled()
    (record,) = shard.all_records()
    assert [r.address for r in record.envelope.recipients] == ["d@rcpt.test", "b@rcpt.test", "c@rcpt.test"]
    delivery.told([d], Delivered())
    post.owner.settle(delivery)
    await post.settled()
    found = {record.id: record for record in shard.all_records()}
    assert found.keys() == {answer.id, copy.id}
    assert {record.lane for record in found.values()} == {"inbound"}
    assert {(record.envelope.arrived, record.due, record.decided) for record in found.values()} == {(1007.0,) * 3}
    assert b"".join(shard.message(found[answer.id]).chunks()) == b"Subject: away\r\n\r\n"
    assert b"".join(shard.message(found[copy.id]).chunks()) == b"X-A: 1\r\n" + b"".join(about.content.chunks())
    assert {given.record.id for given in post.given[1:]} == found.keys()


async def test_progress_knows_the_members_of_an_alias_by_name(post: Post, shard: Shard) -> None:
    await post.admit(message("list@rcpt.test"))
    delivery = post.given[0]
    alias = delivery.record.envelope.recipients[0]
    members = [Recipient(f"{name}@far.test", original="rfc822;list@rcpt.test", lane="remote") for name in "ab"]
    delivery.became(alias, members)
    delivery.told(members[:1], Delivered())
    post.owner.progress(delivery)
    await post.settled()
    (record,) = shard.all_records()
    (left,) = record.envelope.recipients
    assert (left.address, left.original, left.lane) == ("b@far.test", "rfc822;list@rcpt.test", "")


async def test_who_is_parked_does_not_hold_up_who_only_waits(post: Post, shard: Shard) -> None:
    await post.admit(message("b@rcpt.test", "c@rcpt.test", content=LETTER + bytes(AT_ONCE * CHUNK)))
    delivery = post.given[0]
    b, c = delivery.record.envelope.recipients
    delivery.told([b], Quarantine("odd"))
    delivery.told([c], Defer("busy", retry_after=60))
    post.owner.settle(delivery)
    await post.settled()
    records = {record.state: record for record in shard.all_records()}
    assert {state: [r.address for r in record.envelope.recipients] for state, record in records.items()} == {
        QUARANTINED: ["b@rcpt.test"],
        WAITING: ["c@rcpt.test"],
    }
    whole = b"".join(shard.message(records[WAITING]).chunks())
    assert whole
    assert b"".join(shard.message(records[QUARANTINED]).chunks()) == whole


async def in_a_file(post: Post, data: Path, *recipients: str) -> Delivery:
    identity = MessageId.new()
    writer = ContentWriter(content_folder(data), identity, 0)
    writer.write(LETTER)
    await post.admit(message(*recipients, content=await writer.finish(), identity=identity))
    return post.given[-1]


async def test_who_is_parked_keeps_content_in_a_file_when_the_others_are_done(
    post: Post, shard: Shard, data: Path, mock_clock
) -> None:
    delivery = await in_a_file(post, data, "b@rcpt.test", "c@rcpt.test")
    await post.settle(delivery, Quarantine("odd"), Defer("busy", retry_after=60))
    assert len(list(content_folder(data).iterdir())) == 2
    await post.until(1060.0)
    await post.settle(post.given[-1], Delivered())
    (record,) = shard.all_records()
    assert (record.state, record.reason, record.size) == (QUARANTINED, "odd", len(LETTER))
    assert b"".join(shard.message(record).chunks()) == LETTER


@pytest.mark.parametrize("crashed", [False, True])
async def test_a_copy_that_is_sent_keeps_content_in_a_file_when_the_message_is_done(
    post: Post, shard: Shard, data: Path, crashed: bool
) -> None:
    delivery = await in_a_file(post, data, "b@rcpt.test")
    copy = replace(delivery.message, id=MessageId.new(), envelope=message("c@far.test").envelope)
    if crashed:  # after this, at the attempt before
        os.link(shard.file(delivery.record.id), shard.file(copy.id))
    await post.settle(delivery, Delivered(sends=(copy,)))
    (record,) = shard.all_records()
    assert (record.id, record.in_file, record.lane) == (copy.id, True, "inbound")
    assert b"".join(post.given[-1].message.chunks()) == LETTER
    assert [file.name for file in content_folder(data).iterdir()] == [str(copy.id)]


async def test_a_copy_of_what_a_stage_has_made_keeps_its_file(post: Post, shard: Shard, data: Path) -> None:
    await post.admit(message("b@rcpt.test"))
    delivery = post.given[0]
    made = set_aside(b"made\r\n", content_folder(data))
    copy = replace(delivery.message, id=MessageId.new(), content=made)
    await post.settle(delivery, Delivered(sends=(copy,)))
    (record,) = shard.all_records()
    assert (record.id, record.in_file, record.size) == (copy.id, True, len(b"made\r\n"))
    made.path.unlink()
    assert b"".join(post.given[-1].message.chunks()) == b"made\r\n"
    assert [file.name for file in content_folder(data).iterdir()] == [str(record.id)]


async def test_progress_that_could_not_be_stored_is_not_tried_again_over_a_later_settlement(
    post: Post, shard: Shard, monkeypatch: pytest.MonkeyPatch, mock_clock
) -> None:
    await post.admit(message("b@rcpt.test", "c@rcpt.test"))
    delivery = post.given[0]

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    delivery.told(delivery.record.envelope.recipients[:1], Delivered())
    with monkeypatch.context() as patch:
        patch.setattr(shard, "replace", full)
        post.owner.progress(delivery)
        await post.settled()
    await post.settle(delivery, Delivered())
    await post.wait(60)
    assert shard.count() == 0


async def test_a_settlement_that_could_not_be_stored_is_tried_until_it_is(
    post: Post, shard: Shard, monkeypatch: pytest.MonkeyPatch, mock_clock
) -> None:
    await post.admit(message())

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(shard, "remove", full)
        await post.settle(post.given[0], Delivered())
        await post.wait(12)
    assert shard.count() == 1
    assert post.owner.away  # so that it is not given out a second time meanwhile
    await post.wait(5)
    assert shard.count() == 0
    assert not post.owner.away
    assert len(post.given) == 1


async def test_a_full_disk_does_not_flood_the_log(
    post: Post, shard: Shard, monkeypatch: pytest.MonkeyPatch, mock_clock, capfd: pytest.CaptureFixture[str]
) -> None:
    for _ in range(20):
        await post.admit(message())

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(shard, "remove", full)
        for delivery in list(post.given):
            await post.settle(delivery, Delivered())
        await post.wait(12)
    said = [json.loads(line) for line in capfd.readouterr().err.splitlines() if '"queue-failed"' in line]
    assert 2 <= len(said) <= 4
    assert [line["changes"] for line in said[:2]] == [1, 20]
    assert "the disk is full" in said[0]["error"]


async def test_a_message_that_cannot_be_given_out_is_deferred_and_does_not_stop_others(
    shard: Shard, clock: Clock, nursery: trio.Nursery, mock_clock
) -> None:
    given: list[Delivery] = []

    def give_out(delivery: Delivery) -> None:
        if delivery.message.sender == "bad@sender.test":
            raise KeyError("no such lane")
        given.append(delivery)

    owner = Owner(shard, SETTINGS, "mx.test", give_out, clock=clock)
    nursery.start_soon(owner.run)
    post = Post(owner, given, clock)
    await trio.testing.wait_all_tasks_blocked()
    bad, good = message(sender="bad@sender.test"), message()
    await post.admit(bad, good)
    await post.settled()
    assert post.ids == [good.id]
    assert {record.id: record.due for record in shard.all_records()}[bad.id] == 1060.0
    owner.writer.close()


# -- how much, and when


async def test_no_more_is_away_than_the_settings_say_and_the_rest_follows(opened: Open, shard: Shard) -> None:
    post = opened(dataclasses.replace(SETTINGS, in_flight=3))
    await trio.testing.wait_all_tasks_blocked()
    messages = [message(identity=MessageId.new(number), arrived=float(number)) for number in range(10)]
    await post.admit(*messages)
    await post.settled()
    seen: list[MessageId] = []
    while shard.count():
        assert 0 < len(post.owner.away) <= 3
        for delivery in list(post.owner.away.values()):
            seen.append(delivery.record.id)
            await post.settle(delivery, Delivered())
    assert sorted(seen) == sorted(one.id for one in messages)
    assert post.ids == seen


async def test_what_falls_due_while_all_places_are_taken_goes_out_when_there_is_room(opened: Open, mock_clock) -> None:
    post = opened(dataclasses.replace(SETTINGS, in_flight=1))
    await trio.testing.wait_all_tasks_blocked()
    first, second = message(), message()
    await post.admit(first)
    await post.settle(post.given[0], Defer("later", retry_after=10))
    await post.admit(second)
    await post.until(1010.0)
    assert post.ids == [first.id, second.id]
    before = trio.current_time()
    await post.settle(post.given[1], Delivered())
    assert post.ids == [first.id, second.id, first.id]
    assert trio.current_time() == before


async def test_a_restart_finds_every_message_exactly_once(post: Post, opened: Open, mock_clock) -> None:
    messages = [message(arrived=1000.0 - number) for number in range(20)]
    await post.admit(*messages)
    await post.settle(post.given[3], Delivered())
    await post.settle(post.given[4], Defer("later", retry_after=500))
    left = {one.id for number, one in enumerate(messages) if number not in (3, 4)}
    again = opened(dataclasses.replace(SETTINGS, in_flight=7))
    await trio.testing.wait_all_tasks_blocked()
    while again.owner.away:
        for delivery in list(again.owner.away.values()):
            await again.settle(delivery, Delivered())
    assert set(again.ids) == left
    assert len(again.ids) == len(left)
    await again.until(1500.0)
    assert again.ids[len(left) :] == [messages[4].id]


async def test_messages_that_arrive_while_the_backlog_is_read_are_given_out_once(opened: Open) -> None:
    post = opened(run=False)  # its first look into the index has not happened: everything is backlog
    messages = [message(arrived=float(number)) for number in (900, 800, 1000, 700)]
    await post.admit(*messages)
    assert not post.given
    async with trio.open_nursery() as nursery:
        nursery.start_soon(post.owner.run)
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(post.ids) == sorted(one.id for one in messages)
        await post.admit(message(arrived=500.0))
        assert len(post.given) == 5
        nursery.cancel_scope.cancel()


async def test_a_message_seen_in_the_index_before_its_commit_was_reported_is_given_out_once(post: Post) -> None:
    """The writer's thread commits, and the loop looks into the index before it hears of that."""
    one = message()
    answers: list[Verdict] = []

    async def admit() -> None:
        answers.append(await post.stored(one))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(admit)
        await trio.testing.wait_all_tasks_blocked(0)
        while not post.owner.shard.holds(one.id):
            pass  # the loop is kept busy, so that it cannot hear of the commit
        post.owner._fill()
    assert answers == [Delivered(f"queued as {one.id}")]
    assert post.ids == [one.id]


async def test_a_message_is_given_out_though_nobody_waits_for_the_answer_any_more(post: Post) -> None:
    one = message()
    with trio.move_on_after(0):
        await post.stored(one)
    await post.settled()
    assert post.ids == [one.id]


async def test_a_clock_that_goes_back_delays_nothing_new_and_repeats_nothing(
    post: Post, shard: Shard, mock_clock
) -> None:
    await post.admit(message(arrived=1000.0))
    await post.until(5000.0)
    post.clock.now = 2000.0
    await post.admit(message(arrived=2000.0))
    assert len(post.given) == 2
    await post.settle(post.given[0], Defer("later", retry_after=10))
    await post.until(2010.0)
    assert post.ids == [post.ids[0], post.ids[1], post.ids[0]]
    await post.until(6000.0)
    assert len(post.given) == 3


async def put_off_in_a_false_future(post: Post) -> None:
    """Three messages, after which the clock is set back by two days: one that came and two that were put off then."""
    await post.admit(message(arrived=1000.0))
    post.clock.now += 2 * DAY
    await post.settle(post.given[0], Defer("later", retry_after=3000))
    await post.admit(message(arrived=post.clock.now), message(arrived=post.clock.now))
    await post.settle(post.given[1], Defer("later", retry_after=6000))
    post.clock.now = 1100.0


async def test_what_was_put_off_in_a_false_future_is_tried_soon(post: Post, shard: Shard, mock_clock) -> None:
    await put_off_in_a_false_future(post)
    await post.wait(60)
    assert sorted(post.ids) == sorted([*post.ids[:3], *post.ids[:2]])
    for delivery in post.given[3:]:
        assert delivery.record.envelope.arrived <= 1100
        await post.settle(delivery, Defer("later", retry_after=3000))
    assert {record.due for record in shard.all_records()} == {1000 + 2 * DAY, 4100.0}  # one of them is away still
    await post.until(4100.0)
    assert len(post.given) == 7


async def test_however_short_the_false_future_was(post: Post, shard: Shard, mock_clock) -> None:
    await post.admit(message(), message())
    await post.settle(post.given[0], Defer("later", retry_after=5))  # so that what is owed later wakes nobody
    post.clock.now += 2 * DAY
    await post.settle(post.given[1], Defer("later", retry_after=3000))
    post.clock.now = 1001.0
    await post.wait(60)
    assert post.ids[2:] == post.ids[1:2]


async def test_and_after_a_restart_in_between(opened: Open, post: Post, shard: Shard, mock_clock) -> None:
    await put_off_in_a_false_future(post)
    post.owner.drain()
    again = opened()
    await again.wait(60)
    assert sorted(again.ids) == sorted(post.ids[:3])


async def test_what_was_put_off_before_the_clock_went_back_a_little_keeps_its_time(
    post: Post, shard: Shard, mock_clock
) -> None:
    await post.admit(message())
    await post.settle(post.given[0], Defer("later", retry_after=3000))
    for ahead in (DAY, 0.0, 30.0, -20.0):
        await post.until(1000.0 + ahead if ahead < DAY else 2000.0)
    assert len(post.given) == 1
    assert [record.due for record in shard.all_records()] == [4000.0]


async def test_more_than_is_looked_at_together_is_brought_forward(
    opened: Open, monkeypatch: pytest.MonkeyPatch, shard: Shard, mock_clock
) -> None:
    monkeypatch.setattr(engine.queue.owner, "PAGE", 3)
    for _ in range(10):
        await put(shard, a_record(due=2 * DAY, decided=2 * DAY - 60))
        await put(shard, a_record(due=2 * DAY, decided=900.0))
    post = opened()
    await post.wait(0)
    assert len({*post.ids}) == len(post.given) == 10


@pytest.mark.parametrize("expires", [None, 1000.0 + 3600])
async def test_a_jump_ahead_alone_returns_nothing(
    post: Post, shard: Shard, reports: list[str], mock_clock, expires: float | None
) -> None:
    later = Defer("later", retry_after=None if expires is None else 300, expires=expires)
    await post.admit(message())
    await post.admit(message())
    await post.settle(post.given[0], later)
    await post.until(1000.0 + 2 * DAY)  # while one waits, and one is away
    for delivery in post.given[1:]:
        await post.settle(delivery, later)
    assert not reports
    post.clock.now = 1500.0
    await post.wait(60)
    for delivery in post.given[3:]:
        await post.settle(delivery, later)
    assert not reports
    assert {record.due for record in shard.all_records()} == {1800.0}


async def test_a_clock_that_stays_ahead_is_believed(post: Post, shard: Shard, reports: list[str], mock_clock) -> None:
    await post.admit(message())
    await post.settle(post.given[0], Defer("later"))
    await post.until(1000.0 + 2 * DAY)
    await post.settle(post.given[1], Defer("later"))
    await post.until(2000.0 + 2 * DAY)
    await post.settle(post.given[2], Defer("later"))
    assert len(reports) == 1


async def test_a_draining_owner_stores_but_gives_out_nothing(post: Post, opened: Open, shard: Shard) -> None:
    post.owner.drain()
    one = message()
    await post.admit(one)
    await trio.testing.wait_all_tasks_blocked()
    assert not post.given
    again = opened()
    await trio.testing.wait_all_tasks_blocked()
    assert again.ids == [one.id]


async def test_below_the_reserve_no_mail_is_taken(opened: Open, shard: Shard) -> None:
    post = opened(dataclasses.replace(SETTINGS, reserve=Size(2**62)))
    assert not post.owner.has_room()
    verdict = await post.stored(message())
    assert isinstance(verdict, Defer)
    assert verdict.code == "4.3.1"
    assert shard.count() == 0


async def test_a_message_that_cannot_be_stored_is_deferred_and_the_next_one_is_taken(post: Post, shard: Shard) -> None:
    unpackable = message().with_facts({"when": object()})  # type: ignore[dict-item]
    full = message(content=bytes(MAP_SIZE))
    for one in (unpackable, full):
        verdict = await post.stored(one)
        assert isinstance(verdict, Defer)
        assert verdict.code == "4.3.1"
    await post.admit(message())
    assert len(post.given) == 1
    assert [record.state for record in shard.all_records()] == [WAITING]
