"""Find the servers that take the mail of each recipient's domain (RFC 5321 5), and gather recipients by site."""

import hashlib
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from itertools import groupby
from pathlib import Path
from random import Random
from types import TracebackType
from typing import ClassVar, Literal, Self, TypeAlias

import trio

from engine import Defer, Each, Fact, Message, Reject, Verdict
from engine.egress import Egress
from engine.message import NEXT_HOP, TENANT
from engine.net.certificates import CertificateError, read_authorities
from engine.net.dns import (
    Answer,
    DnsTrouble,
    ExpiringCache,
    Mx,
    NoData,
    NoSuchName,
    Outcome,
    Resolver,
    a_labels,
    side_by_side,
)
from engine.net.names import Hostname
from engine.net.targets import host_and_port
from engine.policies.fetching import Fetcher
from engine.policies.finding import Found, Policies
from engine.policies.published import NOTHING, Published
from engine.policies.results import TlsResults
from engine.policies.store import InMemory, StsMemory
from engine.policies.sts import StsPolicies

SMTP_PORT = 25

MX_LIMIT = 50
"""Hosts of one domain that are looked at, the most preferred ones; more are nobody's honest set-up."""

SITE_LIMIT = 100
"""Characters of a site's key before the hosts that follow are told by a digest."""

ROUTES_KEPT = 50_000
"""Domains whose route is remembered until the first of its DNS records expires."""

FOREVER = float("inf")

HostFact: TypeAlias = "list[Fact]"
"""``[preference, host, [address, …]]``"""


@dataclass(frozen=True, slots=True)
class Site:
    """The way to one destination: hosts in ranks of equal preference, best rank first.

    ``order`` tells which domains can travel together: those of the same site with the same hosts in the same ranks,
    which publish the same about TLS.
    """

    order: tuple[Hashable, ...]
    ranks: tuple[tuple[HostFact, ...], ...]
    facts: dict[str, Fact]
    in_turn: bool  # no two hosts of equal preference

    def told(self, rng: Random) -> dict[str, Fact]:
        """The facts for one message, hosts of equal preference in random order (RFC 5321 5.1)."""
        if self.in_turn:
            return self.facts
        hosts: list[Fact] = [host for rank in self.ranks for host in rng.sample(rank, len(rank))]
        return {**self.facts, "resolve.hosts": hosts}


Route: TypeAlias = Site | Reject | Defer


