"""Mail that goes straight on: when it may, who hears 250 and when, and what is stored all the same."""

import dataclasses

import pytest
import trio
import trio.testing

from engine import Defer, Delivered, Message, Quarantine, Recipient, Reject, Size, Verdict
from engine.message import UNSTORED
from engine.protocols.timing import Timing
from engine.queue import straight
from engine.queue.content import FileContent
from engine.queue.delivery import Delivery
from engine.queue.store import QUARANTINED, WAITING, Shard, content_folder
from engine.queue.straight import PATIENCE, REST, SHORT_REST
from tests.support.messages import LETTER, message
from tests.support.post import SETTINGS, Open, Post

HERE = Delivered("delivered to mailbox")


class Client:
    """Whoever waits for the answer to one message."""

    def __init__(self, post: Post, one: Message) -> None:
        self.heard: list[Verdict] = []
        self.message = one
        post.owner.admit(one, "inbound", self.heard.append, straight=True)

    @property
    def queued(self) -> bool:
        return self.heard == [Delivered(f"queued as {self.message.id}")]


def stored(shard: Shard) -> list[str]:
    return [record.state for record in shard.all_records()]


def outcome(post: Post, delivery: Delivery, *verdicts: Verdict) -> None:
    delivery.outcomes += zip(delivery.record.envelope.recipients, verdicts, strict=True)
    post.owner.settle(delivery)


async def test_what_arrives_at_once_is_never_stored(post: Post, shard: Shard) -> None:
    await post.settled()
    changes = post.owner.writer.changes
    client = Client(post, message())
    (delivery,) = post.given
    assert delivery.message.fact(UNSTORED) is True
    assert b"".join(delivery.message.chunks()) == LETTER
    assert not client.heard
    outcome(post, delivery, HERE)
    assert client.queued
    await post.settled()
    assert stored(shard) == []
    assert post.owner.writer.changes == changes + 1  # that of the test, which waits for all
    assert not post.owner.away
    assert not len(post.owner.straight)


async def test_many_are_under_way_side_by_side(post: Post, shard: Shard) -> None:
    clients = [Client(post, message()) for _ in range(3)]
    assert len(post.given) == 3
    for delivery in post.given:
        outcome(post, delivery, HERE)
    assert all(client.queued for client in clients)
    await post.settled()
    assert stored(shard) == []


async def test_the_record_has_no_trace_of_it(post: Post, shard: Shard) -> None:
    Client(post, message())
    await post.settle(post.given[0], Defer("busy"))
    (record,) = shard.all_records()
    assert UNSTORED not in record.envelope.facts
    assert post.given[0].message.fact(UNSTORED) is None


NOT_ALL = [
    (Defer("busy", retry_after=60), [WAITING]),
    (Quarantine("odd"), [QUARANTINED]),
    (Reject("full", "5.2.2"), [WAITING]),  # the report
    (Delivered("delivered to mailbox", sends=(message("c@elsewhere.test"),)), [WAITING]),
]


@pytest.mark.parametrize(("verdict", "states"), NOT_ALL)
async def test_what_more_comes_of_is_stored_first(
    post: Post, shard: Shard, reports: list[str], verdict: Verdict, states: list[str]
) -> None:
    client = Client(post, message())
    outcome(post, post.given[0], verdict)
    assert not client.heard  # before it is committed
    await post.settled()
    assert client.queued
    await post.settled()
    assert stored(shard) == states
    assert bool(reports) == isinstance(verdict, Reject)


async def test_a_report_of_success_is_stored_first(post: Post, shard: Shard, reports: list[str]) -> None:
    one = message()
    client = Client(post, one._changed(recipients=(Recipient("b@rcpt.test", notify="SUCCESS"),)))
    outcome(post, post.given[0], HERE)
    assert not client.heard
    await post.settled()
    assert client.queued
    await post.settled()
    assert reports == ["b@rcpt.test"]
    assert stored(shard) == [WAITING]


