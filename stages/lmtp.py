"""Hand messages to another mail store, by LMTP (RFC 2033)."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, ClassVar, Self

import trio

from engine import Defer, Duration, Message, Verdict
from engine.deadline import Watch
from engine.net.names import Hostname
from engine.net.targets import host_and_port
from engine.net.tls import client_context
from engine.outbound.schedule import retry_delay
from engine.outbound.sending import Sending
from engine.outbound.session import Terms, Timeouts, TlsPolicy

LMTP_PORT = 24
"""RFC 2033 5 leaves the port to the site, but for 25; this one is for private mail systems (RFC 1700)."""

PENALTY = 1.0
"""Seconds for which an address that could not be used is not tried: a store that is restarted is back soon."""

MESSAGES_PER_CONNECTION = 1000

_AT_LEAST_ONE = ("connections", "recipients_per_transaction")


@dataclass
class Lmtp:
    """Delivers into a store such as Dovecot or Cyrus, and returns what it said of each recipient.

    Each worker that runs the stage has connections of its own. They are kept for the next message while there is one
    within ``idle``. The host's name is looked up as the system does it.
    """

    effect: ClassVar[bool] = True

    hostname: Hostname

    host: str = field(default="", kw_only=True)
    """`"store.example.org:24"`, or an address; the port may be left out."""
    socket: str = field(default="", kw_only=True)
    """The path of a Unix socket, in place of a host."""
    connections: int = field(default=20, kw_only=True)
    """At a time, of one worker."""
    recipients_per_transaction: int = field(default=100, kw_only=True)
    """RFC 5321 4.5.3.1.8: every server takes as many."""
    idle: Duration = field(default=Duration("3s"), kw_only=True)
    """How long a connection is kept for the next message."""
    retry: tuple[Duration, ...] = field(
        default=(Duration("1m"), Duration("5m"), Duration("15m"), Duration("1h")), kw_only=True
    )
    """Delays between attempts; the last one repeats. Short: the store is our own."""
    expire: Duration = field(default=Duration("5d"), kw_only=True)
    """Age at which a message that still waits is returned to its sender."""
    tls: TlsPolicy = field(default="opportunistic", kw_only=True)
    """`opportunistic`: where offered, unverified. `require`: always. `verify`: with a trusted certificate. `never`."""
    connect_timeout: Duration = field(default=Duration("30s"), kw_only=True)
    command_timeout: Duration = field(default=Duration("5m"), kw_only=True)
    final_timeout: Duration = field(default=Duration("10m"), kw_only=True)

    def __post_init__(self) -> None:
        problems = list(self.check(**{name: getattr(self, name) for name in self.__dataclass_fields__}))
        if problems:
            raise ValueError("; ".join(problems))
        self._host, self._port = host_and_port(self.host, LMTP_PORT) if self.host else ("", 0)

    @staticmethod
    def check(**settings: Any) -> Iterator[str]:
        """What is wrong with the settings that were given."""
        host, path = settings.get("host", ""), settings.get("socket", "")
        if bool(host) == bool(path):
            yield 'write host = "store.example.org:24" or socket = "/path", one of them'
        if host:
            try:
                host_and_port(host, LMTP_PORT)
            except ValueError as error:
                yield str(error)
        if path and not path.startswith("/"):
            yield "socket must be a whole path, from the root folder on"
        if path and settings.get("tls", "") in ("require", "verify"):
            yield "there is no TLS on a Unix socket"
        yield from (f"{name} must be at least 1" for name in _AT_LEAST_ONE if settings.get(name, 1) < 1)
        if "retry" in settings and not settings["retry"]:
            yield "retry needs at least one delay"

    async def __aenter__(self) -> Self:
        watch = Watch()
        tls: TlsPolicy = "never" if self.socket else self.tls
        timeouts = Timeouts(
            connect=self.connect_timeout,
            greeting=self.command_timeout,
            command=self.command_timeout,
            data=self.command_timeout,
            block=self.command_timeout,
            final=self.final_timeout,
        )
        self._sending = await Sending(
            terms=Terms(self.hostname, tls, client_context(verify=tls == "verify"), timeouts, watch, lmtp=True),
            watch=watch,
            connections=self.connections,
            idle=self.idle,
            penalty=PENALTY,
            messages_per_connection=MESSAGES_PER_CONNECTION,
            recipients_per_transaction=self.recipients_per_transaction,
            retry=self.retry,
            expire=self.expire,
        ).__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._sending.__aexit__(kind, error, trace)

    async def __call__(self, message: Message) -> Verdict:
        try:
            targets = [(self.socket, self.socket)] if self.socket else await self._found()
        except OSError as error:
            return Defer(
                "The mail store has no address now",
                code="4.4.3",
                log=f"{self._host}: {error.strerror}",
                retry_after=retry_delay(self.retry, message.envelope.attempts),
                expires=message.envelope.arrived + self.expire,
            )
        return await self._sending.deliver(message, targets, "store", self._port)

    async def _found(self) -> list[tuple[str, str]]:
        """(host, address) of the store. OSError."""
        infos = await trio.socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        return [(self._host, str(info[4][0])) for info in infos]
