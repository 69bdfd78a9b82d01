"""What stages have in common that hand everything to one server of our own, which the settings name."""

import socket
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, ClassVar

import trio

from engine.message import Message
from engine.net.targets import host_and_port
from engine.outbound.schedule import retry_delay
from engine.outbound.sending import Sending
from engine.outbound.session import Timeouts
from engine.outbound.stage import Outbound
from engine.outbound.way import Security, Way
from engine.units import Duration
from engine.verdict import Defer, Verdict

PENALTY = 1.0
"""Seconds for which an address that could not be used is not tried: a server that is restarted is back soon."""

MESSAGES_PER_CONNECTION = 1000


@dataclass
class OneServer(Outbound):
    """Each worker that runs the stage has connections of its own. They are kept for the next message while there is one
    within ``idle``. The host's name is looked up as the system does it.
    """

    site: ClassVar[str]
    """What the server is, for its place in the pool of connections and for those who read of it."""
    port: ClassVar[int] = 0
    """The usual one; 0: there is none, and it must be given."""

    _: KW_ONLY
    host: str = ""
    """`"store.example.org:24"`, or an address; a usual port may be left out."""
    socket: str = ""
    """The path of a Unix socket, in place of a host."""
    retry: tuple[Duration, ...] = (Duration("1m"), Duration("5m"), Duration("15m"), Duration("1h"))
    """Short: the server is our own."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._host, self._port = host_and_port(self.host, self.port) if self.host else ("", 0)
        self._way = Way(self.site, self._port)
        self._security = Security("never" if self.socket else self.tls)

    @classmethod
    def check(cls, **settings: Any) -> Iterator[str]:
        """What is wrong with the settings that were given."""
        host, path = settings.get("host", ""), settings.get("socket", "")
        if bool(host) == bool(path):
            yield f'write host = "{cls.site}.example.org:{cls.port or 10025}" or socket = "/path", one of them'
        if host:
            try:
                host_and_port(host, cls.port)
            except ValueError as error:
                yield str(error)
        if path and not path.startswith("/"):
            yield "socket must be a whole path, from the root folder on"
        tls = settings.get("tls", "")
        if tls in ("mta-sts", "dane"):
            yield f'no domain publishes a policy for a server of our own: tls = "verify" in place of "{tls}"'
        elif path and tls in ("require", "verify"):
            yield "there is no TLS on a Unix socket"
        yield from Outbound.check(**settings)

    def _by_one(
        self, *, lmtp: bool, chunking: bool = True, forward: bool = False, trust: Path | None = None
    ) -> Sending:
        """Sending by the settings."""
        timeouts = Timeouts(
            connect=self.connect_timeout,
            greeting=self.command_timeout,
            command=self.command_timeout,
            data=self.command_timeout,
            block=self.command_timeout,
            final=self.final_timeout,
        )
        return self._by(
            timeouts,
            messages_per_connection=MESSAGES_PER_CONNECTION,
            penalty=PENALTY,
            lmtp=lmtp,
            chunking=chunking,
            forward=forward,
            trust=trust,
        )

    async def __call__(self, message: Message) -> Verdict:
        try:
            targets = [(self.socket, self.socket)] if self.socket else await self._found()
        except OSError as error:
            return Defer(
                f"The {self.site} has no address now",
                code="4.4.3",
                log=f"{self._host}: {error.strerror}",
                retry_after=retry_delay(self.retry, message.envelope.attempts),
                expires=message.envelope.begun + self.expire,
            )
        return await self._sending.deliver(message, targets, self._way, self._security)

    async def _found(self) -> list[tuple[str, str]]:
        """(host, address) of the server. OSError."""
        infos = await trio.socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        return [(self._host, str(info[4][0])) for info in infos]