async def test_where_one_recipient_has_to_wait_it_is_stored_first(post: Post, shard: Shard) -> None:
    client = Client(post, message("a@rcpt.test", "b@rcpt.test"))
    outcome(post, post.given[0], HERE, Defer("busy", retry_after=60))
    assert not client.heard
    await post.settled()
    assert client.queued
    await post.settled()
    (record,) = shard.all_records()
    assert record.envelope.recipients == (Recipient("b@rcpt.test"),)


async def test_a_report_of_the_time_is_stored_first(post: Post, reports: list[str]) -> None:
    """RFC 2852 4.1.4: who knows of it tells that the next server does not."""
    timing = Timing(by=5000.0, by_mode="NT")
    client = Client(post, message()._changed(timing=timing))
    outcome(post, post.given[0], Delivered("250 OK", "mx.other.test"))
    assert not client.heard
    await post.settled()
    assert client.queued
    await post.settled()
    assert reports == ["b@rcpt.test"]


async def test_it_is_stored_once(post: Post, shard: Shard) -> None:
    client = Client(post, message())
    await post.settled()
    changes = post.owner.writer.changes
    for _ in range(3):
        post.owner.straight.keep(post.given[0])
    await post.settled()
    assert client.queued
    assert post.owner.writer.changes == changes + 2  # one is the test's
    assert post.owner.straight.is_open("rcpt.test")
    assert stored(shard) == [WAITING]


async def test_no_client_waits_for_long(opened: Open, shard: Shard, nursery: trio.Nursery, mock_clock) -> None:
    post = opened()
    nursery.start_soon(post.owner.straight.run)
    await post.settled()
    client = Client(post, message())
    await post.wait(PATIENCE / 2)
    assert not client.heard
    await post.wait(PATIENCE)
    assert client.queued
    assert stored(shard) == [WAITING]
    assert b"".join(post.given[0].message.chunks()) == LETTER
    await post.settle(post.given[0], HERE)
    assert stored(shard) == []
    assert len(client.heard) == 1
    assert not post.owner.straight.is_open("rcpt.test")
    mock_clock.jump(SHORT_REST)
    assert post.owner.straight.is_open("rcpt.test")


async def test_behind_one_that_takes_long_all_are_stored_at_once(post: Post, shard: Shard, mock_clock) -> None:
    Client(post, message())
    mock_clock.jump(PATIENCE)
    client = Client(post, message())
    await post.settled()
    assert client.queued
    assert len(stored(shard)) == 1


async def test_what_comes_to_a_stage_that_keeps_mail_waiting_is_stored_before(post: Post, shard: Shard) -> None:
    client, went_on = Client(post, message()), []
    post.owner.keep(post.given[0], lambda: went_on.append(list(client.heard)), others=True)
    assert not went_on
    await post.settled()
    assert went_on == [client.heard]
    assert client.queued
    assert stored(shard) == [WAITING]
    post.owner.keep(post.given[0], lambda: went_on.append([]))
    assert went_on[1] == []  # it is there


async def test_mail_for_the_same_domain_does_not_try_again_for_a_while(post: Post, mock_clock) -> None:
    Client(post, message())
    post.owner.keep(post.given[0], lambda: None, others=True)
    await post.settled()
    assert not post.owner.straight.is_open("rcpt.test")
    assert post.owner.straight.is_open("other.test")
    mock_clock.jump(REST)
    assert post.owner.straight.is_open("rcpt.test")


