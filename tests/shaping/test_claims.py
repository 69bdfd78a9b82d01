"""Connections that are claimed together: by tasks, by processes that are killed, by nodes that share a real Redis."""

import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from engine.abuse import Tables
from engine.abuse.table import Kept, key_of
from engine.abuse.valkey import Valkey
from engine.shaping.claims import CALM, RENEW, Claims
from engine.shaping.places import LEASE, WAITS
from tests.support.post import Clock
from tests.support.programs import marks
from tests.support.redis import Redis
from tests.support.server import ROOT
from tests.support.virtual import OneRoof

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
        count += await claims.take({"provider/big/mx1": 5}, lambda: False)
        await trio.sleep(0.01)
    print(count, flush=True)
    sys.stdin.read()

trio.run(main)
"""


class Applicant:
    """Somebody who wants places, and is told when to ask again."""

    def __init__(self, claims: Claims, *, wants: bool = True) -> None:
        self.claims = claims
        self.wants = wants
        self.told = trio.Event()

    def again(self) -> bool:
        self.told.set()
        return self.wants

    async def take(self, wanted: Mapping[str, int] = WANTED, *, hungry: bool = True) -> bool:
        return await self.claims.take(wanted, self.again, lambda: hungry)

    async def takes(self, count: int, *, hungry: bool = True) -> list[bool]:
        return [await self.take(hungry=hungry) for _ in range(count)]


async def test_no_more_than_there_are_and_none_is_lost(tables: Tables, clock: Clock) -> None:
    one, other = Applicant(Claims(tables, clock)), Applicant(Claims(tables, clock))
    assert await one.takes(3) == [True] * 3
    assert await other.takes(3) == [True, True, False]
    one.claims.give_back(tuple(WANTED))
    clock.now += CALM + 0.1
    assert not await other.take(), "which it does not know of yet"
    await one.claims.tell("provider/big/mx1")
    clock.now += CALM + 0.1
    assert await other.take()
    clock.now += CALM + 0.1
    assert not await one.take()


async def test_of_several_names_all_or_none(tables: Tables, clock: Clock) -> None:
    one, other = Applicant(Claims(tables, clock)), Applicant(Claims(tables, clock))
    assert await other.take({"b": 1})
    assert not await one.take({"a": 2, "b": 1})
    clock.now += WAITS
    assert [await other.take({"a": 2}), await other.take({"a": 2})] == [True, True]
    assert not await one.take({"a": 2})


async def test_who_waits_for_one_of_two_places_is_in_nobodys_way_at_the_other(tables: Tables, clock: Clock) -> None:
    claims = Claims(tables, clock)
    one, both, other = (Applicant(claims) for _ in range(3))
    assert await one.take({"b": 1})
    assert await other.take({"a": 2})
    clock.now += 0.1
    assert not await both.take({"a": 2, "b": 1})
    clock.now += 0.1
    assert await other.take({"a": 2})
    claims.give_back(["a"])
    assert not both.told.is_set()
    claims.give_back(["b"])
    assert both.told.is_set()
    assert await both.take({"a": 2, "b": 1})


async def test_what_is_given_back_is_used_again_without_a_change(tables: Tables, clock: Clock) -> None:
    one = Applicant(Claims(tables, clock))
    assert await one.take()
    before = tables.changes
    one.claims.give_back(tuple(WANTED))
    assert await one.take()
    assert tables.changes == before


async def test_what_nobody_renews_is_free_again(tables: Tables, clock: Clock) -> None:
    gone, other = Applicant(Claims(tables, clock)), Applicant(Claims(tables, clock))
    assert await gone.takes(MOST) == [True] * MOST
    clock.now += LEASE - 1
    assert not await other.take()
    await gone.claims.tell("provider/big/mx1")
    clock.now += 2
    assert not await other.take()
    clock.now += LEASE
    assert await other.take()


async def test_who_has_none_goes_before_those_who_have(tables: Tables, clock: Clock) -> None:
    rich, poor = Applicant(Claims(tables, clock)), Applicant(Claims(tables, clock))
    assert await rich.takes(MOST) == [True] * MOST
    assert not await rich.take(hungry=False)
    clock.now += 0.1
    assert not await poor.take()
    rich.claims.give_back(tuple(WANTED))
    assert rich.told.is_set(), "it waits for longer, but for one more"
    assert not await rich.take(hungry=False), "somebody waits who has none"
    await rich.claims.tell("provider/big/mx1")
    assert await poor.take()
    poor.claims.give_back(tuple(WANTED))
    await poor.claims.tell("provider/big/mx1")
    clock.now += CALM + 0.1
    assert await rich.take(hungry=False), "which nobody does any more"


@asynccontextmanager
async def stuck(tables: Tables, *claims: Claims) -> AsyncIterator[None]:
    """Processes that are there, and do nothing about what they hear."""
    async with trio.open_nursery() as nursery:
        for one in claims:
            nursery.start_soon(tables.bells.listen, one._me, lambda: None)
        await trio.testing.wait_all_tasks_blocked(0.01)
        yield
        nursery.cancel_scope.cancel()


async def test_who_waits_first_comes_first_in_whichever_process(tables: Tables, clock: Clock) -> None:
    """A process with many sites that want places does not pass them round among these."""
    here, there = Claims(tables, clock), Claims(tables, clock)
    holders, elsewhere, late = Applicant(here), Applicant(there), Applicant(here)
    async with stuck(tables, here, there):
        assert await holders.takes(MOST) == [True] * MOST
        for one in (elsewhere, late):
            clock.now += 0.1
            assert not await one.take()
        here.give_back(tuple(WANTED))
        assert late.told.is_set()
        assert not await late.take()
        await here.tell("provider/big/mx1")
        assert await elsewhere.take()


async def freed(clock: Clock, holder: Applicant, *waiting: Applicant) -> None:
    """Some wait, one after the other, and then a place becomes free."""
    assert await holder.takes(MOST) == [True] * MOST
    for one in waiting:
        clock.now += 0.1
        assert not await one.take()
    holder.claims.give_back(tuple(WANTED))
    await holder.claims.tell("provider/big/mx1")
    clock.now += CALM + 0.1


async def test_who_waits_and_does_nothing_is_waited_for_only_shortly(tables: Tables, clock: Clock) -> None:
    holder, wedged, late = (Applicant(Claims(tables, clock)) for _ in range(3))
    async with stuck(tables, wedged.claims, late.claims):
        await freed(clock, holder, wedged, late)
        assert not await late.take()
        clock.now += WAITS
        assert await late.take()


async def test_who_waits_and_is_gone_is_not_waited_for(tables: Tables, clock: Clock) -> None:
    """Who gives a place back rings in vain for those that were killed, and then for who stands behind them."""
    holder, gone, another, late = (Applicant(Claims(tables, clock)) for _ in range(4))
    async with running(late.claims):
        await freed(clock, holder, gone, another, late)
        with trio.fail_after(60):
            await late.told.wait()
        assert await late.take()


async def test_an_entry_of_another_release_is_no_trouble(tables: Tables, clock: Clock) -> None:
    await tables["connections"].change(
        [key_of("provider/big/mx1")],
        lambda _: (None, {key_of("provider/big/mx1"): Kept(b"\x92\x80\xcb" + b"\0" * 8, 9)}),
    )
    assert await Applicant(Claims(tables, clock)).take()


@asynccontextmanager
async def running(*claims: Claims) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        for one in claims:
            nursery.start_soon(one.run)
            one._in_use.set()
        await trio.testing.wait_all_tasks_blocked(0.01)
        yield
        nursery.cancel_scope.cancel()


async def test_who_waits_is_woken_by_another_process(tables: Tables) -> None:
    """Without a look of its own."""
    one, other = Applicant(Claims(tables)), Applicant(Claims(tables))
    async with running(one.claims, other.claims):
        assert await one.takes(MOST) == [True] * MOST
        assert not await other.take()
        one.claims.give_back(tuple(WANTED))
        with trio.fail_after(5):
            await other.told.wait()
            while not await other.take():
                await trio.sleep(0.01)


async def test_what_a_killed_process_held_is_found_at_the_moment_at_which_its_lease_ends(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Nobody rings then."""
    virtual = OneRoof()
    killed, alive, other = (Applicant(virtual.claims()) for _ in range(3))
    async with running(alive.claims, other.claims):
        assert await killed.take()
        ends = trio.current_time() + LEASE
        await trio.sleep(7)
        assert await alive.takes(MOST - 1) == [True] * (MOST - 1)
        assert not await other.take()
        other.told = trio.Event()
        with trio.fail_after(LEASE):
            await other.told.wait()
        assert ends <= trio.current_time() < ends + 0.1
        assert await other.take()
        assert not await other.take(), "those who live have renewed theirs"


