"""Egress: what stages ask about the way that a message leaves by."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import trio

from engine.abuse.tables import Tables
from engine.config import EgressPool
from engine.egress.choice import Target, order, reachable
from engine.egress.days import Days
from engine.egress.plan import Known, Plan
from engine.egress.tenants import Tenants
from engine.message import CAMPAIGN, TENANT, Message
from engine.observe.events import event
from engine.outbound.way import ANY, Login, Security, Source
from engine.shaping.allowances import Allowances
from engine.verdict import Defer, Reject

Instead: TypeAlias = Callable[[str], str | None]
"""What is to be used in place of a source."""

PAUSE = 300.0
"""Seconds for which a source is not used that could not connect at all, while others of its pool can."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """How a message may leave now."""

    source: Source = ANY
    targets: Sequence[Target] = ()
    login: Login | None = None
    security: Security | None = None  # None: as the stage has it
    site: str = ""
    day: str = ""  # on which it was counted


class Egress:
    """One object a process, which outlives configurations. ``plan`` is the one in force."""

    def __init__(
        self,
        tables: Tables | None = None,
        allowances: Allowances | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.plan = Plan()
        self._days = Days(tables, clock) if tables is not None else None
        self._allowances = allowances
        self._failed: dict[str, float] = {}  # until when, by name

    @property
    def tenants(self) -> Tenants:
        return self.plan.tenants

    async def leave(
        self,
        message: Message,
        site: str,
        port: int,
        targets: Sequence[Target],
        *,
        pool: str = "",
        instead: Instead = lambda _: None,
    ) -> Leaving | Defer | Reject:
        """From where and as whom the message may go to ``targets`` now, which are all of one site.

        ``pool`` is for mail whose tenant has none; ``instead`` says of each source what is to be used
        for the site in its place: another one, or "" for any other; None: it may be used.
        StorageError, Unreachable.
        """
        if self.plan.is_plain and not pool:
            return Leaving(targets=targets, site=site)
        tenant, campaign = _text(message, TENANT), _text(message, CAMPAIGN)
        known = self._known(tenant, targets, port)
        leaving = await self._source(message, site, targets, self.tenants.pool(tenant, campaign) or pool, instead)
        if not isinstance(leaving, Leaving):
            return leaving
        if wait := await self._wait(message, tenant, campaign):
            await self.stayed(leaving)
            return wait
        if known is None:
            return leaving
        return Leaving(leaving.source, leaving.targets, known.login, known.security, leaving.site, leaving.day)

    async def stayed(self, leaving: Leaving) -> None:
        """It has not left after all: do not count it."""
        warm_up = self.plan.sources[leaving.source.name].warm_up if leaving.source.name in self.plan.sources else None
        if leaving.day and warm_up and self._days is not None:
            await self._days.give_back(leaving.source.name, leaving.site, warm_up, leaving.day)

    async def refusal(self, message: Message, tenant: str, campaign: str) -> Defer | None:
        """Why the door should not take a message of this tenant now: where it wants to hear of its rates there."""
        found = self.tenants.by_name.get(tenant)
        if found is None or found.when_full != "refuse":
            return None
        seconds = await self._take(message, tenant, campaign)
        return _too_much(tenant, seconds, line="") if seconds else None

    def failed(self, source: Source, why: str) -> None:
        """A source could not connect at all."""
        if self._failed.get(source.name, -math.inf) < trio.current_time():
            event("source-failed", source=source.name, error=why)
        self._failed[source.name] = trio.current_time() + PAUSE

    def _known(self, tenant: str, targets: Sequence[Target], port: int) -> Known | None:
        """The smart host that all ``targets`` are: where MX records name others too, these must not hear our login."""
        hosts = {host for host, _ in targets} if self.plan.smart_hosts else set()
        return self.plan.known(tenant, hosts.pop(), port) if len(hosts) == 1 else None

    async def _source(
        self, message: Message, site: str, targets: Sequence[Target], name: str, instead: Instead
    ) -> Leaving | Defer | Reject:
        pool = self.plan.pools.get(name)
        if pool is None or not targets:
            return Leaving(targets=targets, site=site)
        fitting = self._fitting(message, targets, pool)
        if not fitting:
            kinds = sorted({"IPv6" if ":" in address else "IPv4" for _, address in targets})
            log = f"no source of the pool {name} reaches servers by {' or '.join(kinds)}"
            return Reject("The next server cannot be reached from here", code="5.4.4", log=log, remote=targets[0][0])
        usable = [each for each in fitting if instead(each[0]) is None]
        if other := instead(fitting[0][0]):
            usable.sort(key=lambda each: each[0] != other)
        if not usable:
            # Whoever avoids them knows until when; it is told by what is returned for the site itself.
            return Defer("No address may send there now", code="4.4.5", retry_after=PAUSE, line=f"egress/{name}/{site}")
        return await self._with_room(name, pool, site, usable)

    def _fitting(
        self, message: Message, targets: Sequence[Target], pool: EgressPool
    ) -> list[tuple[str, Sequence[Target]]]:
        """Sources that reach any of the targets, in the order for this message; those that do not work at last."""
        now = trio.current_time()
        names = sorted(order(message.id, pool.sources), key=lambda name: self._failed.get(name, -math.inf) > now)
        found = ((name, reachable(targets, self.plan.sources[name], pool.family)) for name in names)
        return [(name, within) for name, within in found if within]

    async def _with_room(
        self, name: str, pool: EgressPool, site: str, usable: list[tuple[str, Sequence[Target]]]
    ) -> Leaving | Defer:
        """The first source that may send one more today."""
        by_site = False
        for source, targets in usable if pool.full == "next" else usable[:1]:
            warm_up = self.plan.sources[source].warm_up
            if warm_up is None or self._days is None:
                return Leaving(self.plan.dialled[source], targets, site=site)
            day = await self._days.take(source, site, warm_up)
            if day is not None:
                return Leaving(self.plan.dialled[source], targets, site=site, day=day)
            by_site = by_site or warm_up.per == "site"
        assert self._days is not None
        line = f"egress/{name}/{site}" if by_site else f"egress/{name}"
        text = "No address may send more today"
        return Defer(text, code="4.4.5", retry_after=self._days.left_of_today(), line=line)

    async def _wait(self, message: Message, tenant: str, campaign: str) -> Defer | None:
        found = self.tenants.by_name.get(tenant)
        if found is None or found.when_full == "refuse":
            return None
        seconds = await self._take(message, tenant, campaign)
        return _too_much(tenant, seconds, self.tenants.line(tenant, campaign)) if seconds else None

    async def _take(self, message: Message, tenant: str, campaign: str) -> float:
        wanted = self.tenants.costs(tenant, campaign, len(message.recipients))
        if not wanted or self._allowances is None:
            return 0.0
        return await self._allowances.take(wanted)


def _too_much(tenant: str, seconds: float, line: str) -> Defer:
    return Defer(
        "More mail than may be sent now, come again later",
        code="4.7.1",
        log=f"the tenant {tenant} has a rate",
        retry_after=seconds,
        line=line,
    )


def _text(message: Message, fact: str) -> str:
    found = message.fact(fact)
    return found if isinstance(found, str) else ""
