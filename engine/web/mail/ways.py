"""How a letter would travel to a domain: whether its server will encrypt, by what is known before anything is sent.

Nothing is tried. What the domain publishes is looked up as `resolve` does it; what `relay` has seen is remembered. So
an answer costs the DNS at most, and is kept a while; a person cannot make us ask for more than a few domains a minute.
"""

from functools import partial
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import trio

from engine.config import Config
from engine.directory import Invalid, Unavailable, asked, valid_domain
from engine.net.dns import ExpiringCache
from engine.policies.explaining import NO_DOMAIN, NO_MAIL, Explained, explain
from engine.policies.fetching import Fetcher
from engine.policies.finding import Policies
from engine.policies.results import TlsResult
from engine.policies.store import InMemory, Kept, StsMemory
from engine.policies.sts import StsPolicies
from engine.storage.environment import StorageError
from engine.web.context import Context
from engine.web.pace import Pace

DOMAINS: Final = 20
"""Of one question."""

KEPT, MOST = 300.0, 5000
"""Seconds for which an answer is kept, and answers."""

PATIENCE: Final = 6.0
"""Seconds for a look at what a domain publishes; then it is not known."""

AT_ONCE: Final = 8
"""Domains that this process looks at at once."""

State: TypeAlias = Literal["local", "onward", "dane", "sts", "testing", "seen", "clear", "never", "nowhere", "unknown"]


class Known(NamedTuple):
    """What is known of the way to a domain."""

    state: State
    when: float = 0.0  # Unix time of what was seen
    by: str = ""  # the server that it is handed to


UNKNOWN: Final = Known("unknown")


class Ways:
    """One a process."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._pace = Pace()
        self._turns = trio.CapacityLimiter(AT_ONCE)
        self._kept: ExpiringCache[str, Known] = ExpiringCache(MOST, trio.current_time)
        self._config: Config | None = None
        self._settings: dict[str, Any] = {}

    async def of(self, account: int, domain: str) -> Known:
        """For somebody who writes to it."""
        try:
            name = valid_domain(domain)
        except Invalid:
            return UNKNOWN
        self._look_at_the_rules()
        known = self._kept.get(name)
        if known is not None:
            return known
        directory = self._context.directory()
        try:
            if await asked(directory, directory.is_local, name):
                return Known("local")
        except Unavailable:
            return UNKNOWN
        if by := str(self._settings.get("smart_host") or ""):
            return Known("onward", by=by)
        if self._settings.get("tls") == "never":
            return Known("never")
        if self._context.config.smart_hosts:
            return UNKNOWN  # whose mail goes by one of them is decided as it leaves
        if not self._pace.allows(str(account)):
            return UNKNOWN
        known = await self._looked_up(name)
        self._kept.put(name, known, trio.current_time() + KEPT)
        return known

    async def _looked_up(self, domain: str) -> Known:
        """What it publishes; else what was seen."""
        with trio.move_on_after(PATIENCE):
            async with self._turns:
                found = await self._explained(domain)
            if found.trouble in (NO_DOMAIN, NO_MAIL):
                return Known("nowhere")
            if _by_dane(found):
                return Known("dane")
            if (policy := found.published.sts) is not None:
                return Known("sts" if policy.mode == "enforce" else "testing")
        return await trio.to_thread.run_sync(self._seen, domain)

    async def _explained(self, domain: str) -> Explained:
        settings, resolver = self._settings, self._context.resolver()
        ipv6, wanted = settings.get("ipv6", True), settings.get("policies", ("dane", "mta-sts"))
        fetcher = Fetcher(resolver, trust=settings.get("trust"), ipv6=ipv6, timeout=PATIENCE)
        memory = _Glance(self._context.stores.sts)
        sts = StsPolicies(resolver.ask, fetcher, memory, _untold, now=resolver.clock)
        policies = Policies(resolver, _untold, sts=sts if "mta-sts" in wanted else None, dane="dane" in wanted)
        return await explain(resolver, policies, domain, settings.get("port", 25), ipv6=ipv6)

    def _seen(self, domain: str) -> Known:
        try:
            seen = self._context.stores.seen_tls.of(domain)
        except StorageError:
            return UNKNOWN
        return Known("seen" if seen.encrypted else "clear", seen.when) if seen is not None else UNKNOWN

    def _look_at_the_rules(self) -> None:
        """As the configuration in force has it; of what it says of several stages, the first."""
        config = self._context.config
        if config is not self._config:
            self._config, self._kept = config, ExpiringCache(MOST, trio.current_time)
            stages = [
                dict(stage.settings) for key in ("allow_networks", "policies") for stage in _with(config, key)[:1]
            ]
            self._settings = {name: value for settings in stages for name, value in settings.items()}


def _by_dane(found: Explained) -> bool:
    """Whether each server of the domain must show what DNSSEC vouches for: mail may go to any of them."""
    usable = [host for host in found.hosts if not host.unusable]
    return bool(usable) and all(host.dane is not None and host.dane.dane is not None for host in usable)


class _Glance(InMemory):
    """The policies that the server has kept. What is fetched besides is not: no mail has needed it yet."""

    def __init__(self, kept: StsMemory) -> None:
        super().__init__()
        self._before = kept

    def get(self, domain: str) -> Kept | None:
        return super().get(domain) or self._before.get(domain)


def _with(config: Config, key: str) -> list[Any]:
    """The stages that have such a setting: what they are called, the file says."""
    return [stage for stage in config.stages.values() if key in stage.spec.settings]


def _untold(result: TlsResult) -> None:
    """Nothing was sent, so no report is to count it."""
    del result


async def known(ways: Ways, account: int, domains: list[str]) -> dict[str, Known]:
    """Of each of these."""
    found: dict[str, Known] = {}

    async def one(domain: str) -> None:
        found[domain] = await ways.of(account, domain)

    async with trio.open_nursery() as nursery:
        for domain in domains[:DOMAINS]:
            nursery.start_soon(partial(one, domain))
    return found
