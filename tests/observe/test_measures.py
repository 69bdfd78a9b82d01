"""Measures: what is counted, how it is told, and that labels cannot grow without bound."""

import pytest

from engine.observe.measures import MOST, OTHER, Counter, Gauge, Histogram, Measures


@pytest.fixture
def measures() -> Measures:
    return Measures()


def test_a_counter_tells_each_of_its_children(measures):
    taken = Counter("taken_total", "What was taken.", ("link",), to=measures)
    inbound = taken.of("inbound")
    inbound.value += 2
    taken.of("outbound").value += 1
    taken.of("inbound").value += 1
    assert measures.samples() == [
        ("taken_total", (("link", "inbound"),), 3),
        ("taken_total", (("link", "outbound"),), 1),
    ]
    assert measures.families() == {"taken_total": ("counter", "What was taken.")}


def test_what_is_known_elsewhere_is_read_when_it_is_asked_for(measures):
    waiting = [3]
    depth = Gauge("depth", "What waits.", ("link",), to=measures)
    depth.reads(lambda: [(("inbound",), waiting[0])])
    waiting[0] = 5
    assert measures.samples() == [("depth", (("link", "inbound"),), 5)]


def test_numbers_with_the_same_labels_are_added_up(measures):
    depth = Gauge("depth", "What waits.", to=measures)
    depth.of().value = 1
    depth.reads(lambda: [((), 2), ((), 3)])
    depth.reads(lambda: [((), 4)])
    assert measures.samples() == [("depth", (), 10)]


def test_a_histogram_has_in_each_bucket_all_that_is_smaller(measures):
    took = Histogram("took_seconds", "Time.", ("stage",), bounds=(0.1, 1), to=measures)
    for seconds in (0.05, 0.1, 0.5, 7):
        took.of("scan").observe(seconds)
    stage = ("stage", "scan")
    assert measures.samples() == [
        ("took_seconds_bucket", (stage, ("le", "0.1")), 2),
        ("took_seconds_bucket", (stage, ("le", "1.0")), 3),
        ("took_seconds_bucket", (stage, ("le", "+Inf")), 4),
        ("took_seconds_sum", (stage,), pytest.approx(7.65)),
        ("took_seconds_count", (stage,), 4),
    ]


def test_labels_that_strangers_choose_end_in_one_that_stands_for_all(measures):
    seen = Counter("seen_total", "Seen.", ("who", "what"), to=measures)
    for number in range(MOST + 50):
        seen.of(str(number), "x").value += 1
    samples = measures.samples()
    assert len(samples) == MOST + 1
    assert samples[-1] == ("seen_total", (("who", OTHER), ("what", OTHER)), 50)


def test_a_family_that_is_declared_again_goes_on(measures):
    Counter("seen_total", "Seen.", ("who",), to=measures).of("ann").value += 1
    Counter("seen_total", "Seen, in better words.", ("who",), to=measures).of("ann").value += 1
    assert measures.samples() == [("seen_total", (("who", "ann"),), 2)]
    assert measures.families()["seen_total"] == ("counter", "Seen, in better words.")


@pytest.mark.parametrize("again", [lambda m: Gauge("seen", "", to=m), lambda m: Counter("seen", "", ("who",), to=m)])
def test_two_families_cannot_have_one_name(measures, again):
    Counter("seen", "Seen.", to=measures)
    with pytest.raises(ValueError, match="already"):
        again(measures)


@pytest.mark.parametrize("labels", [(), ("a", "b")])
def test_a_child_has_all_labels_of_its_family(measures, labels):
    with pytest.raises(ValueError, match="has the labels"):
        Counter("seen_total", "Seen.", ("who",), to=measures).of(*labels)


@pytest.mark.parametrize(("name", "label"), [("Seen", "who"), ("seen-total", "who"), ("seen", "Who"), ("seen", "")])
def test_names_are_those_that_prometheus_takes(measures, name, label):
    with pytest.raises(ValueError, match="lower-case"):
        Counter(name, "Seen.", (label,), to=measures)
