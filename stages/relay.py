"""Hand messages on to the next server, by SMTP."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache, partial
from ipaddress import IPv4Network, IPv6Network
from types import TracebackType
from typing import Any, ClassVar, Self

from engine import Defer, Duration, Message, Reject, Verdict
from engine.deadline import Watch
from engine.net.names import Hostname
from engine.net.targets import permitted
from engine.net.tls import client_context
from engine.outbound.sending import Sending
from engine.outbound.session import Terms, Timeouts, TlsPolicy

SMTP_PORT = 25

_AT_LEAST_ONE = ("connections", "messages_per_connection", "recipients_per_transaction")


@dataclass
class Relay:
    """Delivers to the servers that `resolve` found, and returns what each recipient's server said.

    It needs the facts ``resolve.site``, ``resolve.hosts`` (a list of [preference, host, [addresses]] in the order to
    try) and, for another port than 25, ``resolve.port``. All recipients of a message belong to that one site.
    """

    effect: ClassVar[bool] = True
    partition: ClassVar[str] = "resolve.site"

    hostname: Hostname

    allow_networks: tuple[IPv4Network | IPv6Network, ...] = field(default=(), kw_only=True)
    """Private networks that mail may be sent into."""
    connections: int = field(default=20, kw_only=True)
    """To one site at a time (Postfix: default_destination_concurrency_limit)."""
    messages_per_connection: int = field(default=1000, kw_only=True)
    recipients_per_transaction: int = field(default=100, kw_only=True)
    """RFC 5321 4.5.3.1.8: every server takes as many."""
    idle: Duration = field(default=Duration("3s"), kw_only=True)
    """How long a connection is kept for the next message."""
    retry: tuple[Duration, ...] = field(
        default=(Duration("5m"), Duration("15m"), Duration("1h"), Duration("4h")), kw_only=True
    )
    """Delays between attempts; the last one repeats (RFC 5321 4.5.4.1)."""
    expire: Duration = field(default=Duration("5d"), kw_only=True)
    """Age at which a message that still waits is returned to its sender."""
    tls: TlsPolicy = field(default="opportunistic", kw_only=True)
    """`opportunistic`: where offered, unverified. `require`: always. `verify`: with a trusted certificate. `never`."""
    strict_8bit: bool = field(default=False, kw_only=True)
    """Return 8-bit content to its sender where the next server does not offer 8BITMIME, rather than send it anyway."""
    connect_timeout: Duration = field(default=Duration("30s"), kw_only=True)
    greeting_timeout: Duration = field(default=Duration("5m"), kw_only=True)
    command_timeout: Duration = field(default=Duration("5m"), kw_only=True)
    data_timeout: Duration = field(default=Duration("2m"), kw_only=True)
    block_timeout: Duration = field(default=Duration("3m"), kw_only=True)
    final_timeout: Duration = field(default=Duration("10m"), kw_only=True)

    def __post_init__(self) -> None:
        problems = list(self.check(**{name: getattr(self, name) for name in (*_AT_LEAST_ONE, "retry")}))
        if problems:
            raise ValueError("; ".join(problems))
        self._may_connect = lru_cache(4096)(partial(permitted, allow_networks=self.allow_networks))

    @staticmethod
    def check(**settings: Any) -> Iterator[str]:
        """What is wrong with the settings that were given."""
        yield from (f"{name} must be at least 1" for name in _AT_LEAST_ONE if settings.get(name, 1) < 1)
        if "retry" in settings and not settings["retry"]:
            yield "retry needs at least one delay"

    async def __aenter__(self) -> Self:
        watch = Watch()
        timeouts = Timeouts(
            connect=self.connect_timeout,
            greeting=self.greeting_timeout,
            command=self.command_timeout,
            data=self.data_timeout,
            block=self.block_timeout,
            final=self.final_timeout,
        )
        self._sending = await Sending(
            terms=Terms(self.hostname, self.tls, client_context(verify=self.tls == "verify"), timeouts, watch),
            watch=watch,
            connections=self.connections,
            idle=self.idle,
            messages_per_connection=self.messages_per_connection,
            recipients_per_transaction=self.recipients_per_transaction,
            retry=self.retry,
            expire=self.expire,
            strict_8bit=self.strict_8bit,
        ).__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._sending.__aexit__(kind, error, trace)

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
        return await self._sending.deliver(message, targets, site, port)


def _addresses(message: Message) -> list[tuple[str, str]]:
    """(host, address) in the order to try."""
    hosts = message.fact("resolve.hosts")
    found: list[tuple[str, str]] = []
    for entry in hosts if isinstance(hosts, list) else ():
        match entry:
            case [_, str(host), [*addresses]]:
                found += [(host, str(address)) for address in addresses]
    return found
