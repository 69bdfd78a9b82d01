"""What is not stored yet, on its way: by which lanes it may go, and where it has to be stored first."""

import pytest

from engine import Defer, Delivered, Message, Quarantine, Recipient, Route
from engine.message import PARKED_BY, UNSTORED
from engine.verdict import STORE_FIRST, Each
from tests.support.journeys import depart, through
from tests.support.messages import message

ANN, BEN = "ann@here.test", "ben@there.test"
HERE = Delivered("delivered to mailbox")
FULL = Defer("The queue cannot take the message now", "4.3.1")


def unstored(*to: str) -> Message:
    return message(*to).with_facts({UNSTORED: True, "other": 1})


def to_lane(lane: str):
    return lambda _: Route(lane)


def test_through_lanes_that_keep_nothing_waiting_it_need_not_be_stored() -> None:
    trip = depart(unstored(ANN), "in", {"in": to_lane("local"), "local": lambda _: HERE}, straight=["in", "local"])
    assert trip.outcomes == {ANN: HERE}
    assert trip.desk.kept == []
    assert trip.roads.links["local/stage"].seen[0].fact(UNSTORED)


def test_before_any_other_lane_it_is_stored() -> None:
    trip = depart(unstored(BEN), "in", {"in": to_lane("remote"), "remote": lambda _: HERE}, straight=["in"])
    assert trip.outcomes == {BEN: HERE}
    assert trip.desk.kept == [True]
    (seen,) = trip.roads.links["remote/stage"].seen
    assert dict(seen.envelope.facts) == {"other": 1}


def test_an_alias_that_leads_elsewhere_says_nothing_of_others_of_its_domain() -> None:
    lanes = {"in": lambda _: Route("remote", (BEN,)), "remote": lambda _: HERE}
    trip = depart(unstored(ANN), "in", lanes, straight=["in"])
    assert trip.outcomes == {BEN: HERE}
    assert trip.desk.kept == [False]


def test_what_is_parked_is_known_by_what_was_found_alone() -> None:
    trip = depart(unstored(ANN), "in", {"in": lambda _: Quarantine("odd", "x")}, straight=["in"])
    assert trip.delivery.facts == {"other": 1, PARKED_BY: "x"}


def test_a_part_that_has_to_be_stored_does_not_hold_up_another() -> None:
    routes = Each({ANN: Route("local"), BEN: Route("remote")})
    lanes = {"in": lambda _: routes, "local": lambda _: HERE, "remote": lambda _: HERE}
    trip = depart(unstored(ANN, BEN), "in", lanes, straight=["in", "local"])
    assert trip.outcomes == {ANN: HERE, BEN: HERE}
    assert trip.desk.kept == [False]


def test_a_stage_of_which_more_comes_has_it_again_when_it_is_stored() -> None:
    def enqueue(about: Message):
        return STORE_FIRST if about.fact(UNSTORED) else HERE

    trip = depart(unstored(ANN), "in", {"in": to_lane("local"), "local": enqueue}, straight=["in", "local"])
    assert trip.outcomes == {ANN: HERE}
    assert trip.desk.kept == [False]
    assert [one.fact(UNSTORED) for one in trip.roads.links["local/stage"].seen] == [True, None]


@pytest.mark.parametrize("lanes", [["in"], ["in", "local"]])
def test_what_cannot_be_stored_goes_no_further(lanes: list[str]) -> None:
    gone = {"in": to_lane("local"), "local": lambda about: STORE_FIRST if "local" in lanes else through(about)}
    trip = depart(unstored(ANN), "in", gone, straight=lanes, trouble=FULL)
    assert trip.outcomes == {ANN: FULL}


def test_recipients_are_those_of_the_part() -> None:
    routes = Each({ANN: Route("remote"), BEN: Route("local")})
    lanes = {"in": lambda _: routes, "local": lambda _: HERE, "remote": lambda _: HERE}
    trip = depart(unstored(ANN, BEN), "in", lanes, straight=["in", "local"], trouble=FULL)
    assert trip.outcomes == {ANN: FULL, BEN: HERE}
    assert trip.delivery.record.envelope.recipients == (Recipient(ANN), Recipient(BEN))
