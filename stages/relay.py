"""Hand messages on to the next server, by SMTP."""

import time
from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import lru_cache, partial
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any, ClassVar

from engine import Defer, Duration, Message, Reject, Verdict, domain_of
from engine.egress import Egress, Leaving
from engine.message import TENANT
from engine.net.certificates import CertificateError, read_authorities
from engine.net.targets import permitted
from engine.outbound.sending import Sending
from engine.outbound.session import Timeouts
from engine.outbound.stage import Outbound
from engine.outbound.way import SMTP_PORT, Security, Way
from engine.policies.published import NOTHING, Published
from engine.policies.results import TlsResults
from engine.shaping.automation import Actions, Overlay, Said


@dataclass
class Relay(Outbound):
    """Delivers to the servers that `resolve` found, and returns what each recipient's server said.

    It needs the facts ``resolve.site``, ``resolve.hosts`` (a list of [preference, host, [addresses]] in the order to
    try) and, for another port than 25, ``resolve.port``. All recipients of a message belong to that one site.
    ``resolve.security`` has what their domain publishes about TLS, ``resolve.vouched`` whether the hosts are its own.
    """

    partition: ClassVar[str] = "resolve.site"
    acts_on: ClassVar[tuple[str, ...]] = ("egress", "smart_host")

    results: TlsResults = field(default_factory=TlsResults)
    egress: Egress = field(default_factory=Egress)
    actions: Actions = field(default_factory=lambda: Actions(rules=()))
    _: KW_ONLY
    pool: str = ""
    """The `[egress.pool.NAME]` that mail leaves by whose tenant has none. Empty: the system picks the address."""
    allow_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    """Private networks that mail may be sent into."""
    messages_per_connection: int = 1000
    trust: Path | None = None
    """PEM file of the authorities of verified certificates, in place of those that the system trusts."""
    strict_8bit: bool = False
    """Return 8-bit content to its sender where the next server does not offer 8BITMIME, rather than send it anyway."""
    greeting_timeout: Duration = Duration("5m")
    data_timeout: Duration = Duration("2m")
    block_timeout: Duration = Duration("3m")

    def __post_init__(self) -> None:
        super().__post_init__()
        self._security = Security(self.tls)
        self._may_connect = lru_cache(4096)(partial(permitted, allow_networks=self.allow_networks))

    def _made(self) -> Sending:
        timeouts = Timeouts(
            connect=self.connect_timeout,
            greeting=self.greeting_timeout,
            command=self.command_timeout,
            data=self.data_timeout,
            block=self.block_timeout,
            final=self.final_timeout,
        )
        return self._by(
            timeouts,
            messages_per_connection=self.messages_per_connection,
            strict_8bit=self.strict_8bit,
            trust=self.trust,
            results=self.results,
            source_failed=self.egress.failed,
        )

    @staticmethod
    def check(**settings: Any) -> Iterator[str]:
        """What is wrong with the settings that were given."""
        if (trust := settings.get("trust")) is not None:
            try:
                read_authorities(trust)
            except CertificateError as error:
                yield f"trust: {error}"
        yield from Outbound.check(**settings)

    async def __call__(self, message: Message) -> Verdict:
        site, port = message.fact("resolve.site"), message.fact("resolve.port", SMTP_PORT)
        if not isinstance(site, str) or not isinstance(port, int):
            return Defer("Cannot deliver now", code="4.3.5", log="relay needs the facts of a resolve stage before it")
        found = _addresses(message)
        targets = [target for target in found if self._may_connect(target[1])]
        if found and not targets:
            return Reject(
                "The address of the next server is not a public one",
                code="5.4.4",
                log=f"{found[0][1]} is private: allow_networks in [stage.relay] would permit it",
                remote=found[0][0],
            )
        said = _about(message, site)
        leaving = await self.egress.leave(message, site, port, targets, pool=self.pool, instead=self._instead(said))
        if not isinstance(leaving, Leaving):
            return leaving
        return await self._leave(message, leaving, said._replace(source=leaving.source.name), port)

    async def _leave(self, message: Message, leaving: Leaving, said: Said, port: int) -> Verdict:
        """Send it from there, unless actions in force are against it."""
        now = time.time()
        held = self._overlay(said, now).verdict(now, message.envelope.begun + self.expire)
        way, security = Way(said.site, port, leaving.source, leaving.login), self._wanted(message, leaving)
        verdict = held or await self._sending.deliver(message, leaving.targets, way, security)
        if isinstance(verdict, Defer) and (verdict.line or verdict.unreached):
            await self.egress.stayed(leaving)
        if held is None:
            self.actions.told(verdict, said)
        return verdict

    def _overlay(self, said: Said, now: float) -> Overlay:
        return self.actions.in_force(said.site, said.source, now, domain=said.domain, tenant=said.tenant)

    def _instead(self, said: Said) -> Callable[[str], str | None]:
        """What actions in force say of each source for this site: see ``Egress.leave``."""
        now = time.time()
        return lambda source: self._overlay(said._replace(source=source), now).use

    def _wanted(self, message: Message, leaving: Leaving) -> Security:
        """How safe the connection must be."""
        security = self._security
        if message.fact("resolve.security") is not None or message.envelope.requiretls:
            security = self._stricter(message)
        if leaving.security is None:
            return security
        # Its name is the operator's own word.
        return replace(leaving.security, requiretls=security.requiretls, vouched=True)

    def _stricter(self, message: Message) -> Security:
        """What holds for a message whose recipients' domain, or whose sender, wants TLS."""
        fact, requiretls = message.fact("resolve.security"), message.envelope.requiretls
        if requiretls and not message.sender:
            # A report is rather sent without the promise than lost (RFC 8689 5), but not in the clear.
            level = "require" if self.tls == "opportunistic" else self.tls
            return Security(level, Published.from_fact(fact))
        may_waive = not requiretls and self.tls not in ("mta-sts", "dane")
        published = NOTHING if may_waive and _waives(message) else Published.from_fact(fact)
        return Security(self.tls, published, requiretls, requiretls and bool(message.fact("resolve.vouched")))


def _waives(message: Message) -> bool:
    """Whether the sender wants it delivered whatever the recipients' domain publishes (RFC 8689 3)."""
    return [value.strip().lower() for value in message.headers("TLS-Required")] == ["no"]


def _about(message: Message, site: str) -> Said:
    """What replies to it will be about."""
    tenant = message.fact(TENANT)
    return Said(site, "", domain=domain_of(message.recipients[0]), tenant=tenant if isinstance(tenant, str) else "")


def _addresses(message: Message) -> list[tuple[str, str]]:
    """(host, address) in the order to try."""
    hosts = message.fact("resolve.hosts")
    found: list[tuple[str, str]] = []
    for entry in hosts if isinstance(hosts, list) else ():
        match entry:
            case [_, str(host), [*addresses]]:
                found += [(host, str(address)) for address in addresses]
    return found
