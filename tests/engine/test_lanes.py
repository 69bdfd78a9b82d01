"""Lanes cut into legs."""

import pytest

from engine.lanes import MAIL, QUEUE, Course, Lane, Leg, Placing, plan

PLACING = {
    "door": Placing(source=True, listens=("smtp",)),
    "other": Placing(source=True, listens=("smtp", "lmtp")),
    "a": Placing(),
    "b": Placing(),
    "own": Placing("own"),
    "out": Placing(effect=True),
    "by_site": Placing(partition="site"),
    "home": Placing("mailboxes", effect=True),
}

CUTS: list[tuple[tuple[str, ...], list[str], list[str]]] = [
    (("door", QUEUE, "out"), [], ["x/out"]),
    (("door", "a", "b", QUEUE, "a"), ["x/a+b"], ["x/a"]),
    (("door", "a", "own", "b", QUEUE, "out"), ["x/a", "x/own", "x/b"], ["x/out"]),
    (("door", QUEUE, "a", "out", "b"), [], ["x/a", "x/out", "x/b"]),
    (("door", QUEUE, "a", "by_site", "b"), [], ["x/a", "x/by_site", "x/b"]),
    (("a", "b"), [], ["x/a+b"]),
    ((QUEUE, "a"), [], ["x/a"]),
    (("home",), [], ["x/home"]),
]


@pytest.mark.parametrize(("stages", "before", "after"), CUTS)
def test_stages_of_one_place_are_one_leg(stages: tuple[str, ...], before: list[str], after: list[str]) -> None:
    course = plan([Lane("x", stages)], PLACING)["x"]
    assert [leg.name for leg in course.before] == before
    assert [leg.name for leg in course.after] == after
    assert course.queued == (QUEUE in stages)
    assert [name for leg in (*course.before, *course.after) for name in leg.stages] == [
        name for name in stages if name not in ("door", QUEUE)
    ]


def test_a_leg_keeps_what_its_stage_says() -> None:
    course = plan([Lane("x", ("door", "a", QUEUE, "by_site", "home"))], PLACING)["x"]
    assert course == Course(
        "x",
        "door",
        (Leg("x/a", ("a",), MAIL),),
        (Leg("x/by_site", ("by_site",), MAIL, partition="site"), Leg("x/home", ("home",), "mailboxes", effect=True)),
        queued=True,
        listen=("smtp",),
    )


def test_mail_goes_on_behind_a_queue_or_where_none_comes_in() -> None:
    lanes = [Lane("in", ("door", "a", QUEUE, "a")), Lane("out", ("a", "by_site")), Lane("never", ("other", "a"))]
    assert {name for name, course in plan(lanes, PLACING).items() if course.goes_on} == {"in", "out"}


def test_a_listener_belongs_to_who_claims_it_and_else_to_the_first() -> None:
    lanes = [
        Lane("one", ("door", QUEUE, "a")),
        Lane("two", ("other", QUEUE, "a")),
        Lane("three", ("other", QUEUE, "a"), ("submission",)),
    ]
    assert [course.listen for course in plan(lanes, PLACING).values()] == [("smtp",), ("lmtp",), ("submission",)]
    claimed = [Lane("one", ("door", QUEUE, "a")), Lane("two", ("other", QUEUE, "a"), ("smtp",))]
    assert [course.listen for course in plan(claimed, PLACING).values()] == [(), ("smtp",)]
