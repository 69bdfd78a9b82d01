"""Hand messages on to the next server, by SMTP."""

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import lru_cache, partial
from ipaddress import IPv4Network, IPv6Network
from typing import ClassVar, TypeAlias, cast

from msgspec.structs import replace

from engine import Defer, Delivered, Duration, Each, Message, Recipient, Reject, Verdict
from engine.net.dns import side_by_side
from engine.net.targets import permitted
from engine.outbound.sending import Sending
from engine.outbound.session import Timeouts
from engine.outbound.stage import Outbound
from engine.outbound.way import ANY, SMTP_PORT, Security, Way
from engine.shaping.shape import Shape
from engine.shaping.shaping import Shaping

_Outcome: TypeAlias = Delivered | Defer | Reject


@dataclass
class Relay(Outbound):
    """Delivers to the servers that `resolve` found, and returns what each recipient's server said.

    It needs the facts ``resolve.site``, ``resolve.hosts`` (a list of [preference, host, [addresses]] in the order to
    try) and, for another port than 25, ``resolve.port``. All recipients of a message belong to that one site.
    """

    partition: ClassVar[str] = "resolve.site"

    shaping: Shaping = field(default_factory=Shaping)
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
        self._source = ANY
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
            shaping=self.shaping,
        )

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
        return await self._shaped(message, targets, Way(site, port, self._source))

    async def _shaped(self, message: Message, targets: Sequence[tuple[str, str]], way: Way) -> Verdict:
        """Hand it on as the rules for its domain say: of one site, some may have others."""
        hosts = [host for host, _ in targets]
        recipients = message.envelope.recipients
        found = [self.shaping.of(_domain(one), hosts, way.source.name, site=way.site) for one in recipients]
        if all(shape is found[0] for shape in found):
            return await self._by_one(message, targets, way, found[0])
        return await self._parted(message, targets, way, found)

    async def _parted(
        self, message: Message, targets: Sequence[tuple[str, str]], way: Way, found: Sequence[Shape]
    ) -> Verdict:
        """Each recipient by its own shape."""
        shapes: dict[Shape, list[Recipient]] = {}
        for recipient, shape in zip(message.envelope.recipients, found, strict=True):
            shapes.setdefault(shape, []).append(recipient)
        parts = [(shape, _part(message, some)) for shape, some in shapes.items()]
        verdicts = await side_by_side(partial(self._by_one, part, targets, way, shape) for shape, part in parts)
        outcomes: dict[str, _Outcome] = {}
        for (_, part), verdict in zip(parts, verdicts, strict=True):
            told = verdict.verdicts if isinstance(verdict, Each) else dict.fromkeys(part.recipients, verdict)
            outcomes |= cast(Mapping[str, _Outcome], told)
        return Each(outcomes)

    async def _by_one(self, message: Message, targets: Sequence[tuple[str, str]], way: Way, shape: Shape) -> Verdict:
        if shape.group:
            way = way._replace(site=f"{way.site} {shape.group}")
        security = Security(shape.tls) if shape.tls else self._security
        return await self._sending.deliver(message, targets, way, security, shape)


def _domain(recipient: Recipient) -> str:
    return recipient.address.rpartition("@")[2].lower()


def _part(message: Message, recipients: Sequence[Recipient]) -> Message:
    return replace(message, envelope=replace(message.envelope, recipients=tuple(recipients)))


def _addresses(message: Message) -> list[tuple[str, str]]:
    """(host, address) in the order to try."""
    hosts = message.fact("resolve.hosts")
    found: list[tuple[str, str]] = []
    for entry in hosts if isinstance(hosts, list) else ():
        match entry:
            case [_, str(host), [*addresses]]:
                found += [(host, str(address)) for address in addresses]
    return found
