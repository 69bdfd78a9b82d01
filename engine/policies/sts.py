"""Which MTA-STS policy holds for a domain now: by its record, by what was fetched, by what is kept (RFC 8461 3, 5)."""

import time
from collections.abc import Callable
from typing import NamedTuple, NoReturn, TypeAlias

import trio
from msgspec.structs import replace

from engine.net.dns import Answer, Ask, DnsTrouble, ExpiringCache
from engine.observe.events import event
from engine.policies.fetching import Fetch, NoPolicy
from engine.policies.results import TlsResult
from engine.policies.store import USED, Kept, StsMemory
from engine.protocols.mta_sts import StsPolicy, policy_id
from engine.storage.environment import StorageError

FAILED_FOR = 300.0
"""Seconds before a policy that could not be fetched is asked for again (RFC 8461 3.3 suggests five minutes or more)."""

FAILURES_KEPT = 10_000

TROUBLE_FOR = 60.0
"""Seconds before a record is asked for again about which nobody would say anything: mail does not wait for it."""

LOOK = 900.0
"""Seconds between two looks for policies that are to be asked for anew."""

AT_ONCE = 200
"""Policies that one look takes up; the next look has the next ones."""

SIDE_BY_SIDE = 8


class Holding(NamedTuple):
    """What holds for a domain, until when (by the resolver's clock), and why."""

    policy: StsPolicy | None
    expires: float
    why: str


class _Failed(NamedTuple):
    id: str
    why: str


Told: TypeAlias = Callable[[TlsResult], None]


class StsPolicies:
    """Finds policies. ``clock`` is that of Unix time, ``now`` that of ``ask``."""

    def __init__(
        self,
        ask: Ask,
        fetch: Fetch,
        memory: StsMemory,
        told: Told,
        *,
        clock: Callable[[], float] = time.time,
        now: Callable[[], float] = trio.current_time,
    ) -> None:
        self._ask = ask
        self._fetch = fetch
        self._memory = memory
        self._told = told
        self._clock = clock
        self._now = now
        self._failed: ExpiringCache[str, _Failed] = ExpiringCache(FAILURES_KEPT, now)
        self._fetching: dict[str, trio.Lock] = {}

    async def find(self, domain: str) -> Holding:
        """What holds for ``domain``, in A-labels. A policy that cannot be looked up or fetched leaves the kept one."""
        outcome = await self._ask(f"_mta-sts.{domain}", "TXT")
        kept = await self._kept(domain)
        found = policy_id(outcome.records) if isinstance(outcome, Answer) else ""
        if not found:
            why, expires = "no record", outcome.expires
            if isinstance(outcome, DnsTrouble):
                why, expires = outcome.text, self._now() + TROUBLE_FOR
            return self._holding(kept, expires, why if kept is None else f"{why}; the one that is kept holds")
        if kept is not None and kept.id == found:
            return self._holding(kept, outcome.expires, f"kept under id {found}")
        return await self._fetched(domain, found, outcome.expires)

    async def _fetched(self, domain: str, found: str, expires: float) -> Holding:
        lock = self._fetching.setdefault(domain, trio.Lock())
        try:
            async with lock:  # who waited finds what the first one has found
                kept = await self._kept(domain)
                if kept is not None and kept.id == found:
                    return self._holding(kept, expires, f"fetched under id {found}")
                why = await self._try(domain, found)
                kept = await self._kept(domain)
        finally:
            if not lock.statistics().tasks_waiting and self._fetching.get(domain) is lock:
                del self._fetching[domain]
        if not why:
            return self._holding(kept, expires, f"fetched under id {found}")
        why = f"{why}; the one that is kept holds" if kept is not None else why
        return self._holding(kept, min(expires, self._now() + FAILED_FOR), why)

    async def _try(self, domain: str, found: str) -> str:
        """Fetch the policy and keep it; empty, or why that was not possible."""
        failed = self._failed.get(domain)
        if failed is not None and failed.id == found:
            return failed.why
        try:
            policy = await self._fetch(domain)
        except NoPolicy as error:
            self._failed.put(domain, _Failed(found, str(error)), self._now() + FAILED_FOR)
            self._told(TlsResult("sts", domain, result=error.result, reason=str(error)))
            return str(error)
        await self._keep(domain, policy, found)
        return ""

    async def _keep(self, domain: str, policy: StsPolicy, found: str) -> None:
        now = self._clock()
        event("policy-fetched", domain=domain, id=found, mode=policy.mode, max_age=policy.max_age)
        await self._stored(lambda: self._memory.put(domain, Kept(policy, found, now, now)))

    async def _kept(self, domain: str) -> Kept | None:
        try:
            kept = self._memory.get(domain)
        except StorageError as error:
            event("policies-unreadable", error=str(error))
            return None
        if kept is not None and self._clock() - kept.used > USED:
            await self._stored(lambda: self._memory.used(domain))
        return kept

    async def _stored(self, change: Callable[[], None]) -> None:
        try:
            await trio.to_thread.run_sync(change)
        except StorageError as error:
            event("policies-unwritten", error=str(error))

    def _holding(self, kept: Kept | None, expires: float, why: str) -> Holding:
        if kept is None:
            return Holding(None, expires, why)
        return Holding(kept.policy, min(expires, self._now() + kept.expires - self._clock()), why)

    # -- asking anew, before the time of a policy has ended

    async def run(self) -> NoReturn:
        """Ask anew for what is kept, early enough that it never ends while its domain publishes it."""
        while True:
            await trio.sleep(LOOK)
            await self.refresh()

    async def refresh(self) -> None:
        """One look. Other processes, which look too, take other policies."""
        try:
            domains = await trio.to_thread.run_sync(self._memory.due, AT_ONCE)
        except StorageError as error:
            event("policies-unreadable", error=str(error))
            return
        limit = trio.CapacityLimiter(SIDE_BY_SIDE)
        async with trio.open_nursery() as nursery:
            for domain in domains:
                nursery.start_soon(self._renew, domain, limit)

    async def _renew(self, domain: str, limit: trio.CapacityLimiter) -> None:
        async with limit:
            kept = await self._kept(domain)
            outcome = await self._ask(f"_mta-sts.{domain}", "TXT")
            found = policy_id(outcome.records) if isinstance(outcome, Answer) else ""
            if kept is None or not found:
                return  # who has no record any more lets the policy end (RFC 8461 8.3)
            try:
                policy = await self._fetch(domain)
            except NoPolicy as error:
                self._told(TlsResult("sts", domain, result=error.result, reason=str(error)))
                return
            now = self._clock()
            await self._stored(lambda: self._memory.put(domain, replace(kept, policy=policy, id=found, fetched=now)))
