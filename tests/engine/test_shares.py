"""Shares: who may have another place, by what is free and what each has."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import Envelope, Recipient
from engine.message import TENANT
from engine.queue.shares import MOST, REPORTS, Shares, flow_of, mark

TO = (Recipient("b@rcpt.test"),)


class Crowd:
    """All that is on its way, of so many places."""

    def __init__(self, places: int) -> None:
        self.places = places
        self.away: list[tuple[str, str]] = []
        self.shares = Shares(lambda: self.places - len(self.away))

    def fill(self, domain: str, flow: str) -> int:
        """As many as may be on their way now; how many more that are."""
        before = len(self.away)
        while len(self.away) < self.places and not (
            self.shares.domain_has_its_own(domain) or self.shares.has_its_own(flow)
        ):
            self.away.append((domain, flow))
            self.shares.left(domain, flow)
        return len(self.away) - before

    def finish(self, index: int) -> None:
        self.shares.back(*self.away.pop(index))


@pytest.mark.parametrize(
    ("sender", "facts", "flow"),
    [("a@b.test", {}, ""), ("a@b.test", {TENANT: "acme"}, "acme"), ("", {TENANT: "acme"}, REPORTS)],
)
def test_whose_mail_it_is(sender: str, facts: dict[str, str], flow: str) -> None:
    assert flow_of(Envelope(sender, TO, facts=facts)) == flow


def test_marks_are_short_and_tell_tenants_apart() -> None:
    assert len({mark(f"t{number}") for number in range(1000)} | {mark("")}) == 1001
    assert {len(mark(name)) for name in ("", "a", "b" * 1000)} == {4}


def test_one_domain_gets_half_of_the_places_and_each_further_one_half_of_what_is_left() -> None:
    crowd = Crowd(1000)
    assert [crowd.fill(f"d{number}.test", "") for number in range(4)] == [500, 250, 125, 63]


def test_of_two_busy_domains_each_has_a_third_in_the_end() -> None:
    crowd = Crowd(900)
    crowd.fill("a.test", "")
    for _ in range(3000):
        crowd.finish(0)
        crowd.fill("b.test", "")
        crowd.fill("a.test", "")
    count = [sum(domain == name for domain, _ in crowd.away) for name in ("a.test", "b.test")]
    assert count == pytest.approx([300, 300], abs=2)


def test_tenants_have_places_by_their_weights_in_the_end() -> None:
    crowd = Crowd(2000)
    crowd.shares.weigh({"large": 3.0, "small": 1.0})
    for number in range(6000):
        for flow in ("large", "small"):
            crowd.fill(f"d{number}-{flow}.test", flow)
        crowd.finish(0)
    large, small = (sum(flow == name for _, flow in crowd.away) for name in ("large", "small"))
    assert large / small == pytest.approx(3, rel=0.1)
    assert large + small >= 2000 * 0.95


def test_who_is_alone_has_nearly_all_places_and_leaves_some_to_who_comes() -> None:
    crowd = Crowd(1600)
    crowd.shares.weigh({"a": 1.0})
    for number in range(1600):
        crowd.fill(f"d{number}.test", "a")
    assert len(crowd.away) == pytest.approx(1600 * MOST / (MOST + 1), abs=1)
    assert crowd.fill("x.test", "b") > 0
    assert crowd.fill("y.test", REPORTS) > 0


steps = st.lists(
    st.tuples(st.sampled_from(["come", "go"]), st.integers(0, 5), st.sampled_from(["", "a", "b", REPORTS])),
    max_size=200,
)


@given(st.integers(1, 40), steps)
def test_the_batch_that_may_leave_is_what_leaves_one_by_one(places: int, taken: list[tuple[str, int, str]]) -> None:
    crowd = Crowd(places)
    for what, number, flow in taken:
        domain = f"d{number}.test"
        if what == "go":
            if crowd.away:
                crowd.finish(number % len(crowd.away))
            continue
        one = Crowd(places)
        one.away = list(crowd.away)
        for pair in one.away:
            one.shares.left(*pair)
        free = places - len(crowd.away)
        batch = max(min(free, crowd.shares.of_domain(domain), crowd.shares.of_flow(flow)), 0)
        assert one.fill(domain, flow) >= batch  # who has nothing may have one in any case
        crowd.fill(domain, flow)
        assert len(crowd.away) <= places


@given(st.integers(2, 40), steps)
def test_nobody_who_has_nothing_is_refused_while_a_place_is_free(
    places: int, taken: list[tuple[str, int, str]]
) -> None:
    crowd = Crowd(places)
    for what, number, flow in taken:
        if what == "go" and crowd.away:
            crowd.finish(number % len(crowd.away))
        elif what == "come":
            crowd.fill(f"d{number}.test", flow)
        assert not crowd.shares.domain_has_its_own("nobody.test")
        assert not crowd.shares.has_its_own("nobody")
        if places > len(crowd.away):
            assert crowd.shares.of_domain("nobody.test") >= 1
            assert crowd.shares.of_flow("nobody") >= 1