async def test_domains_that_are_remembered_are_bounded(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(straight, "DOMAINS", 10)
    for number in range(11):
        Client(post, message(f"a@{number}.test"))
        post.owner.keep(post.given[-1], lambda: None, others=True)
        await post.settled()
    assert [post.owner.straight.is_open(f"{number}.test") for number in range(11)] == [True] * 10 + [False]


NOT_STRAIGHT = {
    "held for later": {"timing": Timing(release=5000.0)},
    "parked": {"facts": {"quarantine.reason": "odd"}},
    "for several domains": {"recipients": (Recipient("a@one.test"), Recipient("a@two.test"))},
}


@pytest.mark.parametrize("changes", NOT_STRAIGHT.values(), ids=NOT_STRAIGHT)
async def test_others_go_by_the_queue(post: Post, shard: Shard, changes: dict[str, object]) -> None:
    one = message()
    client = Client(post, one._changed(**changes))
    await post.settled()
    assert client.queued
    assert len(stored(shard)) == 1


async def test_what_waits_goes_first(opened: Open, shard: Shard) -> None:
    post = opened(dataclasses.replace(SETTINGS, in_flight=1))
    await post.settled()
    Client(post, message())
    client = Client(post, message())
    await post.settled()
    assert client.queued
    assert len(post.given) == 1
    assert len(stored(shard)) == 1


async def test_nothing_goes_straight_for_a_while_after_an_owner_has_died(opened: Open, shard: Shard) -> None:
    post = opened()
    await post.settled()
    Client(post, message())
    after = opened()  # the first one has come to no orderly end
    await after.settled()
    client = Client(after, message())
    await after.settled()
    assert client.queued
    assert len(stored(shard)) == 1


async def test_at_the_end_no_client_waits(post: Post, shard: Shard) -> None:
    client = Client(post, message())
    post.owner.drain()
    late = Client(post, message())
    await post.settled()
    assert client.queued
    assert late.queued
    assert len(stored(shard)) == 2


async def test_content_in_a_file_goes_too(post: Post, shard: Shard, data) -> None:
    one = message()
    path = content_folder(data) / str(one.id)
    path.write_bytes(LETTER)
    client = Client(post, message(identity=one.id, content=FileContent(path, len(LETTER))))
    outcome(post, post.given[0], HERE)
    assert client.queued
    await post.settled()
    assert not path.exists()


@pytest.fixture
def full(shard: Shard, monkeypatch: pytest.MonkeyPatch) -> None:
    def put_new(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shard, "put_new", put_new)


async def test_what_can_be_stored_nowhere_is_put_off(
    post: Post, shard: Shard, full: None, capfd: pytest.CaptureFixture[str]
) -> None:
    client = Client(post, message())
    await post.settle(post.given[0], Defer("busy"))
    (heard,) = client.heard
    assert isinstance(heard, Defer)
    assert heard.code == "4.3.1"
    assert "the disk is full" in heard.log
    assert '"event":"queue-failed"' in capfd.readouterr().err
    assert stored(shard) == []
    assert not post.owner.away
    assert not len(post.owner.straight)
    assert not post.owner.unwritten


async def test_what_could_not_be_stored_but_arrives_is_accepted(post: Post, shard: Shard, full: None) -> None:
    client = Client(post, message())
    post.owner.straight.keep_all()
    await post.settled()
    assert not client.heard
    outcome(post, post.given[0], HERE)
    assert client.queued
    await post.settled()
    assert stored(shard) == []


async def test_who_waits_for_it_to_be_stored_hears_that_it_cannot_be(post: Post, full: None) -> None:
    client, told = Client(post, message()), []
    (delivery,) = post.given

    def go_on() -> None:
        assert delivery.unstored is not None
        told.append(delivery.unstored.trouble)

    post.owner.keep(delivery, go_on)
    await post.settled()
    post.owner.keep(delivery, go_on)
    assert len(told) == 2
    assert told[0] is told[1] is not None
    outcome(post, delivery, told[0])
    assert client.heard == [told[0]]


async def test_below_the_reserve_nothing_goes_straight_either(opened: Open) -> None:
    post = opened(dataclasses.replace(SETTINGS, reserve=Size(2**62)))
    client = Client(post, message())
    assert isinstance(client.heard[0], Defer)
    assert not post.given
