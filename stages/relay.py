"""Hand messages on to the next server, by SMTP."""

import time
from dataclasses import KW_ONLY, dataclass, field
from functools import lru_cache, partial
from ipaddress import IPv4Network, IPv6Network
from typing import ClassVar

from engine import Defer, Duration, Message, Reject, Verdict, domain_of
from engine.message import TENANT
from engine.net.targets import permitted
from engine.outbound.sending import Sending
from engine.outbound.session import Timeouts
from engine.outbound.stage import Outbound
from engine.outbound.way import SMTP_PORT, Security, Way
from engine.shaping.automation import Actions, Said


@dataclass
class Relay(Outbound):
    """Delivers to the servers that `resolve` found, and returns what each recipient's server said.

    It needs the facts ``resolve.site``, ``resolve.hosts`` (a list of [preference, host, [addresses]] in the order to
    try) and, for another port than 25, ``resolve.port``. All recipients of a message belong to that one site.
    """

    partition: ClassVar[str] = "resolve.site"

    actions: Actions = field(default_factory=lambda: Actions(rules=()))
    _: KW_ONLY
    allow_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    """Private networks that mail may be sent into."""
    messages_per_connection: int = 1000
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
        return self._by(timeouts, messages_per_connection=self.messages_per_connection, strict_8bit=self.strict_8bit)

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
        if held := self._held(message, said):
            return held
        verdict = await self._sending.deliver(message, targets, Way(site, port), self._security)
        self.actions.told(verdict, said)
        return verdict

    def _held(self, message: Message, said: Said) -> Defer | Reject | None:
        """What actions in force say about a message that is to leave now."""
        now = time.time()
        overlay = self.actions.in_force(said.site, said.source, now, domain=said.domain, tenant=said.tenant)
        return overlay.verdict(now, message.envelope.arrived + self.expire)


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
