"""Hand messages on to the next server, by SMTP."""

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import cache, lru_cache, partial
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any, ClassVar, TypeAlias, TypeVar, cast

from msgspec import structs

from engine import Defer, Delivered, Duration, Each, Message, Recipient, Reject, Verdict, domain_of
from engine.egress import Egress, Leaving
from engine.message import TENANT
from engine.net.certificates import CertificateError, read_authorities
from engine.net.dns import side_by_side
from engine.net.targets import permitted
from engine.outbound.schedule import Meaning
from engine.outbound.sending import Sending
from engine.outbound.session import Timeouts
from engine.outbound.stage import Outbound
from engine.outbound.way import SMTP_PORT, Security, TlsPolicy, Way
from engine.policies.published import NOTHING, Published
from engine.policies.results import TlsResults
from engine.shaping.automation import Actions, Overlay, Said
from engine.shaping.shape import Shape, slowed
from engine.shaping.shaping import Shaping

LOOK = 30.0
"""Seconds after which it is looked again whether a site is still suspended: somebody may have lifted that."""

T = TypeVar("T")
_usual = cache(Security)
_domain_of = lru_cache(4096)(domain_of)  # asked for several times a message
_Outcome: TypeAlias = Delivered | Defer | Reject


@dataclass
class Relay(Outbound):
    """Delivers to the servers that `resolve` found, and returns what each recipient's server said.

    It needs the facts ``resolve.site``, ``resolve.hosts`` (a list of [preference, host, [addresses]] in the order to
    try) and, for another port than 25, ``resolve.port``. All recipients of a message belong to that one site.
    ``resolve.security`` has what their domain publishes about TLS, ``resolve.vouched`` whether the hosts are its own.
    """

    partition: ClassVar[str] = "resolve.site"
    acts_on: ClassVar[tuple[str, ...]] = ("egress", "smart_host", "reports")

    results: TlsResults = field(default_factory=TlsResults)
    egress: Egress = field(default_factory=Egress)
    actions: Actions = field(default_factory=lambda: Actions(rules=()))
    shaping: Shaping = field(default_factory=Shaping)
    _: KW_ONLY
    pool: str = ""
    """The `[egress.pool.NAME]` that mail leaves by whose tenant has none. Empty: the system picks the address."""
    allow_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    """Private networks that mail may be sent into."""
    messages_per_connection: int = 1000
    retry_patient: tuple[Duration, ...] = (Duration("1h"), Duration("2h"), Duration("4h"))
    """Delays after a reply that means that minutes change nothing, as that our address has a bad name. Empty: as
    `retry`."""
    trust: Path | None = None
    """PEM file of the authorities of verified certificates, in place of those that the system trusts."""
    strict_8bit: bool = False
    """Return 8-bit content to its sender where the next server does not offer 8BITMIME, rather than send it anyway."""
    greeting_timeout: Duration = Duration("5m")
    data_timeout: Duration = Duration("2m")
    block_timeout: Duration = Duration("3m")

    def __post_init__(self) -> None:
        super().__post_init__()
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
            shaping=self.shaping,
            patient=self.retry_patient,
            means=self._means,
        )

    def _means(self, text: str, status: str) -> Meaning:
        """By the class of a reply, of which the operator may have some of his own."""
        which = self.actions.class_of(text, status)
        if which.name == "mailbox-full":
            return "full"
        return which.retry if which.retry in ("soon", "patient") else "usual"

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
        going = _Going(site, port, targets, [host for host, _ in targets])

        return await _parted(
            message,
            lambda recipient: self._shape(going, recipient).pool or self.pool,
            lambda part, pool: self._leave(part, going, pool),
        )

    def _shape(self, going: "_Going", recipient: Recipient, source: str = "") -> Shape:
        return self.shaping.of(_domain_of(recipient.address), going.hosts, source, site=going.site)

    async def _leave(self, message: Message, going: "_Going", pool: str) -> Verdict:
        """Send it from one of the pool's sources, unless actions in force are against it."""
        said = _about(message, going.site)
        leaving = await self.egress.leave(
            message, going.site, going.port, going.targets, pool=pool, instead=partial(self._instead, said)
        )
        if not isinstance(leaving, Leaving):
            return leaving
        if leaving.source.name:
            said = said._replace(source=leaving.source.name)
        now = time.time()
        overlay = self._overlay(said, now)
        verdict: Verdict | None = None
        if overlay.actions:
            verdict = overlay.verdict(now, message.envelope.begun + self.expire)
        if isinstance(verdict, Defer):
            again = min(verdict.retry_after or LOOK, LOOK)
            verdict = replace(verdict, line=f"{said.site}/{said.source}", retry_after=again)
        elif verdict is None:
            verdict = await self._send(message, going, leaving, overlay)
            await self.actions.told(verdict, said)
        if isinstance(verdict, Defer) and (verdict.line or verdict.unreached):
            await self.egress.stayed(leaving)
        return verdict

    def _send(self, message: Message, going: "_Going", leaving: Leaving, overlay: Overlay) -> Awaitable[Verdict]:
        """As the rules for its recipients' domains say: of one site, some may have others."""
        source = leaving.source

        def send(part: Message, shape: Shape) -> Awaitable[Verdict]:
            site = f"{going.site} {shape.group}" if shape.group else going.site
            way = Way(site, going.port, source, leaving.login)
            if overlay.actions:
                shape = slowed(shape, overlay.rate, overlay.connections, self.connections)
            security = self._wanted(part, leaving, shape.tls or self.tls)
            return self._sending.deliver(part, leaving.targets, way, security, shape)

        return _parted(message, lambda recipient: self._shape(going, recipient, source.name), send)

    def _overlay(self, said: Said, now: float) -> Overlay:
        return self.actions.in_force(said.site, said.source, now, domain=said.domain, tenant=said.tenant)

    def _instead(self, said: Said, source: str) -> str | None:
        """What actions in force say of a source for this site: see ``Egress.leave``."""
        return self._overlay(said._replace(source=source), time.time()).use

    def _wanted(self, message: Message, leaving: Leaving, level: TlsPolicy) -> Security:
        """How safe the connection must be. ``level`` is what our side wants at least."""
        security = _usual(level)
        if message.fact("resolve.security") is not None or message.envelope.requiretls:
            security = _stricter(message, level)
        elif message.fact("resolve.smart_host") or (not message.sender and _waives(message)):
            # A report on TLS is not told of in the next one (RFC 8460 3): that would have no end.
            security = replace(security, untold=True)
        if leaving.security is None:
            return security
        # Its name is the operator's own word.
        return replace(leaving.security, requiretls=security.requiretls, vouched=True, untold=True)


