"""Servers of strangers, asked by HTTPS: only at public addresses, for where their names lead to is theirs to say."""

import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import trio

from engine.net.certificates import CertificateError
from engine.net.connection import Connection, ConnectionLost
from engine.net.dns import Answer, DnsTrouble, Resolver
from engine.net.targets import Network, permitted
from engine.protocols.http_client import HttpClient, HttpError, Response

PORT = 443

ADDRESSES = 4
"""Addresses of one host that are tried."""


class Unreached(Exception):
    """The text says why, for people."""


class Untrusted(Unreached):
    """There is no TLS, or not with a certificate that is trusted."""


@dataclass(frozen=True, slots=True)
class Https:
    """Connects. ``context`` says what a server must show; ``allow_networks`` are not public, and may be reached."""

    resolver: Resolver
    context: Callable[[], ssl.SSLContext]
    ipv6: bool = True
    allow_networks: tuple[Network, ...] = ()

    async def ask(
        self,
        method: str,
        host: str,
        target: str,
        fields: Iterable[tuple[str, str]],
        body: bytes | None = None,
        *,
        port: int = PORT,
        limit: int,
    ) -> Response:
        """The answer, of ``limit`` octets at most, whatever its status. Unreached. It takes its time."""
        connection = await self._connected(host, port)
        try:
            client = HttpClient(limit)
            named = (("Host", host if port == PORT else f"{host}:{port}"), *fields, ("Connection", "close"))
            length = None if body is None else len(body)
            await connection.send(client.begin(method, target, named, length) + (body or b""))
            while (response := client.receive(await connection.receive())) is None:
                pass
            return response
        except ConnectionLost as lost:
            raise Unreached(f"{host}: {lost.strerror}") from lost
        except HttpError as error:
            raise Unreached(f"{host}: {error}") from error
        finally:
            connection.close()

    async def _connected(self, host: str, port: int) -> Connection:
        outcome = await self.resolver.addresses(host, ipv6=self.ipv6)
        if not isinstance(outcome, Answer):
            raise Unreached(outcome.text if isinstance(outcome, DnsTrouble) else f"{host} has no address")
        failed = Unreached(f"{host} has no public address")
        for address in outcome.records[:ADDRESSES]:
            if permitted(address, self.allow_networks):
                try:
                    return await self._under_tls(host, address, port)
                except Unreached as error:
                    failed = error
        raise failed

    async def _under_tls(self, host: str, address: str, port: int) -> Connection:
        try:
            sock = trio.socket.socket(trio.socket.AF_INET6 if ":" in address else trio.socket.AF_INET)
            try:
                await sock.connect((address, port))
            except BaseException:
                sock.close()
                raise
        except OSError as error:
            raise Unreached(f"{host} [{address}]: {error.strerror}") from error
        connection = Connection.of(sock)
        try:
            await connection.start_tls(self.context(), server_side=False, hostname=host)
        except (ConnectionLost, CertificateError, ValueError) as error:
            connection.close()
            raise Untrusted(f"{host} [{address}]: {error}") from error
        except BaseException:
            connection.close()
            raise
        return connection
