"""Where a scanner listens."""

import socket
import ssl
from dataclasses import dataclass

import trio

from engine.net.connection import Connection, ConnectionLost
from engine.net.targets import host_and_port


@dataclass(frozen=True, slots=True)
class Where:
    """A Unix socket, or a host and port, there under TLS if there is a ``context``."""

    path: str = ""
    host: str = ""
    port: int = 0
    context: ssl.SSLContext | None = None

    @classmethod
    def parse(cls, text: str, port: int = 0) -> "Where":
        """Of ``"/path"``, ``"unix:/path"`` or ``"host:port"``; without a ``port`` it must be given. ValueError."""
        path = text.removeprefix("unix:")
        if path.startswith("/"):
            return cls(path=path)
        host, number = host_and_port(text, port)
        return cls(host=host, port=number)

    def __str__(self) -> str:
        return self.path or f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    async def connected(self) -> Connection:
        """A new connection. OSError."""
        if self.path:
            return await _to(socket.AF_UNIX, self.path)
        error: OSError = ConnectionLost(0, f"{self.host} has no address")
        for family, _, _, _, address in await trio.socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM):
            try:
                connection = await _to(family, address)
            except OSError as trouble:
                error = trouble
                continue
            await self._secure(connection)
            return connection
        raise error

    async def _secure(self, connection: Connection) -> None:
        if self.context is None:
            return
        try:
            await connection.start_tls(self.context, server_side=False, hostname=self.host)
        except BaseException:
            connection.close()
            raise


async def _to(family: int, address: object) -> Connection:
    sock = trio.socket.socket(family, socket.SOCK_STREAM)
    try:
        await sock.connect(address)
    except BaseException:
        sock.close()
        raise
    return Connection.of(sock)
