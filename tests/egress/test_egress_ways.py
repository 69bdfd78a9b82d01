"""The way that a message leaves by: its source, its turn, and who we are there."""

import datetime
from collections.abc import Callable

import pytest
import trio

from engine import Defer, Rate, Reject
from engine.config import Campaign, EgressPool, EgressSource, Tenant, WarmUp
from engine.egress import Egress, Leaving, Plan
from engine.egress.egress import PAUSE
from engine.egress.plan import Known
from engine.message import CAMPAIGN, TENANT
from engine.outbound.way import ANY, Login, Security
from engine.protocols.sasl_client import Password
from tests.egress.leaving import letter
from tests.support.post import Clock

TARGETS = [("mx.example.net", "192.0.2.7"), ("mx.example.net", "2001:db8::7")]
ACME = {TENANT: "acme"}
SPRING = {**ACME, CAMPAIGN: "spring"}


async def test_without_a_pool_all_is_as_it_was(egress: Egress) -> None:
    assert await egress.leave(letter(), "site", 25, TARGETS) == Leaving(ANY, TARGETS, site="site")
    assert await Egress().leave(letter(), "site", 25, TARGETS) == Leaving(ANY, TARGETS, site="site")


async def test_the_pool_of_the_campaign_the_tenant_and_the_stage(egress: Egress, plan: Callable[..., Plan]) -> None:
    sources = {name: EgressSource() for name in ("a", "b", "c")}
    pools = {name: EgressPool(sources={name: 1}) for name in sources}
    tenants = {"acme": Tenant(pool="b", campaigns={"spring": Campaign(pool="a")})}
    egress.plan = plan(sources, pools, tenants)
    for facts, name in ((SPRING, "a"), (ACME, "b"), ({**ACME, CAMPAIGN: "none"}, "b"), ({}, "c")):
        leaving = await egress.leave(letter(facts=facts), "site", 25, TARGETS, pool="c")
        assert isinstance(leaving, Leaving)
        assert leaving.source.name == name


async def test_a_source_of_one_family_goes_to_its_addresses_alone(egress: Egress, plan: Callable[..., Plan]) -> None:
    sources = {"four": EgressSource(ipv4="127.0.0.2"), "six": EgressSource(ipv6="::1")}
    egress.plan = plan(sources, {"p": EgressPool(sources={"four": 1, "six": 1})})
    for _ in range(20):
        leaving = await egress.leave(letter(), "site", 25, TARGETS, pool="p")
        assert isinstance(leaving, Leaving)
        assert leaving.targets == (TARGETS[:1] if leaving.source.name == "four" else TARGETS[1:])
    leaving = await egress.leave(letter(), "site", 25, TARGETS[1:], pool="p")
    assert isinstance(leaving, Leaving)
    assert leaving.source.name == "six"


async def test_a_site_that_no_source_reaches(egress: Egress, plan: Callable[..., Plan]) -> None:
    egress.plan = plan({"four": EgressSource(ipv4="127.0.0.2")}, {"p": EgressPool(sources={"four": 1})})
    verdict = await egress.leave(letter(), "site", 25, TARGETS[1:], pool="p")
    assert isinstance(verdict, Reject)
    assert verdict.code == "5.4.4"
    assert "IPv6" in verdict.log


async def test_sources_that_are_to_be_avoided(egress: Egress, plan: Callable[..., Plan]) -> None:
    sources = {name: EgressSource() for name in ("a", "b")}
    egress.plan = plan(sources, {"p": EgressPool(sources={"a": 9, "b": 1})})
    leaving = await egress.leave(
        letter(), "site", 25, TARGETS, pool="p", instead=lambda name: "" if name == "a" else None
    )
    assert isinstance(leaving, Leaving)
    assert leaving.source.name == "b"
    wait = await egress.leave(letter(), "site", 25, TARGETS, pool="p", instead=lambda _: "")
    assert isinstance(wait, Defer)
    assert wait.line == "egress/p/site"


async def test_a_source_that_another_one_stands_in_for(egress: Egress, plan: Callable[..., Plan]) -> None:
    egress.plan = plan({name: EgressSource() for name in "abc"}, {"p": EgressPool(sources={"a": 98, "b": 1, "c": 1})})
    found = set()
    for _ in range(20):
        leaving = await egress.leave(
            letter(), "site", 25, TARGETS, pool="p", instead=lambda name: "c" if name == "a" else None
        )
        assert isinstance(leaving, Leaving)
        found.add(leaving.source.name)
    assert "a" not in found
    assert "c" in found


