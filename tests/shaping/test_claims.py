"""Connections that are claimed together: by tasks, by processes that are killed, by nodes that share a real Redis."""

import subprocess
import sys
import time
from pathlib import Path

from engine.abuse import Tables
from engine.shaping.claims import CALM, HUNGER, LEASE, Claims
from tests.support.post import Clock
from tests.support.programs import marks
from tests.support.redis import Redis
from tests.support.server import ROOT

MOST = 5
WANTED = {"provider/big/mx1": MOST}

HOLD = """
import sys
from pathlib import Path
import trio
from engine.abuse import Tables
from engine.abuse.valkey import Valkey
from engine.config import Shared
from engine.shaping.claims import Claims

async def main():
    tables = Tables.open(Path(sys.argv[1]))
    if len(sys.argv) > 2:
        tables.server = Valkey(Shared(url=sys.argv[2], password_file=Path(sys.argv[3])))
    claims, count = Claims(tables), 0
    for _ in range(20):
        count += await claims.take({"provider/big/mx1": 5})
        await trio.sleep(0.01)
    print(count, flush=True)
    sys.stdin.read()

trio.run(main)
"""


async def test_no_more_than_there_are_and_none_is_lost(tables: Tables, clock: Clock) -> None:
    one, other = Claims(tables, clock), Claims(tables, clock)
    assert [await one.take(WANTED) for _ in range(3)] == [True] * 3
    assert [await other.take(WANTED) for _ in range(3)] == [True, True, False]
    one.give_back(WANTED)
    clock.now += CALM + 0.1
    assert not await other.take(WANTED), "which it does not know of yet"
    await one.tell("provider/big/mx1")
    clock.now += CALM + 0.1
    assert await other.take(WANTED)
    clock.now += CALM + 0.1
    assert not await one.take(WANTED)


async def test_of_several_names_all_or_none(tables: Tables, clock: Clock) -> None:
    one, other = Claims(tables, clock), Claims(tables, clock)
    assert await other.take({"b": 1})
    assert not await one.take({"a": 2, "b": 1})
    clock.now += 1
    assert [await other.take({"a": 2}), await other.take({"a": 2})] == [True, True]
    assert not await one.take({"a": 2})


async def test_what_is_given_back_is_used_again_without_a_look(tables: Tables, clock: Clock) -> None:
    claims = Claims(tables, clock)
    assert await claims.take(WANTED)
    before = tables.changes
    claims.give_back(WANTED)
    assert await claims.take(WANTED)
    assert tables.changes == before


async def test_what_nobody_renews_is_free_again(tables: Tables, clock: Clock) -> None:
    gone, other = Claims(tables, clock), Claims(tables, clock)
    assert [await gone.take(WANTED) for _ in range(MOST)] == [True] * MOST
    clock.now += LEASE - 1
    assert not await other.take(WANTED)
    await gone.tell("provider/big/mx1")
    clock.now += 2
    assert not await other.take(WANTED)
    clock.now += LEASE
    assert await other.take(WANTED)


async def test_who_has_none_goes_before_those_who_have(tables: Tables, clock: Clock) -> None:
    rich, poor = Claims(tables, clock), Claims(tables, clock)
    assert [await rich.take(WANTED, hungry=False) for _ in range(MOST)] == [True] * MOST
    assert not await poor.take(WANTED)
    rich.give_back(WANTED)
    await rich.tell("provider/big/mx1")
    clock.now += CALM + 0.1
    assert not await rich.take(WANTED, hungry=False), "somebody waits who has none"
    assert await poor.take(WANTED)
    await poor.tell("provider/big/mx1")
    poor.give_back(WANTED)
    await poor.tell("provider/big/mx1")
    clock.now += HUNGER + CALM
    assert await rich.take(WANTED, hungry=False), "which nobody does for ever"


def holders(*commands: list[str]) -> list["subprocess.Popen[str]"]:
    return [
        subprocess.Popen(
            [sys.executable, "-c", HOLD, *command], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for command in commands
    ]


def held(running: list["subprocess.Popen[str]"]) -> int:
    """How many they have together; then they are killed."""
    try:
        return sum(int(one.stdout.readline()) for one in running if one.stdout is not None)
    finally:
        for one in running:
            one.kill()
            one.wait()
            for end in (one.stdin, one.stdout):
                if end is not None:
                    end.close()


async def test_processes_share_exactly_and_a_killed_one_blocks_nobody_for_ever(tmp_path: Path) -> None:
    Tables.open(tmp_path / "abuse").close()
    assert held(holders(*[[str(tmp_path / "abuse")]] * 3)) == MOST
    clock = Clock(time.time())
    with Tables.open(tmp_path / "abuse", clock) as tables:
        claims = Claims(tables, clock)
        assert not await claims.take(WANTED)
        clock.now += LEASE + 1
        assert await claims.take(WANTED)


class TestNodes:
    pytestmark = marks("redis-server")

    def test_nodes_share_exactly(self, tmp_path: Path, redis: Redis) -> None:
        place = [redis.settings.url, str(redis.settings.password_file)]
        assert held(holders(*([str(tmp_path / name), *place] for name in ("one", "two")))) == MOST
