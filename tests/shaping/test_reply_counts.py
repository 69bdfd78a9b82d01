"""Replies that are counted together: by workers, by nodes that share a real Redis."""

import subprocess
import sys
import time
from pathlib import Path

from engine.abuse import Tables
from engine.config.automation import Automation
from engine.shaping.actions import ActionStore
from engine.shaping.automation import Actions, Said
from engine.shaping.counts import Counts, Share, Threshold
from engine.units import Duration, Rate
from tests.support.post import Clock
from tests.support.programs import marks
from tests.support.redis import Redis
from tests.support.server import ROOT

NAME = ("reply", "rule", "mx")
TEN = Threshold(10, 300.0, 3600.0)
HALF = Share(50, 20, 600.0, 3600.0)

COUNT = """
import sys, time
from pathlib import Path
import trio
from engine.abuse import Tables
from engine.abuse.valkey import Valkey
from engine.config import Shared
from engine.shaping.counts import Counts, Threshold

async def main():
    tables = Tables.open(Path(sys.argv[1]))
    if len(sys.argv) > 3:
        tables.server = Valkey(Shared(url=sys.argv[3], password_file=Path(sys.argv[4])))
    counts = Counts(tables, sys.argv[1])
    for _ in range(int(sys.argv[2])):
        if await counts.reached(("reply", "rule", "mx"), Threshold(100, 300.0, 3600.0), time.time()):
            print("reached", flush=True)

trio.run(main)
"""


async def test_ten_in_five_minutes_are_those_of_all_workers(tables: Tables, clock: Clock) -> None:
    workers = [Counts(tables, "here", clock) for _ in range(3)]
    found = [await workers[number % 3].reached(NAME, TEN, clock.now) for number in range(10)]
    assert found == [0.0] * 9 + [clock.now + 3600]
    assert [await workers[0].reached(NAME, TEN, clock.now + 2) for _ in range(9)] == [0.0] * 9, "it begins anew"


async def test_what_was_before_does_not_count(tables: Tables, clock: Clock) -> None:
    counts = Counts(tables, "here", clock)
    assert not any([await counts.reached(NAME, TEN, clock.now + number * 34) for number in range(40)])
    assert await counts.reached(NAME, TEN, clock.now + 39 * 34 + 1) > 0


async def test_what_several_workers_find_at_once_is_found_once(tables: Tables, clock: Clock) -> None:
    first = Threshold(1, 60.0, 3600.0)
    workers = [Counts(tables, "here", clock) for _ in range(3)]
    assert [bool(await one.reached(NAME, first, clock.now + 0.1)) for one in workers] == [True, False, False]
    assert await workers[1].reached(NAME, first, clock.now + 60) > 0, "somebody has lifted it"


async def test_a_node_joins_at_its_next_reply_and_once(tables: Tables, clock: Clock) -> None:
    here, there = Counts(tables, "here", clock), Counts(tables, "there", clock)
    until = [await here.reached(NAME, TEN, clock.now) for _ in range(10)][-1]
    assert await there.reached(NAME, TEN, clock.now + 600) == until
    assert await there.reached(NAME, TEN, clock.now + 601) == 0.0, "it was lifted there, and counts anew"
    assert await here.reached(NAME, TEN, clock.now + 602) == 0.0


async def test_a_share_is_that_of_all_workers(tables: Tables, clock: Clock) -> None:
    one, other = Counts(tables, "here", clock), Counts(tables, "here", clock)
    for _ in range(12):
        other.pass_by(NAME, HALF)
    assert not any([await one.share_reached(NAME, HALF, clock.now) for _ in range(11)])
    await other.tell()
    assert await one.share_reached(NAME, HALF, clock.now) == clock.now + 3600
    assert await other.share_reached(NAME, HALF, clock.now + 2) == 0.0


async def test_halves_of_a_share_go_by(tables: Tables, clock: Clock) -> None:
    counts = Counts(tables, "here", clock)
    assert not any([await counts.share_reached(NAME, HALF, clock.now) for _ in range(19)])
    assert await counts.share_reached(NAME, HALF, clock.now + 601) == 0.0
    assert not any([await counts.share_reached(NAME, HALF, clock.now + 601) for _ in range(18)])
    assert await counts.share_reached(NAME, HALF, clock.now + 601 + 299) > 0


async def test_the_actions_of_two_workers(tables: Tables, clock: Clock, tmp_path: Path) -> None:
    rule = Automation(name="x", codes=("4",), after=Rate("4/1m"), action="suspend", lasts=Duration("1h"))
    now = time.time()
    with ActionStore.open(tmp_path) as store:
        workers = [Actions(store, (rule,), counts=Counts(tables, "here", clock)) for _ in range(2)]
        said = Said("mx", "one", "450 no")
        taken = [await workers[number % 2].heard(said, now) for number in range(4)]
        assert [bool(one) for one in taken] == [False, False, False, True]
        workers[1].close()
        assert workers[0].in_force("mx", "one", now).waits(now) == 3600
        assert await workers[0].heard(said, now + 1) == [], "it is in force already"


def reached(*commands: list[str]) -> int:
    """How often so many processes have found that there were enough."""
    running = [
        subprocess.Popen([sys.executable, "-c", COUNT, *command], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for command in commands
    ]
    return sum(one.communicate()[0].count("reached") for one in running)


def test_no_reply_of_three_processes_is_lost(tmp_path: Path) -> None:
    Tables.open(tmp_path / "abuse").close()
    assert reached(*[[str(tmp_path / "abuse"), "33"]] * 3) == 0
    assert reached([str(tmp_path / "abuse"), "1"]) == 1


class TestNodes:
    pytestmark = marks("redis-server")

    def test_no_reply_of_two_nodes_is_lost(self, tmp_path: Path, redis: Redis) -> None:
        place = [redis.settings.url, str(redis.settings.password_file)]
        nodes = [str(tmp_path / name) for name in ("one", "two")]
        assert reached(*([node, "49", *place] for node in nodes)) == 0
        assert reached([nodes[0], "2", *place]) == 1
        assert reached([nodes[1], "1", *place]) == 1, "the other one joins"