@dataclass(frozen=True, slots=True)
class _Going:
    """Where a message goes."""

    site: str
    port: int
    targets: Sequence[tuple[str, str]]  # (host, address)
    hosts: Sequence[str]  # of these


def _parted(
    message: Message, key: Callable[[Recipient], T], work: Callable[[Message, T], Awaitable[Verdict]]
) -> Awaitable[Verdict]:
    """What becomes of recipients, those together that have the same key."""
    recipients = message.envelope.recipients
    if len(recipients) == 1:  # as nearly always
        return work(message, key(recipients[0]))
    first, *others = [key(recipient) for recipient in recipients]
    if all(other == first for other in others):
        return work(message, first)
    parts: dict[T, list[Recipient]] = {}
    for recipient, one in zip(recipients, (first, *others), strict=True):
        parts.setdefault(one, []).append(recipient)
    return _each(parts, message, work)


async def _each(
    parts: Mapping[T, Sequence[Recipient]], message: Message, work: Callable[[Message, T], Awaitable[Verdict]]
) -> Verdict:
    """What becomes of several parts, side by side."""
    messages = [(_part(message, some), one) for one, some in parts.items()]
    verdicts = await side_by_side(partial(work, *part) for part in messages)
    outcomes: dict[str, _Outcome] = {}
    for (part, _), verdict in zip(messages, verdicts, strict=True):
        told = verdict.verdicts if isinstance(verdict, Each) else dict.fromkeys(part.recipients, verdict)
        outcomes |= cast(Mapping[str, _Outcome], told)
    return Each(outcomes)


def _part(message: Message, recipients: Sequence[Recipient]) -> Message:
    return structs.replace(message, envelope=structs.replace(message.envelope, recipients=tuple(recipients)))


def _stricter(message: Message, level: TlsPolicy) -> Security:
    """What holds for a message whose recipients' domain, or whose sender, wants TLS."""
    fact, requiretls = message.fact("resolve.security"), message.envelope.requiretls
    if requiretls and not message.sender:
        # A report is rather sent without the promise than lost (RFC 8689 5), but not in the clear.
        return Security("require" if level == "opportunistic" else level, Published.from_fact(fact))
    may_waive = not requiretls and level not in ("mta-sts", "dane")
    waived = may_waive and _waives(message)
    published = NOTHING if waived else Published.from_fact(fact)
    return Security(level, published, requiretls, requiretls and bool(message.fact("resolve.vouched")), waived)


def _waives(message: Message) -> bool:
    """Whether the sender wants it delivered whatever the recipients' domain publishes (RFC 8689 3)."""
    return [value.strip().lower() for value in message.headers("TLS-Required")] == ["no"]


def _about(message: Message, site: str) -> Said:
    """What replies to it will be about."""
    tenant = message.fact(TENANT)
    return Said(
        site,
        "",
        domain=_domain_of(message.envelope.recipients[0].address),
        tenant=tenant if isinstance(tenant, str) else "",
    )


def _addresses(message: Message) -> list[tuple[str, str]]:
    """(host, address) in the order to try."""
    hosts = message.fact("resolve.hosts")
    found: list[tuple[str, str]] = []
    for entry in hosts if isinstance(hosts, list) else ():
        match entry:
            case [_, str(host), [*addresses]]:
                found += [(host, str(address)) for address in addresses]
    return found
