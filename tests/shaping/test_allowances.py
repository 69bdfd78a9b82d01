"""Rates that are taken from together: by tasks, by processes, by nodes that share a real Redis."""

import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import trio

from engine import Rate
from engine.abuse import Tables
from engine.abuse.valkey import Valkey
from engine.shaping.allowances import Allowances
from tests.support.post import Clock
from tests.support.programs import marks
from tests.support.redis import Redis
from tests.support.server import ROOT

HOUR = 3600.0

TAKE = """
import sys, time
from pathlib import Path
import trio
from engine import Rate
from engine.abuse import Tables
from engine.abuse.valkey import Valkey
from engine.config import Shared
from engine.shaping.allowances import Allowances

async def main():
    tables = Tables.open(Path(sys.argv[1]))
    if len(sys.argv) > 3:
        tables.server = Valkey(Shared(url=sys.argv[3], password_file=Path(sys.argv[4])))
    looked = []

    def clock():
        looked.append(time.time())
        return looked[-1]

    allowances, end = Allowances(tables, clock), time.time() + float(sys.argv[2])
    while time.time() < end:
        wait = await allowances.take([("site", Rate("40/1s"), 1), ("tenant", Rate("100000/1h"), 1)])
        if wait:
            await trio.sleep(min(wait, 0.01))
        else:
            print(repr(looked[-1]))
    tables.close()

trio.run(main)
"""


async def test_all_or_nothing_is_taken(tables: Tables, clock: Clock) -> None:
    allowances = Allowances(tables, clock)
    wanted = [("a", Rate("3/1m"), 1), ("b", Rate("2/1h"), 1)]
    assert [await allowances.take(wanted) for _ in range(2)] == [0.0, 0.0]
    wait = await allowances.take(wanted)
    assert HOUR < wait < 1.01 * HOUR
    assert await allowances.take([("a", Rate("3/1m"), 1)]) == 0.0, "the refused one took nothing of it"
    assert 60 < await allowances.take([("a", Rate("3/1m"), 1)]) < 61
    assert await allowances.take([]) == 0.0
    clock.now += wait
    assert await allowances.take(wanted) == 0.0


async def test_a_name_has_rates_over_several_times(tables: Tables, clock: Clock) -> None:
    allowances = Allowances(tables, clock)
    both = [("a", Rate("2/1s"), 1), ("a", Rate("3/1h"), 1)]
    assert [bool(await allowances.take(both)) for _ in range(3)] == [False, False, True]
    clock.now += 1.1
    assert [bool(await allowances.take(both)) for _ in range(2)] == [False, True]


async def test_more_than_a_rate_allows_has_it_all_to_itself(tables: Tables, clock: Clock) -> None:
    allowances = Allowances(tables, clock)
    assert await allowances.take([("a", Rate("10/1m"), 25)]) == 0.0
    assert await allowances.take([("a", Rate("10/1m"), 1)]) > 0
    clock.now += 61
    assert await allowances.take([("a", Rate("10/1m"), 1), ("a", Rate("10/1m"), 2)]) == 0.0
    assert await allowances.take([("a", Rate("10/1m"), 8)]) > 0
    assert await allowances.take([("a", Rate("10/1m"), 7)]) == 0.0


async def test_a_rate_that_was_raised_holds_at_once(tables: Tables, clock: Clock) -> None:
    allowances = Allowances(tables, clock)
    assert await allowances.take([("a", Rate("1/1h"), 1)]) == 0.0
    assert await allowances.take([("a", Rate("1/1h"), 1)]) > 0
    assert await allowances.take([("a", Rate("2/1h"), 1)]) == 0.0


async def test_a_clock_that_was_wrong_shuts_nobody_out(tables: Tables, clock: Clock) -> None:
    clock.now += 10 * HOUR
    allowances = Allowances(tables, clock)
    assert await allowances.take([("a", Rate("1/1m"), 1)]) == 0.0
    assert await allowances.take([("a", Rate("1/1m"), 1)]) > 0
    clock.now -= 10 * HOUR
    assert await allowances.take([("a", Rate("1/1m"), 1)]) == 0.0


async def test_it_is_remembered_by_the_next_process(tables: Tables, clock: Clock) -> None:
    assert await Allowances(tables, clock).take([("a", Rate("1/1d"), 1)]) == 0.0
    assert await Allowances(tables, clock).take([("a", Rate("1/1d"), 1)]) > 80_000


def times_of(*commands: list[str]) -> list[float]:
    running = [
        subprocess.Popen([sys.executable, "-c", TAKE, *command], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for command in commands
    ]
    return sorted(float(line) for one in running for line in one.communicate()[0].split())


def check(times: list[float], rate: int) -> None:
    """No second has more; the whole is used, as far as anyone was running."""
    counts = Counter({start: sum(start <= time < start + 1 for time in times) for start in times})
    assert counts.most_common(1)[0][1] <= rate
    assert len(times) >= rate


def test_processes_share_a_rate_exactly(tmp_path: Path) -> None:
    Tables.open(tmp_path / "abuse").close()
    check(times_of(*[[str(tmp_path / "abuse"), "2.5"]] * 3), 40)


class TestNodes:
    pytestmark = marks("redis-server")

    def test_nodes_share_a_rate_exactly(self, tmp_path: Path, redis: Redis) -> None:
        place = [redis.settings.url, str(redis.settings.password_file)]
        check(times_of(*([str(tmp_path / name), "2.5", *place] for name in ("one", "two"))), 40)

    async def test_while_the_server_is_gone_a_node_counts_what_it_knows(self, tmp_path: Path, redis: Redis) -> None:
        with Tables.open(tmp_path / "abuse") as tables:
            tables.server = Valkey(redis.settings)
            allowances = Allowances(tables, time.time)
            assert await allowances.take([("a", Rate("2/1h"), 1)]) == 0.0
            redis.kill()
            with trio.fail_after(60):
                assert await allowances.take([("a", Rate("2/1h"), 1)]) == 0.0
                assert await allowances.take([("a", Rate("2/1h"), 1)]) > 0
