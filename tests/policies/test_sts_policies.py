"""Which MTA-STS policy holds: what is fetched, kept, kept on, asked for anew, and forgotten."""

from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from engine.net.dns import Answer, DnsTrouble, NoData, Outcome
from engine.policies.fetching import NoPolicy
from engine.policies.results import TlsResult
from engine.policies.store import AGAIN, UNUSED, InMemory, StsMemory, StsStore
from engine.policies.sts import FAILED_FOR, StsPolicies
from engine.protocols.mta_sts import StsPolicy

ENFORCE = StsPolicy("enforce", 7 * 86_400, ("*.example.com",))
TESTING = ENFORCE._replace(mode="testing")
DAY = 86_400.0


class World:
    """A domain with a record and a policy, and a clock for each kind of time, which move together."""

    def __init__(self, memory: Callable[[Callable[[], float]], StsMemory]) -> None:
        self.time = 1_000_000.0
        self.record: str | None = "v=STSv1; id=1"
        self.trouble = False
        self.policy: StsPolicy | NoPolicy = ENFORCE
        self.fetches = 0
        self.told: list[TlsResult] = []
        self.memory = memory(lambda: self.time)
        self.policies = self.another()

    def another(self) -> StsPolicies:
        """Another process."""
        return StsPolicies(
            self.ask, self.fetch, self.memory, self.told.append, clock=lambda: self.time, now=lambda: self.time
        )

    async def ask(self, name: str, rdtype: str) -> Outcome[bytes]:
        assert (name, rdtype) == ("_mta-sts.example.com", "TXT")
        if self.trouble:
            return DnsTrouble("SERVFAIL", self.time + 5)
        if self.record is None:
            return NoData(self.time + 60)
        return Answer((self.record.encode(),), self.time + 60)

    async def fetch(self, domain: str) -> StsPolicy:
        assert domain == "example.com"
        self.fetches += 1
        await trio.lowlevel.checkpoint()
        if isinstance(self.policy, NoPolicy):
            raise self.policy
        return self.policy

    async def found(self) -> StsPolicy | None:
        return (await self.policies.find("example.com")).policy


@pytest.fixture(params=["memory", "disk"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    if request.param == "memory":
        return World(InMemory)
    return World(lambda clock: StsStore.open(tmp_path, clock=clock))


async def test_it_is_fetched_once(world: World) -> None:
    assert await world.found() == ENFORCE
    assert await world.found() == ENFORCE
    assert world.fetches == 1
    holding = await world.policies.find("example.com")
    assert holding.expires == world.time + 60


async def test_many_who_ask_at_once_fetch_once(world: World) -> None:
    found: list[StsPolicy | None] = []

    async def one() -> None:
        found.append(await world.found())

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(one)
    assert found == [ENFORCE] * 20
    assert world.fetches == 1


async def test_no_record_is_no_policy(world: World) -> None:
    world.record = None
    assert await world.found() is None
    assert world.fetches == 0


async def test_another_id_is_another_policy(world: World) -> None:
    await world.found()
    world.record, world.policy = "v=STSv1; id=2", TESTING
    assert await world.found() == TESTING
    assert world.fetches == 2


@pytest.mark.parametrize("change", ["no record", "trouble", "broken record"])
async def test_what_is_kept_holds_when_the_record_is_taken_away(world: World, change: str) -> None:
    """RFC 8461 3.1, 10.2: or who can suppress an answer could turn a policy off."""
    await world.found()
    world.trouble = change == "trouble"
    world.record = None if change == "no record" else "v=STSv1; nonsense"
    assert await world.found() == ENFORCE
    world.time += 7 * DAY + 1
    assert await world.found() is None


async def test_what_is_kept_holds_when_the_next_cannot_be_fetched(world: World) -> None:
    await world.found()
    world.record, world.policy = "v=STSv1; id=2", NoPolicy("sts-webpki-invalid", "its certificate has expired")
    assert await world.found() == ENFORCE
    assert [(one.policy_type, one.domain, one.result) for one in world.told] == [
        ("sts", "example.com", "sts-webpki-invalid")
    ]


async def test_what_could_not_be_fetched_is_not_asked_for_all_the_time(world: World) -> None:
    world.policy = NoPolicy("sts-policy-fetch-error", "404")
    assert await world.found() is None
    assert await world.found() is None
    assert world.fetches == 1
    assert len(world.told) == 1
    world.time += FAILED_FOR + 1
    world.policy = ENFORCE
    assert await world.found() == ENFORCE


async def test_it_never_lasts_longer_than_it_says(world: World) -> None:
    world.policy = ENFORCE._replace(max_age=10)
    holding = await world.policies.find("example.com")
    assert holding.expires == world.time + 10
    world.record = None
    world.time += 11
    assert await world.found() is None


@pytest.fixture
def kept(tmp_path: Path) -> World:
    return World(lambda clock: StsStore.open(tmp_path, clock=clock))


async def test_it_outlives_a_restart_and_is_shared(kept: World, tmp_path: Path) -> None:
    await kept.found()
    assert (await kept.another().find("example.com")).policy == ENFORCE
    assert isinstance(kept.memory, StsStore)
    kept.memory.close()
    kept.memory = StsStore.open(tmp_path, clock=lambda: kept.time)
    assert (await kept.another().find("example.com")).policy == ENFORCE
    assert kept.fetches == 1


async def test_it_is_asked_for_anew_before_it_ends(kept: World) -> None:
    await kept.found()
    await kept.policies.refresh()
    assert kept.fetches == 1
    for day in range(1, 20):
        kept.time += AGAIN + 1
        await kept.policies.refresh()
        assert kept.fetches == 1 + day
    kept.record = None
    assert await kept.found() == ENFORCE, "it has been kept for three times its age"


async def test_one_process_asks_anew_and_the_others_do_not(kept: World) -> None:
    await kept.found()
    kept.time += AGAIN + 1
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(kept.another().refresh)
    assert kept.fetches == 2


async def test_asking_anew_in_vain_leaves_what_there_is(kept: World) -> None:
    await kept.found()
    kept.policy = NoPolicy("sts-policy-fetch-error", "500")
    kept.time += AGAIN + 1
    await kept.policies.refresh()
    assert kept.fetches == 2
    assert await kept.found() == ENFORCE
    await kept.policies.refresh()
    assert kept.fetches == 2, "once in a while is enough"


async def test_asking_anew_takes_up_a_change_without_another_id(kept: World) -> None:
    await kept.found()
    kept.policy = TESTING
    kept.time += AGAIN + 1
    await kept.policies.refresh()
    assert await kept.found() == TESTING


async def test_what_no_mail_needs_is_left_to_end(kept: World) -> None:
    kept.policy = ENFORCE._replace(max_age=365 * 86_400)
    await kept.found()
    kept.time += UNUSED + 1
    await kept.policies.refresh()
    assert kept.fetches == 1
    kept.time += 335 * DAY
    await kept.policies.refresh()
    assert isinstance(kept.memory, StsStore)
    assert kept.memory.all() == []


async def test_use_is_noted(kept: World) -> None:
    kept.policy = ENFORCE._replace(max_age=365 * 86_400)
    await kept.found()
    for _ in range(3):
        kept.time += UNUSED - 1
        assert await kept.found() is not None
        await kept.policies.refresh()
    assert kept.fetches == 4
