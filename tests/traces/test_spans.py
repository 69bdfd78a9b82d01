"""The spans that entries of the history tell of."""

import pytest

from engine.history.entries import Arrived, Attempted, Born, Entry, Leg, Noted, Outcome, Placed, Sent, TurnedAway
from engine.message import MessageId
from engine.traces.export import sampled
from engine.traces.spans import span_id, spans

ONE, TWO = MessageId(bytes(15) + b"\1"), MessageId(bytes(15) + b"\2")
BOB, FAY = "bob@example.org", "fay@far.test"
SESSION = ("192.0.2.1", "mx.example.net", "ESMTPS", "TLSv1.3", "")


def arrived(**changes: object) -> Arrived:
    legs = (Leg(10.09, "inbound/0", (), [("scan", "changed", 50.0, None, "scan-0"), ("tag", "pass", 20.0)]),)
    values = {"session": SESSION, "legs": legs} | changes
    return Arrived(ONE, 10.1, 10.0, "accepted", "inbound", 3, "ann@example.net", (BOB, FAY), 4100, **values)  # type: ignore[arg-type]


def attempted(*outcomes: Outcome, number: int = 1, time: float = 12.0, state: str = "") -> Attempted:
    legs = (Leg(11.5, "inbound/1", (), [("relay", "defer: 450 <fay@far.test> is busy", 400.0)]),)
    return Attempted(ONE, time, 11.0, number, 3, "ann@example.net", legs, outcomes, state)


def sent(host: str = "mx1.far.test", **changes: object) -> Sent:
    values = {"replies": ("451 4.7.1 <fay@far.test> come again",), "attempt": 1} | changes
    return Sent(ONE, 11.5, 11.2, (FAY,), "mx.far.test", host, "192.0.2.9", "blue", "TLSv1.3", "dane", **values)  # type: ignore[arg-type]


def test_an_arrival_and_its_stages() -> None:
    root, scan, tag = spans(arrived())
    assert (root.trace, root.parent, root.kind) == (ONE, b"", "server")
    assert (root.name, root.began, root.ended, root.failed) == ("receive inbound", 10.0, 10.1, "")
    assert root.attributes["postroad.message_id"] == str(ONE)
    assert root.attributes["client.address"] == "192.0.2.1"
    assert root.attributes["postroad.recipient_domains"] == ("example.org", "far.test")
    assert (scan.parent, tag.parent) == (root.id, root.id)
    assert (scan.name, scan.attributes["postroad.worker"]) == ("scan", "scan-0")
    assert [round(moment, 6) for moment in (scan.began, scan.ended, tag.began, tag.ended)] == [
        10.02, 10.07, 10.07, 10.09,
    ]  # fmt: skip


@pytest.mark.parametrize(("what", "failed"), [("refused", "refused"), ("put-off", "put-off"), ("discarded", "")])
def test_how_a_reception_ends(what: str, failed: str) -> None:
    entry = Arrived(ONE, 10.1, 10.0, what, "inbound", 3, "", (BOB,), 1)
    assert [span.failed for span in spans(entry)] == [failed]


def test_an_attempt_hangs_below_the_reception_and_its_servers_below_it() -> None:
    deferred = Outcome(FAY, "deferred", "4.7.1", "The next server is busy", "", "451 4.7.1 <fay@far.test> come again")
    attempt, stage = spans(attempted(deferred, state="waiting"))
    (server,) = spans(sent())
    assert attempt.parent == next(spans(arrived())).id
    assert (attempt.name, attempt.failed) == ("attempt 1", "deferred 4.7.1")
    assert (stage.name, stage.parent, stage.failed) == ("relay", attempt.id, "defer")
    assert (server.parent, server.kind, server.failed) == (attempt.id, "client", "451 4.7.1")
    assert (server.began, server.ended) == (11.2, 11.5)
    assert server.attributes["network.peer.address"] == "192.0.2.9"


def test_every_attempt_and_server_has_an_id_of_its_own() -> None:
    held = Outcome(FAY, "held", line="far.test")
    entries: list[Entry] = [
        arrived(), attempted(), attempted(number=2), sent(), sent(attempt=2), sent("mx2.far.test"),
        attempted(held, number=3, time=13.0), attempted(held, number=3, time=14.0), attempted(number=3),
        Noted(ONE, 15.0, "parked"), Noted(ONE, 16.0, "released"),
    ]  # fmt: skip
    ids = [span.id for entry in entries for span in spans(entry)]
    assert len(ids) == len(set(ids)) > len(entries)


def test_an_attempt_that_was_held_says_so() -> None:
    held = next(spans(attempted(Outcome(FAY, "held", line="far.test"), time=13.0)))
    assert (held.name, held.failed) == ("attempt 1, held", "")


def test_what_could_not_be_spoken_to() -> None:
    (server,) = spans(sent(replies=(), trouble="No connection to mx1.far.test: refused"))
    assert server.failed == "no answer"


def test_what_came_of_a_message_is_linked_to_it() -> None:
    (born,) = spans(Born(TWO, 12.0, ONE, "report", "", ("ann@example.net",)))
    assert (born.trace, born.parent, born.came_of) == (TWO, b"", ONE)
    assert born.id == span_id(TWO, "reception")


def test_some_entries_have_no_span() -> None:
    turned_away = TurnedAway(b"", 1.0, "192.0.2.1", "x", "", "a@b", (BOB,), "5.1.1", "no such user here")
    placed = Placed(ONE, 1.0, BOB, 7, ("INBOX",), "delivered to mailbox")
    assert [*spans(turned_away), *spans(placed)] == []


def test_no_address_of_a_person_is_in_a_span() -> None:
    entries = [arrived(), attempted(Outcome(FAY, "failed", "5.1.1", f"{FAY} is unknown")), sent(reply=f"550 {FAY}")]
    for span in (span for entry in entries for span in spans(entry)):
        assert "@" not in f"{span.name} {span.failed} {span.attributes}"


def test_the_sample_is_so_large_a_share_and_the_same_everywhere() -> None:
    ids = [MessageId.new() for _ in range(4000)]
    assert not any(sampled(one, 0.0) for one in ids)
    assert all(sampled(one, 100.0) for one in ids)
    some = {one for one in ids if sampled(one, 25.0)}
    assert 800 < len(some) < 1200  # seven standard deviations
    assert {one for one in ids if sampled(MessageId(one), 10.0)} <= some
    assert sampled(b"\0" * 16, 0.001)
    assert not sampled(b"\xff" * 16, 99.999)
