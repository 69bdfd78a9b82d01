"""Who must come again, when, for how long it is known then; and what of a sender stays the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from engine.abuse import Greylist, Tables
from engine.abuse.greylist import Attempt, Terms, steady
from tests.support.post import Clock

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
ANN = Attempt("192.0.2.0/24", "ann@example.net", "bob@example.org")


@pytest.fixture
def greylist(tables: Tables, clock: Clock) -> Greylist:
    return Greylist(tables["triplets"], Terms(network_passes=3, domain_passes=2), clock)


def of(
    network: str = ANN.network, sender: str = ANN.sender, recipient: str = ANN.recipient, domain: str = ""
) -> Attempt:
    return Attempt(network, sender, recipient, domain)


async def passed(greylist: Greylist, clock: Clock, *attempts: Attempt) -> None:
    for attempt in attempts:
        assert await greylist.wait(attempt) > 0
    clock.now += 5 * MINUTE
    for attempt in attempts:
        assert await greylist.wait(attempt) == 0


async def test_who_comes_again_in_time_passes_and_is_known(greylist: Greylist, clock: Clock) -> None:
    assert not await greylist.knows(ANN)
    assert await greylist.wait(ANN) == 5 * MINUTE
    clock.now += 2 * MINUTE
    assert await greylist.wait(ANN) == 3 * MINUTE, "to hurry makes it no longer"
    assert not await greylist.knows(ANN)
    clock.now += 3 * MINUTE
    assert await greylist.wait(ANN) == 0
    assert await greylist.knows(ANN)
    for other in (of(network="192.0.3.0/24"), of(sender="eve@example.net"), of(recipient="eve@example.org")):
        assert await greylist.wait(other) == 5 * MINUTE


async def test_who_comes_too_late_begins_anew(greylist: Greylist, clock: Clock) -> None:
    assert await greylist.wait(ANN) > 0
    clock.now += 2 * DAY
    assert await greylist.wait(ANN) == 5 * MINUTE


async def test_who_writes_now_and_then_stays_known_and_who_does_not_is_forgotten(
    greylist: Greylist, clock: Clock
) -> None:
    await passed(greylist, clock, ANN)
    for _ in range(3):
        clock.now += 35 * DAY
        assert not await greylist.knows(ANN), "it is written down once a day that it was there"
        assert await greylist.wait(ANN) == 0
        assert await greylist.knows(ANN)
    clock.now += 36 * DAY
    assert await greylist.wait(ANN) == 5 * MINUTE


async def test_a_network_that_came_again_often_passes_with_all_it_has(greylist: Greylist, clock: Clock) -> None:
    await passed(greylist, clock, of(sender="a@x.test"), of(sender="b@x.test"))
    assert await greylist.wait(of(sender="c@x.test")) == 5 * MINUTE
    clock.now += 5 * MINUTE
    assert await greylist.wait(of(sender="c@x.test")) == 0
    assert await greylist.knows(of(sender="anybody@y.test"))
    assert not await greylist.knows(of(network="192.0.3.0/24", sender="anybody@y.test"))
    clock.now += 2 * DAY
    assert await greylist.wait(of(sender="later@y.test")) == 0
    clock.now += 36 * DAY
    assert await greylist.wait(of(sender="later@z.test")) > 0


async def test_to_come_often_with_the_same_counts_once(greylist: Greylist, clock: Clock) -> None:
    await passed(greylist, clock, ANN)
    for _ in range(5):
        clock.now += DAY
        assert await greylist.wait(ANN) == 0
    assert await greylist.wait(of(sender="eve@example.net")) > 0


async def test_who_speaks_for_its_domain_may_come_again_from_elsewhere(greylist: Greylist, clock: Clock) -> None:
    first, again = of("192.0.2.0/24", domain="example.net"), of("198.51.100.0/24", domain="example.net")
    assert await greylist.wait(first) == 5 * MINUTE
    clock.now += 5 * MINUTE
    assert await greylist.wait(again) == 0
    assert await greylist.knows(again)
    assert await greylist.wait(of("203.0.113.0/24")) > 0, "but not who does not"


async def test_spf_that_fails_for_a_while_makes_nobody_begin_anew(greylist: Greylist, clock: Clock) -> None:
    proved = of(domain="example.net")
    assert await greylist.wait(ANN) == 5 * MINUTE
    clock.now += 2 * MINUTE
    assert await greylist.wait(proved) == 3 * MINUTE
    clock.now += 3 * MINUTE
    assert await greylist.wait(ANN) == 0


async def test_a_domain_that_is_known_passes_from_wherever_it_may_send(greylist: Greylist, clock: Clock) -> None:
    await passed(greylist, clock, of(domain="x.test", sender="a@x.test"), of(domain="x.test", sender="b@x.test"))
    new = of("203.0.113.0/24", "new@x.test", domain="x.test")
    assert await greylist.wait(new) == 0
    assert await greylist.knows(new), "without SPF the next time"
    assert await greylist.wait(of("198.51.100.0/24", "new@x.test")) > 0


async def test_a_clock_that_is_set_back_keeps_nobody_out(greylist: Greylist, clock: Clock) -> None:
    assert await greylist.wait(ANN) > 0
    clock.now -= DAY
    assert await greylist.wait(ANN) == 5 * MINUTE


@pytest.mark.parametrize(
    ("sender", "same"),
    [
        ("Ann@EXAMPLE.net", "ann@example.net"),
        ("ann+tag@example.net", "ann@example.net"),
        ("+@example.net", "+@example.net"),
        ("prvs=4123abcdef=ann@example.net", "ann@example.net"),
        ("prvs=0412fedcba=ann@example.net", "ann@example.net"),
        ("SRS0=AbCd=QX=Example.com=ann@example.net", "srs=example.com=ann@example.net"),
        ("SRS1=AbCd=other.test==HHHH=TT=example.com=ann@example.net", "srs=example.com=ann@example.net"),
        ("bounces-4711-bob=example.org@lists.test", "bounces-#-bob=example.org@lists.test"),
        ("0100018f2ab3c-5a8d-4f-000000@ses.test", "#@ses.test"),
        ("list-return-12-34-x@lists.test", "list-return-#-x@lists.test"),
        ("", ""),
        ("postmaster", "postmaster"),
        ("a1@bücher.test", "#@xn--bcher-kva.test"),
    ],
)
def test_what_of_a_sender_stays_the_same(sender: str, same: str) -> None:
    assert steady(sender) == same


@given(some.text(max_size=200))
def test_any_sender_is_something_and_stays_what_it_is(sender: str) -> None:
    once = steady(sender)
    assert once == steady(sender)
    assert steady(f"n{sender}1@x.test").endswith("@x.test")
