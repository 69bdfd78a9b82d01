"""Journeys: how a message goes from leg to leg, splits, and ends in one answer or one settlement."""

from pathlib import Path

import pytest
from msgspec.structs import replace

import engine.runtime.journey
from engine import Defer, Delivered, Discard, Each, Message, Quarantine, Recipient, Reject, Route, Session, Verdict
from engine.lanes import Course, Leg
from engine.message import PARK
from engine.queue.content import FileContent
from engine.runtime.journey import LANES, Arrival
from engine.runtime.separate import SeparateArrival
from engine.verdict import Changed
from tests.support.journeys import Line, Map, Stage, arrive, depart, stored, through
from tests.support.messages import LETTER, message


@pytest.fixture
def reported(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which recipients a bounce was written about."""
    found: list[str] = []

    def bounce(identity, hostname, about, failures, now, *, letters) -> bytes:
        found.extend(failure.recipient.address for failure in failures)
        return b"Subject: report\r\n\r\n"

    monkeypatch.setattr(engine.runtime.journey, "bounce", bounce)
    return found


# -- before `queue`


def test_a_message_that_all_pass_is_stored_as_the_last_stage_left_it() -> None:
    first = message()
    answers, roads = arrive(first, lambda m: m.with_header("X-One", "1"), lambda m: m.with_fact("two", 2))
    (queued,) = roads.links["in/queue"].seen
    assert (queued.header("X-One"), queued.fact("two"), queued.id) == ("1", 2, first.id)
    assert answers == [Delivered(f"queued as {first.id}")]
    assert roads.inside == 0


@pytest.mark.parametrize("verdict", [Reject("no"), Defer("later"), Discard("virus")])
def test_a_verdict_on_the_whole_is_the_answer_and_nothing_is_stored(verdict: Verdict) -> None:
    answers, roads = arrive(message("b@rcpt.test", "c@rcpt.test"), lambda _: verdict, through)
    assert [type(answer) for answer in answers] == [type(verdict)]
    assert not roads.links["in/queue"].seen
    assert not roads.links["in/1"].seen
    assert roads.inside == 0


def test_a_deferral_of_one_is_a_deferral_of_all() -> None:
    answers, roads = arrive(
        message("b@rcpt.test", "c@rcpt.test"), lambda _: Each({"b@rcpt.test": Defer("full")}), through
    )
    assert answers == [Defer("full")]
    assert not roads.links["in/queue"].seen


def test_nothing_is_stored_before_the_last_part_is_known() -> None:
    first = message("b@rcpt.test", "c@rcpt.test")
    legs = (Leg("in/split", ("split",)), Leg("in/slow", ("slow",)))
    slow = Line(through)
    slow.later = []
    split = Line(lambda m: Each({"b@rcpt.test": m.with_header("X", "b")}))
    roads = Map({}, {"in/split": split, "in/slow": slow, "in/queue": Line(stored)})
    answers: list[Verdict] = []
    Arrival(roads, Course("in", before=legs, queued=True), first, "mx.test", answers.append)
    assert slow.recipients == [("b@rcpt.test",), ("c@rcpt.test",)]
    slow.later.pop()()
    assert not roads.links["in/queue"].seen
    assert not answers
    slow.later.pop()()
    one, two = roads.links["in/queue"].seen
    assert {one.recipients, two.recipients} == {("b@rcpt.test",), ("c@rcpt.test",)}
    assert [one.id == first.id, two.id == first.id] == [True, False]  # parts are messages of their own
    assert answers == [Delivered(f"queued as {first.id}")]


def test_recipients_that_share_a_message_object_go_on_together() -> None:
    def pair(about: Message) -> Verdict:
        marked = about.with_header("X", "1")
        return Each({"a@rcpt.test": marked, "c@rcpt.test": marked})

    _, roads = arrive(message("a@rcpt.test", "b@rcpt.test", "c@rcpt.test"), pair, through)
    assert sorted(roads.links["in/1"].recipients) == [("a@rcpt.test", "c@rcpt.test"), ("b@rcpt.test",)]


def test_a_partial_refusal_is_told_by_a_bounce(reported: list[str]) -> None:
    about = message("b@rcpt.test", "bad@rcpt.test").with_fact("scan.score", 9)
    about = replace(about, envelope=replace(about.envelope, session=Session(peer="192.0.2.1", login="a")))
    answers, roads = arrive(about, lambda _: Each({"bad@rcpt.test": Reject("no")}))
    kept, report = roads.links["in/queue"].seen
    assert kept.recipients == ("b@rcpt.test",)
    assert (report.sender, report.recipients) == ("", ("a@sender.test",))
    assert report.id != kept.id
    assert (report.session, dict(report.envelope.facts)) == (Session(), {})
    assert reported == ["bad@rcpt.test"]
    assert isinstance(answers[0], Delivered)


def test_a_partial_refusal_of_a_bounce_is_not_told(reported: list[str]) -> None:
    _, roads = arrive(
        message("b@rcpt.test", "bad@rcpt.test", sender=""), lambda _: Each({"bad@rcpt.test": Reject("no")})
    )
    assert roads.links["in/queue"].recipients == [("b@rcpt.test",)]
    assert not reported


def test_a_report_that_cannot_be_written_defers_the_whole_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> bytes:
        raise RuntimeError("no template")

    monkeypatch.setattr(engine.runtime.journey, "bounce", broken)
    answers, roads = arrive(message("b@rcpt.test", "bad@rcpt.test"), lambda _: Each({"bad@rcpt.test": Reject("no")}))
    assert [type(answer) for answer in answers] == [Defer]
    assert not roads.links["in/queue"].seen
    assert roads.inside == 0


def test_a_quarantined_message_is_stored_with_the_reason() -> None:
    answers, roads = arrive(message(), lambda _: Quarantine("virus"), through)
    (queued,) = roads.links["in/queue"].seen
    assert queued.fact(PARK) == "virus"
    assert not roads.links["in/1"].seen
    assert isinstance(answers[0], Delivered)


def test_one_quarantined_recipient_leaves_the_others_alone() -> None:
    _, roads = arrive(message("b@rcpt.test", "c@rcpt.test"), lambda _: Each({"b@rcpt.test": Quarantine("virus")}))
    found = {one.recipients: one.fact(PARK) for one in roads.links["in/queue"].seen}
    assert found == {("b@rcpt.test",): "virus", ("c@rcpt.test",): None}


@pytest.mark.parametrize(
    "found", [Defer("full", "4.3.1"), Quarantine("3 workers died with this message"), Reject("no")]
)
def test_what_was_not_stored_never_gets_250(found: Verdict) -> None:
    answers, roads = arrive(message(), queue=lambda _: found)
    assert [type(answer) for answer in answers] == [Defer]
    assert roads.inside == 0


def test_one_part_that_was_not_stored_defers_the_whole() -> None:
    def full_for_c(about: Message) -> Verdict:
        return Defer("full") if about.recipients == ("c@rcpt.test",) else Delivered()

    answers, _ = arrive(
        message("b@rcpt.test", "c@rcpt.test"),
        lambda m: Each({"b@rcpt.test": m.with_header("X", "b")}),
        queue=full_for_c,
    )
    assert answers == [Defer("full")]


def test_a_delivery_before_the_queue_is_no_delivery() -> None:
    answers, _ = arrive(message(), lambda _: Delivered("I have it"))
    assert [type(answer) for answer in answers] == [Defer]


def test_a_picked_lane_travels_with_the_recipient() -> None:
    _, roads = arrive(message("b@rcpt.test"), lambda _: Route("local"), through)
    (queued,) = roads.links["in/queue"].seen
    assert queued.envelope.recipients == (Recipient("b@rcpt.test", lane="local"),)


def test_a_lane_that_was_picked_is_that_of_whoever_stands_for_the_recipient_later() -> None:
    _, roads = arrive(message("b@rcpt.test"), lambda _: Route("local"), lambda _: Route("", ("c@rcpt.test",)))
    (queued,) = roads.links["in/queue"].seen
    assert queued.envelope.recipients == (Recipient("c@rcpt.test", "", "rfc822;b@rcpt.test", "local"),)


def test_an_alias_before_the_queue_counts_each_member() -> None:
    answers, roads = arrive(
        message("sales+ab@rcpt.test"), lambda _: Route("local", ("b@rcpt.test", "c@rcpt.test")), through
    )
    (queued,) = roads.links["in/queue"].seen
    assert [(r.address, r.original, r.lane) for r in queued.envelope.recipients] == [
        ("b@rcpt.test", "rfc822;sales+2Bab@rcpt.test", "local"),
        ("c@rcpt.test", "rfc822;sales+2Bab@rcpt.test", "local"),
    ]
    assert len(answers) == 1


LIST = Route("local", ("b@rcpt.test", "c@rcpt.test"))
"""What an alias with two members becomes."""


def asked(notify: str) -> Message:
    about = message("all@rcpt.test")
    recipients = (Recipient("all@rcpt.test", notify=notify),)
    return replace(about, envelope=replace(about.envelope, recipients=recipients))


@pytest.mark.parametrize(
    ("notify", "members", "told"),
    [
        ("SUCCESS", "NEVER", True),
        ("SUCCESS,FAILURE,DELAY", "FAILURE,DELAY", True),
        ("FAILURE", "FAILURE", False),
        ("NEVER", "NEVER", False),
        ("", "", False),
    ],
)
def test_who_asks_hears_that_it_is_a_list_and_of_its_members_failures_alone(
    reported: list[str], notify: str, members: str, told: bool
) -> None:
    """RFC 3461 5.2.7.3: before the queue, and behind it."""
    _, roads = arrive(asked(notify), lambda _: LIST, through)
    stored_ones = roads.links["in/queue"].seen
    assert [recipient.notify for recipient in stored_ones[0].envelope.recipients] == [members, members]
    assert reported == (["all@rcpt.test"] if told else [])
    assert len(stored_ones) == 1 + told
    trip = depart(asked(notify), "in", {"in": lambda _: LIST, "local": lambda _: Defer("later")})
    outcomes = trip.outcomes
    assert outcomes.pop("all@rcpt.test", None) == (Delivered(tell="expanded") if told else None)
    assert outcomes == {"b@rcpt.test": Defer("later"), "c@rcpt.test": Defer("later")}


@pytest.mark.parametrize(
    "routes",
    [
        (Route("local", ("b@rcpt.test",)),),  # the other address tells: RFC 3461 5.2.7.2
        (Route("", ("all@rcpt.test",)), Route("", ("x@rcpt.test", "y@rcpt.test"), notify="NEVER")),  # secret copies
        (Route("local", ("all@rcpt.test", "b@rcpt.test")),),
    ],
)
def test_what_is_no_list(reported: list[str], routes: tuple[Route, ...]) -> None:
    _, roads = arrive(asked("SUCCESS"), lambda _: Each({"all@rcpt.test": routes}), through)
    assert reported == []
    (queued,) = roads.links["in/queue"].seen
    assert queued.envelope.recipients[0].notify == "SUCCESS"


def test_of_a_copy_the_sender_hears_nothing() -> None:
    copied = (Route("", (B,)), Route("", ("archive@rcpt.test",), notify="NEVER"))
    _, roads = arrive(message(B), lambda _: Each({B: copied}), through)
    (queued,) = roads.links["in/queue"].seen
    assert [(r.address, r.notify, r.lane) for r in queued.envelope.recipients] == [
        (B, "", ""),
        ("archive@rcpt.test", "NEVER", ""),
    ]
    _, roads = arrive(message(B), lambda _: Route("local", notify="NEVER"))
    assert roads.links["in/queue"].seen[0].envelope.recipients == (Recipient(B, "NEVER", "", "local"),)


def test_what_a_leg_changed_before_it_decided_is_kept() -> None:
    def each(about: Message) -> Changed:
        changed = about.with_header("X", "1")
        return Changed(changed, Each({"bad@rcpt.test": Discard("spam")}))

    _, roads = arrive(
        message("b@rcpt.test", "bad@rcpt.test"), each, lambda m: Changed(m.with_fact("y", 2), Route("local"))
    )
    (queued,) = roads.links["in/queue"].seen
    assert (queued.header("X"), queued.fact("y"), queued.recipients) == ("1", 2, ("b@rcpt.test",))
    assert queued.envelope.recipients[0].lane == "local"


def test_parts_of_a_large_message_each_have_a_name_for_the_content(tmp_path: Path) -> None:
    path = tmp_path / "content"
    path.write_bytes(LETTER)
    _, roads = arrive(
        message("b@rcpt.test", "c@rcpt.test", content=FileContent(path, len(LETTER))),
        lambda m: Each({"b@rcpt.test": m.with_header("X", "b")}),
    )
    one, two = roads.links["in/queue"].seen
    assert not path.exists()
    for part in (one, two):
        assert part.content.path == tmp_path / str(part.id)
        assert b"".join(part.content.chunks()) == LETTER


def test_parts_of_a_large_message_that_cannot_be_linked_are_put_off(tmp_path: Path) -> None:
    answers, roads = arrive(
        message("b@rcpt.test", "c@rcpt.test", content=FileContent(tmp_path / "gone", 5)),
        lambda m: Each({"b@rcpt.test": m.with_header("X", "b")}),
    )
    assert [type(answer) for answer in answers] == [Defer]
    assert not roads.links["in/queue"].seen


# -- before `queue`, with a client that hears of each recipient


A, B, C = "a@rcpt.test", "b@rcpt.test", "c@rcpt.test"


def told(*stages: Stage, queue: Stage = stored) -> tuple[dict[str, type], Map]:
    """What is said of each recipient."""
    about = message(A, B, C)
    (answer,), roads = arrive(about, *stages, queue=queue, kind=SeparateArrival)
    assert roads.inside == 0
    verdicts = answer.verdicts if isinstance(answer, Each) else dict.fromkeys(about.recipients, answer)
    return {address: type(verdict) for address, verdict in verdicts.items()}, roads


def test_each_recipient_has_its_verdict_and_the_others_are_stored(reported: list[str]) -> None:
    found, roads = told(lambda _: Each({A: Reject("no"), B: Defer("later")}), through)
    assert found == {A: Reject, B: Defer, C: Delivered}
    assert roads.links["in/queue"].recipients == [(C,)]
    assert not reported  # the client has heard it


def test_each_recipient_has_its_verdict_where_none_is_taken() -> None:
    found, roads = told(lambda _: Each({A: Reject("no"), B: Defer("later"), C: Discard("spam")}))
    assert found == {A: Reject, B: Defer, C: Discard}
    assert not roads.links["in/queue"].seen


def test_what_was_not_stored_is_put_off_for_its_own_recipients() -> None:
    def full_for_c(about: Message) -> Verdict:
        return Defer("full") if about.recipients == (C,) else Delivered()

    found, _ = told(lambda m: Each({A: Reject("no"), B: m.with_header("X", "b")}), queue=full_for_c)
    assert found == {A: Reject, B: Delivered, C: Defer}
    found, _ = told(lambda _: Each({A: Reject("no")}), queue=lambda _: Defer("full"))
    assert found == {A: Reject, B: Defer, C: Defer}
    found, _ = told(lambda m: Each({B: m.with_header("X", "b")}), queue=lambda _: Defer("full"))
    assert found == {A: Defer, B: Defer, C: Defer}


def test_an_alias_before_the_queue_ties_all_recipients_together(reported: list[str]) -> None:
    opened = Each({A: Route("local", (B, "d@rcpt.test"))})
    found, roads = told(lambda _: opened, lambda _: Each({"d@rcpt.test": Defer("later")}))
    assert found == {A: Defer, B: Defer, C: Defer}
    assert not roads.links["in/queue"].seen
    found, roads = told(lambda _: opened, lambda _: Each({"d@rcpt.test": Reject("no")}))
    assert found == {A: Delivered, B: Delivered, C: Delivered}
    assert reported == ["d@rcpt.test"]


def test_a_lane_that_is_picked_before_the_queue_ties_nobody() -> None:
    found, _ = told(lambda m: Each(dict.fromkeys(m.recipients, Route("local"))), lambda _: Each({A: Reject("no")}))
    assert found == {A: Reject, B: Delivered, C: Delivered}


# -- behind `queue`


def delivered(_: Message) -> Verdict:
    return Delivered()


@pytest.mark.parametrize("route", [Route("local"), Each({"b@rcpt.test": Route("local")})])
def test_a_message_that_is_to_be_parked_goes_no_further(route: Route | Each) -> None:
    lanes = {"in": lambda m: Changed(m.with_fact(PARK, "odd"), route), "local": delivered}
    trip = depart(message("b@rcpt.test"), "in", lanes)
    assert trip.outcomes == {"b@rcpt.test": Quarantine("odd")}
    assert not trip.roads.links["local/stage"].seen


def test_each_recipient_goes_down_its_lane() -> None:
    trip = depart(
        message("b@here.test", "c@there.test", "bad@here.test"),
        "in",
        {
            "in": lambda _: Each(
                {"b@here.test": Route("local"), "c@there.test": Route("remote"), "bad@here.test": Reject("no")}
            ),
            "local": delivered,
            "remote": lambda _: Defer("later"),
        },
    )
    assert trip.outcomes == {"b@here.test": Delivered(), "c@there.test": Defer("later"), "bad@here.test": Reject("no")}
    assert trip.roads.links["local/stage"].recipients == [("b@here.test",)]


def test_an_alias_with_members_in_two_lanes_has_an_outcome_for_each() -> None:
    routes = (Route("local", ("b@here.test",)), Route("remote", ("c@there.test",)))
    trip = depart(
        message("sales@here.test"),
        "in",
        {"in": lambda _: Each({"sales@here.test": routes}), "local": delivered, "remote": lambda _: Defer("later")},
    )
    assert trip.outcomes == {"b@here.test": Delivered(), "c@there.test": Defer("later")}
    assert not trip.delivery.waiting


def test_progress_is_told_while_others_wait() -> None:
    trip = depart(
        message("b@here.test", "c@here.test"),
        "in",
        {
            "in": lambda m: Each({"b@here.test": m.with_header("X", "b"), "c@here.test": Route("local")}),
            "local": delivered,
        },
    )
    assert trip.desk.told == []  # b's lane ended nowhere, c was the last
    assert isinstance(trip.outcomes["b@here.test"], Defer)
    trip = depart(
        message("b@here.test", "c@here.test"),
        "in",
        {"in": lambda _: Each({"b@here.test": Delivered(), "c@here.test": Discard()})},
    )
    assert trip.desk.told == [1]


def test_lanes_that_lead_in_a_circle_end_in_a_deferral() -> None:
    trip = depart(message("b@here.test"), "in", {"in": lambda _: Route("on"), "on": lambda _: Route("in")})
    verdict = trip.outcomes["b@here.test"]
    assert isinstance(verdict, Defer)
    assert "circle" in verdict.log
    assert 2 <= len(trip.roads.links["on/stage"].seen) <= LANES


def test_many_parts_in_many_lanes_are_no_circle() -> None:
    addresses = [f"user{number}@here.test" for number in range(LANES * 3)]
    trip = depart(
        message(*addresses),
        "in",
        {"in": lambda m: Route("parts"), "parts": lambda m: Each({a: m.with_header("X", a) for a in addresses})},
    )
    assert {verdict.log for verdict in trip.outcomes.values()} == {
        "the lane ended and no stage said where the mail goes"
    }
    lanes = {f"lane{number}": delivered for number in range(len(addresses))}
    trip = depart(
        message(*addresses),
        "in",
        {"in": lambda _: Each({a: Route(f"lane{number}") for number, a in enumerate(addresses)}), **lanes},
    )
    assert set(trip.outcomes.values()) == {Delivered()}


@pytest.mark.parametrize(("said", "log"), [(Route("nowhere"), "lane nowhere does not exist"), (None, "no stage said")])
def test_a_lane_that_leads_nowhere_defers(said: Route | None, log: str) -> None:
    trip = depart(message("b@here.test"), "in", {"in": lambda m: said or m})
    verdict = trip.outcomes["b@here.test"]
    assert isinstance(verdict, Defer)
    assert log in verdict.log


def test_a_lane_that_was_picked_before_the_queue_is_followed_behind_it() -> None:
    about = message("b@here.test")
    about = replace(about, envelope=replace(about.envelope, recipients=(Recipient("b@here.test", lane="local"),)))
    trip = depart(about, "in", {"in": through, "local": delivered})
    assert trip.outcomes == {"b@here.test": Delivered()}
    assert trip.roads.links["local/stage"].seen[0].envelope.recipients[0].lane == ""


def test_the_same_address_twice_has_two_outcomes() -> None:
    trip = depart(message("b@here.test", "b@here.test"), "in", {"in": delivered})
    assert [recipient.address for recipient, _ in trip.delivery.outcomes] == ["b@here.test", "b@here.test"]
    assert trip.desk.settled == [trip.delivery]


# -- what is counted

ARRIVALS: list[tuple[Stage, dict[str, int]]] = [
    (through, {"accepted": 1}),
    (lambda _: Reject("no"), {"refused": 1}),
    (lambda _: Defer("later"), {"put-off": 1}),
    (lambda _: Discard("virus"), {"discarded": 1}),
    (lambda _: Quarantine("odd"), {"accepted": 1, "parked": 2}),
    (lambda m: m.with_fact(PARK, "odd"), {"accepted": 1, "parked": 2}),
    (lambda _: Each({"b@rcpt.test": Quarantine("odd")}), {"accepted": 1, "parked": 1}),
]


@pytest.mark.parametrize(("stage", "counts"), ARRIVALS, ids=[str(number) for number in range(len(ARRIVALS))])
def test_what_comes_of_a_message_that_comes_in_is_counted(stage: Stage, counts: dict[str, int]) -> None:
    _, roads = arrive(message("b@rcpt.test", "c@rcpt.test"), stage)
    assert roads.counts == counts


DEPARTURES: list[tuple[Verdict, str]] = [
    (Delivered("250 ok"), "delivered"),
    (Reject("no"), "failed"),
    (Defer("later"), "deferred"),
    (Quarantine("odd"), "parked"),
    (Discard("unwanted"), "dropped"),
]


@pytest.mark.parametrize(("verdict", "what"), DEPARTURES, ids=[what for _, what in DEPARTURES])
def test_what_comes_of_recipients_behind_the_queue_is_counted(verdict: Verdict, what: str) -> None:
    trip = depart(message("b@rcpt.test", "c@rcpt.test"), "in", {"in": lambda _: verdict})
    assert trip.roads.counts == {what: 2}