async def test_a_source_that_failed_is_left_alone_for_a_while(
    egress: Egress, plan: Callable[..., Plan], autojump_clock: object, capfd: pytest.CaptureFixture[str]
) -> None:
    sources = {name: EgressSource() for name in ("a", "b")}
    egress.plan = plan(sources, {"p": EgressPool(sources={"a": 1, "b": 1})})
    message = letter()

    async def chosen() -> str:
        leaving = await egress.leave(message, "site", 25, TARGETS, pool="p")
        assert isinstance(leaving, Leaving)
        return leaving.source.name

    first = await chosen()
    for _ in range(2):
        egress.failed(egress.plan.dialled[first], "its proxy cannot be reached")
    assert capfd.readouterr().err.count("source-failed") == 1
    second = await chosen()
    assert second != first
    egress.failed(egress.plan.dialled[second], "this machine does not have it")
    assert await chosen() in (first, second)
    await trio.sleep(PAUSE + 1)
    assert await chosen() == first


async def test_the_rates_of_a_tenant_and_of_its_campaign(
    egress: Egress, plan: Callable[..., Plan], clock: Clock
) -> None:
    spring = Campaign(messages=(Rate("1/1h"),))
    egress.plan = plan(tenants={"acme": Tenant(recipients=(Rate("5/1m"),), campaigns={"spring": spring})})
    three = [f"{name}@example.net" for name in "abc"]
    assert isinstance(await egress.leave(letter(*three, facts=SPRING), "site", 25, TARGETS), Leaving)
    wait = await egress.leave(letter(facts=SPRING), "site", 25, TARGETS)
    assert isinstance(wait, Defer)
    assert wait.line == "tenant/acme/spring"
    assert wait.retry_after is not None
    assert 3600 <= wait.retry_after < 3700
    # What did not go has taken nothing: two more may.
    assert isinstance(await egress.leave(letter(*three[:2], facts=ACME), "site", 25, TARGETS), Leaving)
    wait = await egress.leave(letter(facts=ACME), "site", 25, TARGETS)
    assert isinstance(wait, Defer)
    assert wait.line == "tenant/acme"
    assert isinstance(await egress.leave(letter(), "site", 25, TARGETS), Leaving), "nobody's mail has no rate"
    clock.now += 62
    assert isinstance(await egress.leave(letter(facts=ACME), "site", 25, TARGETS), Leaving)


async def test_what_waits_for_its_tenant_takes_no_place_of_today(egress: Egress, plan: Callable[..., Plan]) -> None:
    sources = {"new": EgressSource(warm_up=WarmUp(datetime.date(2026, 11, 1), (2,)))}
    tenants = {"acme": Tenant(messages=(Rate("1/1m"),))}
    egress.plan = plan(sources, {"p": EgressPool(sources={"new": 1})}, tenants)
    found = [await egress.leave(letter(facts=ACME), "site", 25, TARGETS, pool="p") for _ in range(5)]
    assert [isinstance(each, Leaving) for each in found] == [True, False, False, False, False]
    assert isinstance(await egress.leave(letter(), "site", 25, TARGETS, pool="p"), Leaving)


async def test_a_tenant_that_wants_to_hear_of_it_at_the_door(egress: Egress, plan: Callable[..., Plan]) -> None:
    egress.plan = plan(tenants={"acme": Tenant(messages=(Rate("1/1m"),), when_full="refuse")})
    message = letter(facts=ACME)
    assert await egress.refusal(message, "acme", "") is None
    refusal = await egress.refusal(message, "acme", "")
    assert isinstance(refusal, Defer)
    assert (refusal.code, refusal.line) == ("4.7.1", "")
    # Behind the queue it was counted already.
    assert isinstance(await egress.leave(message, "site", 25, TARGETS), Leaving)
    assert await egress.refusal(message, "", "") is None


async def test_who_we_are_to_a_smart_host(egress: Egress, plan: Callable[..., Plan]) -> None:
    hosts = {
        name: Known(("smtp.example.net", 587), Security("verify"), Login(Password(name, "secret")))
        for name in ("ours", "acme")
    }
    egress.plan = plan(tenants={"acme": Tenant(smart_host="acme"), "other": Tenant()}, smart_hosts=hosts)
    assert egress.plan.smart_host("acme") == ("smtp.example.net", 587)
    assert egress.plan.smart_host("other") is None
    there = [("SMTP.example.net.", "192.0.2.7")]
    for facts, name in ((ACME, "acme"), ({TENANT: "other"}, "ours"), ({}, "ours")):
        leaving = await egress.leave(letter(facts=facts), "site", 587, there)
        assert isinstance(leaving, Leaving)
        assert leaving.login is not None
        assert leaving.login.who.name == name
        assert leaving.security == Security("verify")
    for port, targets in ((25, there), (587, TARGETS), (587, [*there, ("evil.example", "192.0.2.66")])):
        leaving = await egress.leave(letter(facts=ACME), "site", port, targets)
        assert isinstance(leaving, Leaving)
        assert leaving.login is None, "no password goes anywhere else"
