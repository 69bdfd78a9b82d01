"""From look to look: how much counts have grown, whoever has begun anew, died or kept silent meanwhile."""

import importlib

import pytest

from engine.figures.gathering import Gathering, Level, Mark
from engine.figures.measured import COUNTS, levels, measured
from engine.observe.measures import measures
from tests.figures.figure_samples import queue, worker

for name in ("engine.login.service", "engine.policies.results", "engine.queue.outcomes", "engine.runtime.journey",
             "engine.runtime.stages", "engine.scanning.counting", "stages.accept.session"):  # fmt: skip
    importlib.import_module(name)  # so that all of them have declared what they count

IN = "arrived/accepted/in"
NOW = 1_000_000.0


def begun(**marks: Mark) -> Gathering:
    return Gathering(marks, NOW)


def test_the_first_look_of_all_is_where_it_begins():
    found = Gathering({}, 0.0)
    found.look(NOW, {"mail-0": worker(NOW - 5000, **{"in": 40})})
    assert found.taken(NOW).counts == {}
    found.look(NOW + 10, {"mail-0": worker(NOW - 5000, **{"in": 45})})
    assert found.taken(NOW + 10).counts == {IN: 5}


def test_of_a_server_that_has_just_begun_all_counts():
    found = Gathering({}, 0.0)
    found.look(NOW, {"web": worker(NOW - 30), "mail-0": worker(NOW - 29, **{"in": 4})})
    assert found.since == NOW - 30
    assert found.taken(NOW).counts == {IN: 4}


def test_workers_add_up_and_looks_as_well():
    found = begun(a=Mark(5.0, {IN: 10}), b=Mark(6.0, {IN: 7}))
    found.look(NOW + 10, {"a": worker(5.0, **{"in": 12}), "b": worker(6.0, **{"in": 7, "out": 1})})
    found.look(NOW + 20, {"a": worker(5.0, **{"in": 13}), "b": worker(6.0, **{"in": 9, "out": 1})})
    assert found.taken(NOW + 20).counts == {IN: 5, "arrived/accepted/out": 1}
    assert found.taken(NOW + 20).counts == {}


def test_a_worker_that_began_anew_counts_from_nought_even_if_it_has_counted_more_since():
    found = begun(a=Mark(5.0, {IN: 10}))
    found.look(NOW + 10, {"a": worker(NOW + 3, **{"in": 25})})
    assert found.taken(NOW + 10).counts == {IN: 25}


def test_a_worker_that_was_silent_for_a_while_is_made_up_for():
    found = begun(a=Mark(5.0, {IN: 10}))
    found.look(NOW + 10, {})
    assert found.taken(NOW + 10).counts == {}
    found.look(NOW + 20, {"a": worker(5.0, **{"in": 18})})
    assert found.taken(NOW + 20).counts == {IN: 8}


def test_of_a_worker_that_nobody_knows_counts_what_is_surely_of_this_time():
    found = begun(a=Mark(5.0, {}))
    found.look(NOW + 10, {"a": worker(5.0), "old": worker(NOW - 100, **{"in": 3}), "new": worker(NOW + 5, **{"in": 2})})
    assert found.taken(NOW + 10).counts == {IN: 2}
    found.look(NOW + 20, {"old": worker(NOW - 100, **{"in": 4})})
    assert found.taken(NOW + 20).counts == {IN: 1}


def test_a_number_that_became_smaller_takes_nothing_away():
    found = begun(a=Mark(5.0, {IN: 10}))
    found.look(NOW + 10, {"a": worker(5.0, **{"in": 8})})
    assert found.taken(NOW + 10).counts == {}


def test_after_a_stop_of_the_whole_server_its_time_begins_with_its_processes():
    found = Gathering({"a": Mark(5.0, {IN: 10})}, NOW)
    found.look(NOW + 7200, {"a": worker(NOW + 7100, **{"in": 3})})
    assert found.since == NOW + 7100
    assert found.taken(NOW + 7200).counts == {IN: 3}


def test_after_a_stop_of_the_recorder_alone_nothing_is_missing():
    found = Gathering({"a": Mark(5.0, {IN: 10}), "web": Mark(6.0, {})}, NOW)
    found.look(NOW + 7200, {"a": worker(5.0, **{"in": 300}), "web": worker(NOW + 7190)})
    assert found.since == NOW
    assert found.taken(NOW + 7200).counts == {IN: 290}


def test_a_clock_that_was_set_back():
    found = begun(a=Mark(5.0, {IN: 10}))
    found.look(NOW - 3600, {"a": worker(5.0, **{"in": 11})})
    assert found.since == NOW - 3600
    assert found.taken(NOW - 3600).counts == {IN: 1}


def test_what_waits_is_of_all_shards_together_and_the_most_is_kept():
    found = begun()
    found.look(NOW + 10, {"a": queue("0", 5, 30.0), "b": queue("1", 2, 90.0)})
    found.look(NOW + 20, {"a": queue("0", 1, 10.0), "b": queue("1", 0, 0.0)})
    assert found.taken(NOW + 20).levels == {"queue/under-way": Level(8.0, 2, 7.0), "oldest": Level(100.0, 2, 90.0)}
    assert levels([]) == {}


@pytest.mark.parametrize("name", sorted(COUNTS))
def test_each_measure_that_is_kept_is_one_that_there_is_with_these_labels(name):
    family = measures._families[name.removesuffix("_bucket")]
    labels = [*family.labels, *(["le"] if name.endswith("_bucket") else [])]
    key = COUNTS[name](dict.fromkeys(labels, "x"))
    assert key.count("x") == len(labels) - (name == "postroad_stage_refusals_total")  # of which the stage is not kept
    assert measured([(name, tuple((label, "x") for label in labels), 4.0)]).counts == {key: 4}