@dataclass(slots=True)
class Resolve:
    """The stage. It leaves these facts, and hands on together all recipients that have them in common:

    ``resolve.site``    the key of the site: its hosts, sorted, and the port where that is not 25
    ``resolve.hosts``   ``[[preference, host, [address, …]], …]`` in the order in which to try them
    ``resolve.port``    the port to connect to
    ``resolve.secure``  whether a validating resolver vouched for all of it
    ``resolve.vouched`` whether the names of the hosts are surely right, be it that no DNS was asked for them
    ``resolve.security``  what the domain publishes about TLS, or None; see `Published`
    ``resolve.smart_host``  True where it is not the domain's own servers that take it
    """

    asks_others: ClassVar = True
    leaves: ClassVar = ("resolve.",)

    resolver: Resolver
    hostname: Hostname
    memory: StsMemory = field(default_factory=InMemory)
    results: TlsResults = field(default_factory=TlsResults)
    egress: Egress = field(default_factory=Egress)
    ipv6: bool = field(default=True, kw_only=True)
    max_hosts: int = field(default=5, kw_only=True)  # hosts tried for one destination
    max_addresses: int = field(default=10, kw_only=True)  # addresses of all of them, one a host at least
    smart_host: str = field(default="", kw_only=True)  # "host:port" that takes everything; empty: ask for MX
    port: int = field(default=SMTP_PORT, kw_only=True)
    # What is looked up of what domains publish about TLS to their servers.
    policies: tuple[Literal["dane", "mta-sts"], ...] = field(default=("dane", "mta-sts"), kw_only=True)
    # PEM file of the authorities of servers that have policies, in place of those that the system trusts.
    trust: Path | None = field(default=None, kw_only=True)
    rng: Random = field(init=False, default_factory=Random)
    _own: str = field(init=False)
    _relay: tuple[str, int] | None = field(init=False)
    _routes: ExpiringCache[str, Route] = field(init=False)
    _sts: StsPolicies | None = field(init=False)
    _policies: Policies = field(init=False)
    _stack: AsyncExitStack = field(init=False, default_factory=AsyncExitStack)

    def __post_init__(self) -> None:
        """ValueError for settings that cannot work."""
        names = ("max_hosts", "max_addresses", "port", "smart_host", "trust")
        problems = list(self.check(**{name: getattr(self, name) for name in names}))
        if problems:
            raise ValueError("; ".join(problems))
        self._own = a_labels(self.hostname).rstrip(".")
        self._relay = host_and_port(self.smart_host, self.port) if self.smart_host else None
        self._routes = ExpiringCache(ROUTES_KEPT, self.resolver.clock)
        self.look_by(Fetcher(self.resolver, trust=self.trust, ipv6=self.ipv6))

    def look_by(self, fetcher: Fetcher) -> None:
        """Fetch policies so."""
        resolver, wanted = self.resolver, self.policies
        sts = StsPolicies(resolver.ask, fetcher, self.memory, self.results, now=resolver.clock)
        self._sts = sts if "mta-sts" in wanted else None
        self._policies = Policies(resolver, self.results, sts=self._sts, dane="dane" in wanted)

    async def __aenter__(self) -> Self:
        if self._sts is not None:
            nursery = await self._stack.enter_async_context(trio.open_nursery())
            nursery.start_soon(self._sts.run)
            self._stack.callback(nursery.cancel_scope.cancel)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    @staticmethod
    def check(
        *,
        max_hosts: int = 1,
        max_addresses: int = 1,
        port: int = SMTP_PORT,
        smart_host: str = "",
        trust: Path | None = None,
        **_: object,
    ) -> Iterator[str]:
        """What is wrong with the settings that were given."""
        if max_hosts < 1 or max_addresses < 1:
            yield "max_hosts and max_addresses must be at least 1"
        if not 0 < port < 65536:
            yield f"port must be one of 1 to 65535, not {port}"
        try:
            if smart_host:
                host_and_port(smart_host, port)
        except ValueError as error:
            yield f"smart_host: {error}"
        try:
            if trust is not None:
                read_authorities(trust)
        except CertificateError as error:
            yield f"trust: {error}"

    def promptly(self, message: Message) -> Verdict | None:
        """The verdict, where all go by one way that is known; else None."""
        recipients = message.envelope.recipients
        if len(recipients) > 1 or message.fact(NEXT_HOP) or self.egress.plan.smart_host(str(message.fact(TENANT, ""))):
            return None
        route = self._routes.get(_domain(recipients[0].address))
        return self._going(message, route) if route is not None else None

    async def __call__(self, message: Message) -> Verdict:
        if hop := message.fact(NEXT_HOP):
            return await self._to_smart_host(message, *host_and_port(str(hop), self.port))
        if place := self.egress.plan.smart_host(str(message.fact(TENANT, ""))):
            return await self._to_smart_host(message, *place)
        recipients = message.envelope.recipients
        if len(recipients) == 1:
            domain = _domain(recipients[0].address)
            return self._going(message, self._routes.get(domain) or await self._find(domain))
        return await self._for_many(message)

    def _going(self, message: Message, route: Route) -> Message | Reject | Defer:
        return message.with_facts(route.told(self.rng)) if isinstance(route, Site) else route

    async def _to_smart_host(self, message: Message, host: str, port: int) -> Verdict:
        """That of its tenant takes all of it."""
        key = f"{host}:{port}"  # which is no domain
        route = self._routes.get(key)
        if route is None:
            route, expires = await self._by_smart_host(host, port)
            self._routes.put(key, route, expires)
        return self._going(message, route)

    async def _for_many(self, message: Message) -> Verdict:
        domains = {recipient.address: _domain(recipient.address) for recipient in message.envelope.recipients}
        routes = await self._all_routes(list(dict.fromkeys(domains.values())))
        together: dict[tuple[Hashable, ...], Message] = {}
        verdicts: dict[str, Message | Reject | Defer] = {}
        for address, domain in domains.items():
            route = routes[domain]
            if isinstance(route, Site):
                if route.order not in together:
                    together[route.order] = message.with_facts(route.told(self.rng))
                verdicts[address] = together[route.order]
            else:
                verdicts[address] = route
        kinds = {id(verdict): verdict for verdict in verdicts.values()}
        return kinds.popitem()[1] if len(kinds) == 1 else Each(verdicts)

    async def _all_routes(self, domains: Sequence[str]) -> dict[str, Route]:
        known = {domain: self._routes.get(domain) for domain in domains}
        wanted = [domain for domain, route in known.items() if route is None]
        if wanted:
            known.update(zip(wanted, await side_by_side(partial(self._find, d) for d in wanted), strict=True))
        return {domain: route for domain, route in known.items() if route is not None}

    async def _find(self, domain: str) -> Route:
        route, expires = await self._look_up(domain)
        self._routes.put(domain, route, expires)
        return route

    async def _look_up(self, domain: str) -> tuple[Route, float]:
        """The route, and when it must be looked up again."""
        if self._relay is not None:
            return await self._by_smart_host(*self._relay)
        if domain.startswith("["):
            return self._by_literal(domain), FOREVER
        if not domain:
            return Reject("The address has no domain", code="5.1.3"), FOREVER
        outcome = await self.resolver.mx(domain)
        match outcome:
            case Answer():
                return await self._by_mx(domain, outcome)
            case NoData():
                return await self._by_address(domain, outcome)
            case NoSuchName():
                return _no_such_domain(domain, outcome), outcome.expires
            case DnsTrouble():
                return _later(domain, [outcome]), outcome.expires

    async def _by_mx(self, domain: str, answer: Answer[Mx]) -> tuple[Route, float]:
        hosts = [record for record in answer.records if record.host != "."]
        if not hosts:  # RFC 7505 3
            return Reject(f"The domain {domain} does not accept mail", code="5.1.10"), answer.expires
        farther = _before(hosts, self._own)
        if not farther:
            return _loop(domain), answer.expires
        return await self._reach(domain, farther, answer)

    async def _by_address(self, domain: str, no_mx: NoData) -> tuple[Route, float]:
        """Without MX records the domain itself is its only host (RFC 5321 5.1)."""
        host = a_labels(domain).rstrip(".")
        if host == self._own:
            return _loop(domain), no_mx.expires
        outcome = await self.resolver.addresses(host, ipv6=self.ipv6)
        expires = min(no_mx.expires, outcome.expires)
        match outcome:
            case Answer():
                # The host is the domain itself, whoever says that there are no MX records: so its name is right.
                return await self._secured(domain, [Mx(0, host)], {host: outcome}, no_mx.secure, expires, vouched=True)
            case NoSuchName():
                return _no_such_domain(domain, outcome), expires
            case NoData():
                return Reject(f"The domain {domain} has no mail server and no address", code="5.4.4"), expires
            case DnsTrouble():
                return _later(domain, [outcome]), expires

    async def _by_smart_host(self, host: str, port: int) -> tuple[Route, float]:
        literal = _address(host)
        if literal is not None:
            found = {host: Answer((literal,), FOREVER)}
            return self._site([Mx(0, host)], found, False, port, smart=True), FOREVER
        outcome = await self.resolver.addresses(host, ipv6=self.ipv6)
        if isinstance(outcome, Answer):
            name = a_labels(host)
            return self._site([Mx(0, name)], {name: outcome}, True, port, smart=True), outcome.expires
        # Even NXDOMAIN is the operator's to mend and no fault of the recipient: nothing bounces for it.
        log = outcome.text if isinstance(outcome, DnsTrouble) else f"smart_host {host} has no address"
        return Defer("The next mail server cannot be found", code="4.4.4", log=log, unreached=True), outcome.expires

    def _by_literal(self, domain: str) -> Route:
        """An address in brackets (RFC 5321 4.1.3)."""
        inner = domain.removeprefix("[").removesuffix("]")
        tagged = inner.lower().startswith("ipv6:")
        address = _address(inner[5:] if tagged else inner)
        if not domain.endswith("]") or address is None or (":" in address) != tagged:
            return Reject(f"{domain} is no address of a mail server", code="5.1.3")
        if tagged and not self.ipv6:
            return Reject("This server does not send mail over IPv6", code="5.4.4")
        host = f"[IPv6:{address}]" if tagged else f"[{address}]"
        return self._site([Mx(0, host)], {host: Answer((address,), FOREVER)}, False)

    async def _reach(self, domain: str, records: list[Mx], answer: Answer[Mx]) -> tuple[Route, float]:
        """Look the hosts' addresses up, best hosts first, until enough of them can be reached."""
        best = {record.host: record for record in sorted(records, reverse=True)}  # a host named twice: once
        ordered = sorted(best.values(), key=lambda record: (record.preference, self.rng.random()))
        usable: dict[str, Answer[str]] = {}
        failed: list[Outcome[str]] = []
        expires = answer.expires
        for start in range(0, min(len(ordered), MX_LIMIT), self.max_hosts):
            hosts = [record.host for record in ordered[start : start + self.max_hosts]]
            asked = [partial(self.resolver.addresses, host, ipv6=self.ipv6) for host in hosts]
            for host, outcome in zip(hosts, await side_by_side(asked), strict=True):
                expires = min(expires, outcome.expires)
                if isinstance(outcome, Answer):
                    usable[host] = outcome
                else:
                    failed.append(outcome)
            if len(usable) >= self.max_hosts:
                break
        if usable:
            chosen = [record for record in ordered if record.host in usable][: self.max_hosts]
            return await self._secured(domain, chosen, usable, answer.secure, expires, everyone=ordered)
        troubles = [outcome for outcome in failed if isinstance(outcome, DnsTrouble)]
        if troubles:
            return _later(domain, troubles), expires
        return Reject(f"No mail server of {domain} has an address", code="5.4.4"), expires

    async def _secured(
        self,
        domain: str,
        records: Sequence[Mx],
        usable: Mapping[str, Answer[str]],
        secure: bool,
        expires: float,
        *,
        everyone: Sequence[Mx] = (),
        vouched: bool = False,
    ) -> tuple[Route, float]:
        """The way to these hosts with what the domain publishes about TLS, and when to look it up again."""
        hosts = {record.host: usable[record.host] for record in records}
        found = await self._policies.find(a_labels(domain).rstrip("."), hosts, self.port, vouched=secure)
        expires = min(expires, found.expires)
        left = [record for record in records if record.host not in found.unusable]
        if not left:
            return _insecure(domain, found), expires
        site = self._site(
            left, hosts, secure, everyone=everyone or records, published=found.published, vouched=vouched or secure
        )
        return site, expires

    def _site(
        self,
        records: Sequence[Mx],
        found: Mapping[str, Answer[str]],
        secure: bool,
        port: int | None = None,
        everyone: Sequence[Mx] = (),
        *,
        published: Published = NOTHING,
        vouched: bool = True,
        smart: bool = False,
    ) -> Site:
        """``records``: the hosts to try; ``everyone``: all of the site, if more. Both in the order of preference."""
        port = port or self.port
        shares = _shares([found[record.host].records for record in records], self.max_addresses)
        hosts: list[HostFact] = [
            [record.preference, record.host, list(addresses)] for record, addresses in zip(records, shares, strict=True)
        ]
        ranks = tuple(tuple(rank) for _, rank in groupby(hosts, key=lambda host: host[0]))
        everyone = everyone or records
        key = _site_key([record.host for record in everyone], port)
        told: list[Fact] = [host for rank in ranks for host in rank]
        facts: dict[str, Fact] = {
            **({"resolve.smart_host": True} if smart else {}),
            "resolve.site": key,
            "resolve.hosts": told,
            "resolve.port": port,
            "resolve.secure": secure and all(found[record.host].secure for record in records),
            "resolve.vouched": vouched,
            "resolve.security": published.fact,
        }
        order = (key, *_order(everyone), vouched, published)
        return Site(order, ranks, facts, in_turn=len(ranks) == len(hosts))


