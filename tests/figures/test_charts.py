"""Charts out of rows: steps as people count them, sums that are right, and quantiles of histograms that add up."""

import os
import time
from datetime import datetime

import pytest

from engine.figures.charts import of_domain, of_server, of_tls
from engine.figures.spans import SPANS, moments
from engine.figures.store import FigureStore
from engine.operations.figures import as_csv, rows_of, seen, told
from engine.operations.operator import Forbidden, Operator
from tests.figures.figure_samples import filled, gathered

NOW = 1_800_000_000.0


@pytest.fixture
def zone():
    before = os.environ.get("TZ")

    def at(name):
        os.environ["TZ"] = name
        time.tzset()

    yield at
    os.environ.pop("TZ", None)
    if before is not None:
        os.environ["TZ"] = before
    time.tzset()


@pytest.fixture
def store(tmp_path):
    with FigureStore.open(tmp_path) as opened:
        yield opened


def rows(store, span, now=NOW):
    return store.rows(SPANS[span].rows, 0, now)


def chart(found, name):
    return {line.name: line.values for one in found.charts if one.name == name for line in one.series}


@pytest.mark.parametrize("name", ["Europe/Berlin", "America/St_Johns", "Asia/Ho_Chi_Minh", "UTC"])
@pytest.mark.parametrize("span", sorted(SPANS))
@pytest.mark.parametrize("when", [(2026, 3, 29, 13), (2026, 10, 25, 2), (2026, 10, 25, 23), (2026, 7, 1, 0)])
def test_steps_begin_when_the_clock_on_the_wall_is_round(zone, name, span, when):
    zone(name)
    now, one = datetime(*when, 7, 30).timestamp(), SPANS[span]
    found = moments(one, now)
    assert found == sorted(set(found))
    assert found[0] <= now - one.length < found[1]
    assert found[-2] <= now < found[-1]
    for moment in found:
        local = datetime.fromtimestamp(moment)
        assert local.second == 0
        assert (local.hour * 3600 + local.minute * 60) % one.step == 0, local
    assert len(found) <= one.length / one.step + 3


def test_a_part_of_a_second_moves_no_step(zone):
    zone("UTC")
    for part in range(1000):
        assert moments(SPANS["day"], NOW + part / 999.1) == moments(SPANS["day"], NOW + part // 999.1)


def test_each_step_has_its_counts_and_the_last_is_the_one_under_way(store):
    now = NOW + 1500
    for minute in range(25):
        begin = NOW + minute * 60
        store.add(
            begin,
            begin + 60,
            gathered({"arrived/accepted/in": 2, "arrived/refused/in": 1, "door/at_recipient": 3}),
            {},
            99,
        )
    found = of_server(SPANS["day"], now, rows(store, "day", now))
    assert chart(found, "taken") == {"in": (None,) * 142 + (20, 20, 10)}
    assert chart(found, "trouble")["refused"][-3:] == (40, 40, 20)
    assert chart(found, "trouble")["deferred"][-3:] == (0, 0, 0)
    assert found.times[-2] == NOW + 1200


def test_quantiles_are_of_all_mail_together_and_no_mean_of_quantiles(store):
    quick = {"took/mailbox/1.0": 99, "took/mailbox/10.0": 99, "took/mailbox/100.0": 99, "took/mailbox/+Inf": 99}
    slow = {"took/server/100.0": 1, "took/server/+Inf": 1}
    store.add(NOW, NOW + 60, gathered(quick), {}, 99)
    store.add(NOW + 60, NOW + 120, gathered(slow), {}, 99)
    delay = chart(of_server(SPANS["day"], NOW + 300, rows(store, "day", NOW + 300)), "delay")
    assert delay["p50"][-1] == pytest.approx(50 / 99)
    assert delay["p90"][-1] == pytest.approx(90 / 99)
    assert delay["p99"][-1] == pytest.approx(1.0)
    assert delay["p50"][-2] is None


def test_what_waits_is_the_most_that_was_seen(store):
    for minute, waiting in enumerate((3.0, 9.0, 4.0)):
        begin = NOW + minute * 60
        store.add(begin, begin + 60, gathered({}, **{"queue/under-way": waiting, "queue/parked": 7.0}), {}, 99)
    found = chart(of_server(SPANS["day"], NOW + 300, rows(store, "day", NOW + 300)), "queue")
    assert found["under-way"][-1] == 9.0
    assert found["parked"][-1] == 7.0


def test_a_domain_has_its_own_alone(store):
    names = ("domain/one.example/received", "domain/two.example/received", "domain/sub.one.example/junk")
    store.add(NOW, NOW + 60, gathered(dict(zip(names, (1, 2, 4), strict=True))), {}, 99)
    found = of_domain(SPANS["day"], NOW + 300, rows(store, "day", NOW + 300), "one.example")
    assert chart(found, "received") == {"clean": (None,) * 144 + (1,), "junk": (None,) * 144 + (0,)}


def test_tls_by_result_and_by_policy(store):
    counts = {"tls/sts/success": 5, "tls/sts/certificate-expired": 2, "tls/tlsa/certificate-expired": 1}
    store.add(NOW, NOW + 60, gathered(counts), {}, 99)
    found = of_tls(SPANS["day"], NOW + 300, rows(store, "day", NOW + 300))
    assert {name: values[-1] for name, values in chart(found, "tls-sent").items()} == {
        "success": 5,
        "certificate-expired": 3,
    }
    assert {name: values[-1] for name, values in chart(found, "tls-sent-policies").items()} == {
        "sts": 2, "tlsa": 1, "no-policy-found": 0,
    }  # fmt: skip


def test_sums_are_the_same_over_every_span(store):
    now = NOW + 25
    filled(store, now, 1)
    sums = {
        span: sum(filter(None, chart(seen(store, Operator("root"), span, now), "taken")["inbound"]))
        for span in ("week", "month", "year")
    }
    assert len(set(sums.values())) == 1
    assert min(sums.values()) > 0


def test_who_may_see_what(store):
    some = Operator("admin@one.example", frozenset({"one.example"}))
    with pytest.raises(Forbidden):
        seen(store, some, "day", NOW)
    with pytest.raises(Forbidden):
        seen(store, some, "day", NOW, part="tls")
    with pytest.raises(Forbidden):
        seen(store, some, "day", NOW, domain="two.example")
    assert {one.name for one in seen(store, some, "day", NOW, domain="one.example").charts} == {"received", "sent"}


def test_as_a_table_and_for_programs(store, zone):
    zone("Asia/Ho_Chi_Minh")
    store.add(NOW, NOW + 60, gathered({"arrived/accepted/in": 2}), {}, 99)
    found = seen(store, Operator("root"), "day", NOW + 300)
    head, lines = rows_of(found, "taken")
    assert head == ["time", "in"]
    assert lines[-1] == ["2027-01-15T15:00+07:00", 2]
    assert as_csv(head, lines).splitlines()[-1] == "2027-01-15T15:00+07:00,2"
    assert as_csv(head, lines).splitlines()[1].endswith(",")
    with pytest.raises(KeyError):
        rows_of(found, "nothing")
    assert len(told(found).times) == len(told(found).charts[0].series[0].values) + 1


def test_no_cell_is_a_formula():
    text = as_csv(["=1+1"], [["@sum(a1)", 2, None, -3.5], ["+1", "a,b", 'q"', "-x"]])
    assert text.splitlines() == ["'=1+1", "'@sum(a1),2,,-3.5", '\'+1,"a,b","q""",\'-x']
