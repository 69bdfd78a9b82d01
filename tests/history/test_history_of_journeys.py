"""What journeys and the queue's owner note: how a message came, how it split, and what came of it."""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from engine import Defer, Delivered, Duration, Each, Message, Quarantine, Reject, Route, Verdict
from engine.config import Queue
from engine.history import history
from engine.history.entries import Arrived, Attempted, Born, Entry, Noted, header_id
from engine.history.shelf import FOLDER, Terms, places
from engine.history.slice import Slice
from engine.message import Envelope, MessageId, Octets, Recipient
from engine.queue.delivery import Delivery
from engine.queue.owner import Owner
from engine.queue.store import Shard
from tests.support.journeys import arrive, depart, through
from tests.support.messages import message

B, C = "b@rcpt.test", "c@rcpt.test"
Entries = Callable[[], list[Entry]]


@pytest.fixture
def entries(tmp_path: Path) -> Iterator[Entries]:
    """What was noted so far; nothing is noted after that."""
    history.use(tmp_path / FOLDER, "mail-0", Terms(86_400.0, 2**30))

    def found() -> list[Entry]:
        history.close()
        gathered: list[Entry] = []
        for place in places(tmp_path / FOLDER):
            with Slice(place.path, map_size=0, read_only=True) as opened:
                for number in range(opened.count()):
                    gathered += opened.block(number)
        return gathered

    yield found
    history.close()


def test_an_arrival_with_its_legs(entries: Entries) -> None:
    first = message(B, C)
    arrive(first, through, lambda m: Each({B: m.with_fact("x", 1)}), through)
    found = entries()
    (arrived,) = (entry for entry in found if isinstance(entry, Arrived))
    assert (arrived.what, arrived.lane, arrived.revision, arrived.to) == ("accepted", "in", 1, (B, C))
    assert [(leg.name, leg.to) for leg in arrived.legs] == [
        ("in/0", ()), ("in/1", ()), ("in/2", (B,)), ("in/2", (C,)),
    ]  # fmt: skip
    (born,) = (entry for entry in found if isinstance(entry, Born))
    assert (born.parent, born.why, born.to) == (first.id, "split", (C,))


@pytest.mark.parametrize(
    ("verdict", "what"), [(Reject("no"), "refused"), (Defer("later"), "put-off"), (Quarantine("odd"), "accepted")]
)
def test_how_an_arrival_ends(entries: Entries, verdict: Verdict, what: str) -> None:
    arrive(message(B), lambda _: verdict)
    assert [getattr(entry, "what", "") for entry in entries()] == [what]


def test_refusals_are_noted_only_where_they_are_wanted(entries: Entries, tmp_path: Path) -> None:
    history.use(tmp_path / FOLDER, "mail-0", Terms(86_400.0, 2**30), refusals=False)
    arrive(message(B), lambda _: Reject("no"))
    arrive(message(B), through)
    assert [getattr(entry, "what", "") for entry in entries()] == ["accepted"]


def test_a_partial_refusal_and_its_report(entries: Entries) -> None:
    about = message(B, C)
    arrive(about, lambda _: Each({C: Reject("no")}))
    found = entries()
    (arrived,) = (entry for entry in found if isinstance(entry, Arrived))
    (report,) = (entry for entry in found if isinstance(entry, Born))
    assert [(one.to, one.what, one.text) for one in arrived.refused] == [(C, "failed", "no")]
    assert (report.parent, report.why, report.sender, report.to) == (about.id, "report", "", ("a@sender.test",))


def test_a_departure_by_several_lanes() -> None:
    history.on = True
    try:
        trip = depart(
            message(B), "in", {
                "in": lambda _: Each({B: (Route("one", (B,)), Route("two", (C,)))}),
                "one": lambda _: Delivered("here"),
                "two": lambda _: Delivered("there"),
            },
        )  # fmt: skip
    finally:
        history.on = False
    assert [(leg.name, leg.to) for leg in trip.delivery.legs] == [
        ("in/stage", ()), ("one/stage", ()), ("two/stage", (C,)),
    ]  # fmt: skip
    assert trip.delivery.revision == 1


def test_nothing_is_gathered_where_the_history_is_off() -> None:
    assert not history.on
    trip = depart(message(B), "in", {"in": lambda _: Delivered("here")})
    assert trip.delivery.legs == []


async def test_the_owner_notes_attempts_reports_and_orders(entries: Entries, tmp_path: Path) -> None:
    soon = Duration("1ms")
    verdicts: list[Verdict] = [Defer("busy", retry_after=soon, reply="450 busy"), Reject("gone", reply="550 gone")]
    over = trio.Event()

    def give_out(delivery: Delivery) -> None:
        if delivery.record.envelope.sender:
            delivery.told(delivery.record.envelope.recipients, verdicts.pop(0))
        else:  # the report
            delivery.told(delivery.record.envelope.recipients, Quarantine("enough"))
            over.set()
        owner.settle(delivery)

    owner = Owner(Shard(tmp_path, 0, map_size=2**28), Queue(), "mx.test", give_out)
    first = message(B)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(owner.run)
        owner.admit(first, "in", lambda _: None)
        await over.wait()
        await owner.writer.apply(lambda _: None)
        (report,) = (record for record in owner.shard.all_records())
        assert await owner.parked.delete(report.id) == ""
        nursery.cancel_scope.cancel()
    owner.close()
    owner.shard.close()
    found = entries()
    one, two, parked = (entry for entry in found if isinstance(entry, Attempted))
    assert (one.number, one.state, [(each.to, each.what, each.reply) for each in one.outcomes]) == (
        1, "waiting", [(B, "deferred", "450 busy")],
    )  # fmt: skip
    assert one.due >= one.time
    assert (two.number, two.state, [each.what for each in two.outcomes]) == (2, "", ["failed"])
    assert (parked.state, [each.what for each in parked.outcomes]) == ("quarantined", ["parked"])
    (born,) = (entry for entry in found if isinstance(entry, Born))
    assert (born.id, born.parent, born.why) == (report.id, first.id, "report")
    assert born.header_id
    (noted,) = (entry for entry in found if isinstance(entry, Noted))
    assert (noted.id, noted.what, noted.text, noted.to) == (report.id, "deleted", "enough", ("a@sender.test",))


_NAMES = ("Message-ID", "message-id", "MESSAGE-Id", "Subject", "X-Message-ID", "Date")
_VALUES = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20).map(
    lambda text: text.replace("=", "")
)


@given(
    st.lists(st.tuples(st.sampled_from(_NAMES), _VALUES, st.sampled_from(["", " ", "\r\n ", "\t "]))), st.integers(0, 3)
)
def test_the_message_id_is_that_which_the_message_says(fields: list[tuple[str, str, str]], ours: int) -> None:
    lines = [f"{name}:{space}{value}\r\n".encode() for name, value, space in fields if value]
    content = Octets(b"".join(lines[ours:]) + b"\r\nMessage-ID: <of the body>\r\n")
    envelope = Envelope("a@b", (Recipient(B),), prepended=b"".join(islice(lines, ours)))
    about = Message(MessageId.new(), envelope, content)
    assert header_id(about) == (about.header("Message-ID") or "")
