"""Rates, shares and quantiles out of two rounds of measures."""

import math

import pytest

from engine.drawing.pipeline import Branch, DrawnLane, DrawnLeg, DrawnStage, Pipeline
from engine.observe.measures import Sample
from engine.observe.quantiles import quantile
from engine.watching import wording
from engine.watching.readings import LinkReading, Round, StageReading, as_data, read

PIPELINE = Pipeline(
    (
        DrawnLane(
            "in",
            source=DrawnStage("door"),
            before=(DrawnLeg("in/look", (DrawnStage("look"),)),),
            queue="in/queue",
            after=(DrawnLeg("in/sort", (DrawnStage("sort"),)),),
            branches=(Branch("out"),),
        ),
        DrawnLane("out", after=(DrawnLeg("out/send", (DrawnStage("send", effect=True),)),)),
    )
)


def passed(link: str, count: float) -> Sample:
    return "postroad_link_messages_total", (("link", link),), count


def decided(stage: str, verdict: str, count: float) -> Sample:
    return "postroad_stage_messages_total", (("stage", stage), ("verdict", verdict)), count


def took(stage: str, **counts: float) -> list[Sample]:
    """``le_0_1=5``: five took at most 0.1 seconds."""
    bounds = {key.removeprefix("le_").replace("_", "."): value for key, value in counts.items()}
    return [
        ("postroad_stage_seconds_bucket", (("stage", stage), ("le", bound)), value) for bound, value in bounds.items()
    ]


@pytest.mark.parametrize(
    ("buckets", "share", "expected"),
    [
        ([], 0.5, None),
        ([(0.1, 0.0), (math.inf, 0.0)], 0.5, None),
        ([(1.0, 10.0), (2.0, 10.0), (math.inf, 10.0)], 0.5, 0.5),
        ([(1.0, 0.0), (2.0, 10.0), (math.inf, 10.0)], 0.5, 1.5),
        ([(1.0, 0.0), (2.0, 10.0), (math.inf, 10.0)], 1.0, 2.0),
        ([(1.0, 5.0), (2.0, 5.0), (4.0, 10.0), (math.inf, 10.0)], 0.99, 3.96),
        ([(1.0, 5.0), (2.0, 5.0), (4.0, 10.0), (math.inf, 10.0)], 0.5, 1.0),
        ([(1.0, 1.0), (math.inf, 100.0)], 0.99, 1.0),
        ([(math.inf, 3.0), (2.0, 3.0), (1.0, 0.0)], 0.5, 1.5),
    ],
)
def test_quantiles_are_interpolated(buckets: list[tuple[float, float]], share: float, expected: float | None) -> None:
    assert quantile(buckets, share) == (pytest.approx(expected) if expected is not None else None)


def test_rates_are_what_all_workers_have_gained() -> None:
    before = Round(10.0, {"mail-0": [passed("in/queue", 100)], "mail-1": [passed("in/queue", 50)]})
    after = Round(12.0, {"mail-0": [passed("in/queue", 130)], "mail-1": [passed("in/queue", 60)]})
    reading = read(before, after, PIPELINE)
    assert reading.arriving == 20
    assert next(link for link in reading.links if link.name == "in/queue").rate == 20
    assert [link.name for link in reading.links] == ["in/look", "in/queue", "in/sort", "out/send"]


def test_a_worker_that_began_anew_counts_from_nought_and_an_unknown_one_not_at_all() -> None:
    before = Round(0.0, {"mail-0": [passed("in/queue", 1_000_000)]})
    after = Round(1.0, {"mail-0": [passed("in/queue", 30)], "mail-1": [passed("in/queue", 500_000)]})
    assert read(before, after, PIPELINE).arriving == 30


def test_a_worker_that_does_not_answer_takes_nothing_away() -> None:
    before = Round(0.0, {"mail-0": [passed("in/queue", 10)], "mail-1": [passed("in/queue", 10)]})
    after = Round(1.0, {"mail-1": [passed("in/queue", 15)]})
    assert read(before, after, PIPELINE).arriving == 5


def test_stages_have_shares_and_times_of_the_time_between() -> None:
    before = Round(0.0, {"w": [decided("look", "pass", 5), *took("look", le_1_0=100, le_2_0=100, le_inf=100)]})
    after = Round(
        2.0,
        {
            "w": [
                decided("look", "pass", 11),
                decided("look", "reject", 2),
                *took("look", le_1_0=100, le_2_0=108, le_inf=108),
            ]
        },
    )
    look = read(before, after, PIPELINE).stages[0]
    assert look.name == "look"
    assert look.rate == 4
    assert look.shares == [("pass", 0.75), ("reject", 0.25)]
    assert (look.half, look.almost_all) == (pytest.approx(1.5), pytest.approx(1.99))
    assert wording.shares(look) == ("pass 75 %", "reject 25 %")