def _domain(address: str) -> str:
    return address.rpartition("@")[2].lower() if "@" in address else ""


def _before(records: list[Mx], own: str) -> list[Mx]:
    """The hosts that are nearer to the destination than we are, so that mail cannot come back (RFC 5321 5.1)."""
    ours = min((record.preference for record in records if record.host == own), default=None)
    return records if ours is None else [record for record in records if record.preference < ours]


def _order(records: Sequence[Mx]) -> list[tuple[str, ...]]:
    """The hosts of each rank, sorted: the same for two domains whose mail may take the same way."""
    ranks = groupby(records, key=lambda record: record.preference)
    return [tuple(sorted(record.host for record in rank)) for _, rank in ranks]


def _shares(addresses: Sequence[Sequence[str]], limit: int) -> list[Sequence[str]]:
    """The same for each host with the longest lists cut, so that all together hold ``limit`` or one a host."""
    share = max(map(len, addresses))
    while share > 1 and sum(min(share, len(some)) for some in addresses) > limit:
        share -= 1
    return [some[:share] for some in addresses]


def _site_key(hosts: Sequence[str], port: int) -> str:
    whole = ",".join(sorted(hosts))
    if len(whole) > SITE_LIMIT:
        digest = hashlib.sha256(whole.encode()).hexdigest()[:12]
        whole = f"{whole[:SITE_LIMIT].rpartition(',')[0] or whole[:SITE_LIMIT]},+{digest}"
    if port == SMTP_PORT:
        return whole
    return f"[{whole}]:{port}" if _address(whole) and ":" in whole else f"{whole}:{port}"


def _address(text: str) -> str | None:
    """An IP address in its one written form; None for anything else, a scope such as %eth0 among it."""
    try:
        return str(IPv6Address(text) if ":" in text and "%" not in text else IPv4Address(text))
    except AddressValueError:
        return None


def _no_such_domain(domain: str, outcome: NoSuchName) -> Reject:
    return Reject(f"There is no domain {domain}", code="5.1.2", log=outcome.text)


def _loop(domain: str) -> Reject:
    return Reject(f"Mail for {domain} loops back to us", code="5.4.6")


def _insecure(domain: str, found: Found) -> Defer:
    """Nobody can say by which certificates its servers are known: nothing is sent there (RFC 7672 2.1.2)."""
    log = "; ".join(dict.fromkeys(found.unusable.values()))
    return Defer(f"The TLS of {domain}'s mail servers cannot be checked now", code="4.7.5", log=log, unreached=True)


def _later(domain: str, troubles: Sequence[DnsTrouble]) -> Defer:
    log = "; ".join(dict.fromkeys(trouble.text for trouble in troubles))
    return Defer(f"The mail servers of {domain} cannot be looked up now", code="4.4.3", log=log, unreached=True)
