"""Warm-up: never one more than the plan has for the day, among all processes."""

import datetime
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from engine import Defer
from engine.abuse import Tables
from engine.abuse.valkey import Valkey
from engine.config import EgressPool, EgressSource, WarmUp
from engine.egress import Egress, Leaving, Plan
from engine.egress.days import Days
from tests.egress.conftest import NOON
from tests.egress.leaving import letter
from tests.support.post import Clock
from tests.support.programs import needs
from tests.support.redis import Redis
from tests.support.server import ROOT

START = datetime.date(2026, 11, 1)
PLAN = WarmUp(START, (2, 3), days=2)
TARGETS = [("mx.example.net", "192.0.2.7")]
DAY = 86_400.0

TAKE = """
import sys
from pathlib import Path
import trio
from engine.abuse import Tables
from engine.config import WarmUp
from engine.egress.days import Days

async def main():
    days = Days(Tables.open(Path(sys.argv[1])), lambda: float(sys.argv[2]))
    warm_up = WarmUp(days.today(), (500,))
    print(sum([await days.take("mx1", "", warm_up) is not None for _ in range(400)]))

trio.run(main)
"""


@pytest.mark.parametrize(
    ("past", "ceiling"), [(-1, 0), (0, 2), (1, 2), (2, 3), (3, 3), (4, None), (400, None)], ids=str
)
def test_the_ceiling_of_a_day(past: int, ceiling: int | None) -> None:
    assert PLAN.ceiling(START + datetime.timedelta(days=past)) == ceiling


async def test_no_more_than_the_plan_has_for_today(tables: Tables, clock: Clock) -> None:
    days = Days(tables, clock)
    taken = [await days.take("mx1", "site", PLAN) for _ in range(3)]
    assert taken == ["2026-11-01", "2026-11-01", None]
    await days.give_back("mx1", "site", PLAN, "2026-11-01")
    assert [await days.take("mx1", "another", PLAN) for _ in range(2)] == ["2026-11-01", None]
    assert days.left_of_today() == DAY / 2
    clock.now += DAY / 2
    assert days.counts() == []
    assert await days.take("mx1", "site", PLAN) == "2026-11-02"
    await days.give_back("mx1", "site", PLAN, "2026-11-01")  # what was sent yesterday is nothing of today's
    assert [(count.source, count.site, count.count) for count in days.counts()] == [("mx1", "", 1)]


async def test_each_site_may_have_a_plan_of_its_own(tables: Tables, clock: Clock) -> None:
    days, plan = Days(tables, clock), WarmUp(START, (1,), per="site")
    taken = [await days.take("mx1", site, plan) for site in ("a", "b", "a")]
    assert taken == ["2026-11-01", "2026-11-01", None]
    assert [(count.site, count.count) for count in days.counts()] == [("a", 1), ("b", 1)]


async def test_when_the_plan_is_done_nothing_is_counted(tables: Tables, clock: Clock) -> None:
    days = Days(tables, clock)
    assert await days.take("mx1", "", WarmUp(datetime.date(2026, 1, 1), (1,))) == ""
    await days.give_back("mx1", "", PLAN, "")
    assert days.counts() == []


def test_processes_share_a_ceiling(tmp_path: Path) -> None:
    command = [sys.executable, "-c", TAKE, str(tmp_path / "abuse"), str(NOON)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(3)]
    assert sum(int(one.communicate(timeout=120)[0]) for one in running) == 500


@needs("redis-server")
async def test_nodes_share_a_ceiling(tmp_path: Path) -> None:
    redis = Redis(tmp_path)
    redis.start()
    try:
        nodes = []
        for name in ("one", "two"):
            tables = Tables.open(tmp_path / name, Clock(NOON))
            tables.server = Valkey(redis.settings)
            nodes.append(Days(tables, Clock(NOON)))
        plan = WarmUp(START, (25,))
        taken: list[str | None] = []

        async def take(days: Days) -> None:
            for _ in range(20):
                taken.append(await days.take("mx1", "", plan))

        async with trio.open_nursery() as nursery:
            for days in nodes:
                nursery.start_soon(take, days)
        assert sum(one is not None for one in taken) == 25
    finally:
        redis.kill()


def pool(full: str, *names: str) -> dict[str, EgressPool]:
    return {"bulk": EgressPool(sources=dict.fromkeys(names, 1), full=full)}  # type: ignore[arg-type]


async def test_what_is_too_much_for_one_source_leaves_from_another(egress: Egress, plan: Callable[..., Plan]) -> None:
    sources = {"new": EgressSource(warm_up=WarmUp(START, (3,))), "old": EgressSource()}
    egress.plan = plan(sources, pool("next", "new", "old"))
    left = [await egress.leave(letter(), "site", 25, TARGETS, pool="bulk") for _ in range(40)]
    names = [leaving.source.name for leaving in left if isinstance(leaving, Leaving)]
    assert (names.count("new"), names.count("old")) == (3, 37)


async def test_where_all_are_new_the_rest_waits_for_tomorrow(egress: Egress, plan: Callable[..., Plan]) -> None:
    sources = {"new": EgressSource(warm_up=WarmUp(START, (1,)))}
    egress.plan = plan(sources, pool("next", "new"))
    first = await egress.leave(letter(), "site", 25, TARGETS, pool="bulk")
    assert isinstance(first, Leaving)
    wait = await egress.leave(letter(), "site", 25, TARGETS, pool="bulk")
    assert isinstance(wait, Defer)
    assert (wait.line, wait.retry_after) == ("egress/bulk", DAY / 2)
    await egress.stayed(first)
    assert isinstance(await egress.leave(letter(), "site", 25, TARGETS, pool="bulk"), Leaving)


async def test_mail_may_wait_for_its_own_source(egress: Egress, plan: Callable[..., Plan]) -> None:
    sources = {"new": EgressSource(warm_up=WarmUp(START, (1,), per="site")), "old": EgressSource()}
    egress.plan = plan(sources, pool("wait", "new", "old"))
    left = [await egress.leave(letter(), "site", 25, TARGETS, pool="bulk") for _ in range(60)]
    assert sum(isinstance(each, Leaving) and each.source.name == "new" for each in left) == 1
    assert {each.line for each in left if isinstance(each, Defer)} == {"egress/bulk/site"}