def test_what_leaves_is_what_effects_have_handed_on() -> None:
    counts = [decided("send", "delivered", 8), decided("send", "each", 1), decided("send", "defer", 5)]
    others = [decided("look", "delivered", 100)]
    reading = read(Round(0.0, {"w": []}), Round(1.0, {"w": [*counts, *others]}), PIPELINE)
    assert reading.leaving == 9


def test_queue_links_and_lag_are_what_is_now() -> None:
    link = (("link", "out/send"),)
    samples: list[Sample] = [
        ("postroad_link_depth", link, 40), ("postroad_link_out", link, 7), ("postroad_link_window", link, 512),
        ("postroad_queue_messages", (("shard", "0"), ("state", "waiting")), 3),
        ("postroad_queue_messages", (("shard", "1"), ("state", "waiting")), 4),
        ("postroad_queue_messages", (("shard", "1"), ("state", "quarantined")), 1),
        ("postroad_queue_oldest_seconds", (("shard", "0"),), 12.5), ("postroad_loop_lag_seconds", (), 0.25),
    ]  # fmt: skip
    before, after = [passed("out/send", 0)], [*samples, passed("out/send", 20)]
    reading = read(Round(0.0, {"w": before}), Round(1.0, {"w": after}), PIPELINE)
    assert reading.queued == {"quarantined": 1, "waiting": 7}
    assert reading.oldest == 12.5
    assert reading.lags == {"w": 0.25}
    send = reading.links[-1]
    assert (send.depth, send.out, send.window, send.lag) == (40, 7, 512, 2.0)
    assert as_data(reading)["links"][-1]["lag"] == 2.0
    assert wording.notes_of(reading).links["out/send"] == ("20/s", "40 wait")
    assert wording.notes_of(reading).queue == ("1 quarantined", "7 waiting", "oldest 12 s")


def test_a_link_that_stands_still_has_no_end_of_its_lag() -> None:
    assert LinkReading("a", depth=5).lag == math.inf
    assert LinkReading("a").lag == 0
    reading = read(Round(0.0), Round(1.0, {"w": [("postroad_link_depth", (("link", "in/look"),), 5)]}), PIPELINE)
    assert as_data(reading)["links"][0]["lag"] is None


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (None, "–"), (0.0, "0 ms"), (0.00012, "0.12 ms"), (0.0048, "4.8 ms"), (0.0482, "48 ms"), (1.24, "1.2 s"),
        (48.2, "48 s"), (130.0, "2.2 m"), (1800.0, "30 m"), (9000.0, "2.5 h"), (864_000.0, "10 d"), (math.inf, "∞"),
    ],
)  # fmt: skip
def test_times(seconds: float | None, expected: str) -> None:
    assert wording.time_taken(seconds) == expected


@pytest.mark.parametrize(("value", "expected"), [(0, "0/s"), (0.25, "0.2/s"), (9.96, "10.0/s"), (1204.4, "1,204/s")])
def test_rates(value: float, expected: str) -> None:
    assert wording.rate(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(0, "0 %"), (0.001, "<1 %"), (0.5, "50 %"), (0.999, ">99 %"), (1, "100 %")]
)
def test_shares(value: float, expected: str) -> None:
    assert wording.share(value) == expected


def test_both_times_are_told_together_or_not_at_all() -> None:
    assert wording.both_times(StageReading("a", half=0.0012, almost_all=0.048)) == "1.2 ms, 48 ms"
    assert wording.both_times(StageReading("a")) == ""


def test_at_a_link_stands_what_is_refused_behind_it_and_how_long_one_waits() -> None:
    after = [
        passed("in/look", 20), ("postroad_link_depth", (("link", "in/look"),), 40), decided("look", "reject", 3),
        decided("look", "defer", 1), decided("look", "pass", 16),
        ("postroad_stage_refusals_total", (("stage", "look"), ("hook", "at_sender")), 2),
    ]  # fmt: skip
    reading = read(Round(0.0, {"w": []}), Round(1.0, {"w": after}), PIPELINE)
    assert [link.refused for link in reading.links] == [6, 0, 0, 0]
    assert wording.notes_of(reading, full=True).links["in/look"] == ("20/s", "40 wait, 2.0 s, refused 6.0/s")
    said = wording.notes_of(reading, lambda text: {"reject": "từ chối"}.get(text, text))
    assert "từ chối 15 %" in said.stages["look"]


def test_what_a_stage_of_several_links_refuses_is_told_at_none() -> None:
    again = DrawnLane("again", after=(DrawnLeg("again/look", (DrawnStage("look"),)),))
    reading = read(Round(0.0, {"w": []}), Round(1.0, {"w": [decided("look", "reject", 3)]}),
                   Pipeline((*PIPELINE.lanes, again)))  # fmt: skip
    assert [link.refused for link in reading.links] == [0, 0, 0, 0, 0]