async def test_a_ring_that_was_lost_costs_as_long_as_a_renewal(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    virtual = OneRoof()
    one, other = Applicant(virtual.claims()), Applicant(virtual.claims())
    async with running(one.claims, other.claims):
        assert await one.takes(MOST) == [True] * MOST
        assert not await other.take()
        await trio.sleep(RENEW + 1)

        async def lost(those: Iterable[str]) -> list[str]:
            return []

        monkeypatch.setattr(virtual.bells, "ring", lost)
        other.told = trio.Event()
        before = trio.current_time()
        one.claims.give_back(tuple(WANTED))
        with trio.fail_after(60):
            await other.told.wait()
        assert trio.current_time() <= before + RENEW + 0.1
        assert await other.take()


async def test_who_waits_looks_seldom(autojump_clock: trio.testing.MockClock) -> None:
    """He is woken; what he says meanwhile is that he is still there."""
    virtual = OneRoof()
    one, other = Applicant(virtual.claims()), Applicant(virtual.claims())
    async with running(one.claims, other.claims):
        assert await one.takes(MOST) == [True] * MOST
        assert not await other.take()
        await trio.sleep(1)
        before = virtual["connections"].changes
        await trio.sleep(20 * RENEW)
        assert virtual["connections"].changes - before <= 2 * 21, "a renewal for each of both"


async def test_what_rests_ends_for_who_waits_elsewhere(tables: Tables) -> None:
    one, other, ended = Applicant(Claims(tables)), Applicant(Claims(tables)), trio.Event()
    async with running(one.claims, other.claims):
        assert await one.takes(MOST) == [True] * MOST
        assert not await one.claims.is_wanted(WANTED)
        with one.claims.resting(WANTED, ended.set), trio.fail_after(5):
            assert not await other.take()
            await ended.wait()
        assert await one.claims.is_wanted(WANTED)
        assert await one.claims.is_wanted(WANTED, 0)


async def test_who_wants_nothing_any_more_is_passed_by(tables: Tables) -> None:
    one, content, other = Applicant(Claims(tables)), Applicant(Claims(tables), wants=False), Applicant(Claims(tables))
    async with running(one.claims, content.claims, other.claims):
        assert await one.takes(MOST) == [True] * MOST
        assert [await content.take(), await other.take()] == [False, False]
        one.claims.give_back(tuple(WANTED))
        with trio.fail_after(5):
            await other.told.wait()
        assert content.told.is_set()


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
        one = Applicant(Claims(tables, clock))
        assert not await one.take()
        clock.now += LEASE + 1
        assert await one.take()


class TestNodes:
    pytestmark = marks("redis-server")

    async def test_nodes_share_exactly_and_one_that_is_gone_blocks_nobody_for_ever(
        self, tmp_path: Path, redis: Redis
    ) -> None:
        place = [redis.settings.url, str(redis.settings.password_file)]
        assert held(holders(*([str(tmp_path / name), *place] for name in ("one", "two")))) == MOST
        clock = Clock(time.time())
        with Tables.open(tmp_path / "three", clock) as tables:
            tables.server = Valkey(redis.settings)
            one = Applicant(Claims(tables, clock))
            assert not await one.take()
            clock.now += LEASE + 1
            assert await one.take()

    async def test_who_waits_on_another_node_is_woken(self, tmp_path: Path, redis: Redis) -> None:
        with Tables.open(tmp_path / "one") as here, Tables.open(tmp_path / "two") as there:
            here.server, there.server = Valkey(redis.settings), Valkey(redis.settings)
            one, other = Applicant(Claims(here)), Applicant(Claims(there))
            for tables in (here, there):  # as on two machines
                tables.bells._rung_here = lambda _: False  # type: ignore[method-assign]
            async with running(one.claims, other.claims):
                assert await one.takes(MOST) == [True] * MOST
                assert not await other.take()
                await trio.sleep(0.2)
                other.told = trio.Event()
                one.claims.give_back(tuple(WANTED))
                with trio.fail_after(5):
                    await other.told.wait()

    async def test_who_waits_on_a_node_that_is_gone_is_not_waited_for(self, tmp_path: Path, redis: Redis) -> None:
        clock = Clock(time.time())
        with Tables.open(tmp_path / "one", clock) as here, Tables.open(tmp_path / "two", clock) as there:
            here.server, there.server = Valkey(redis.settings), Valkey(redis.settings)
            for tables in (here, there):
                tables.bells._rung_here = lambda _: False  # type: ignore[method-assign]
            holder, gone = Applicant(Claims(here, clock)), Applicant(Claims(there, clock))
            late = Applicant(Claims(here, clock))
            async with running(late.claims):
                await freed(clock, holder, gone, late)
                with trio.fail_after(60):
                    await late.told.wait()
                assert await late.take()
