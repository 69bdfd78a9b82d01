"""The policy of a domain, over HTTPS (RFC 8461 3.3)."""

import ssl
from collections.abc import Awaitable, Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import trio

from engine.net.certificates import CertificateError
from engine.net.connection import Connection, ConnectionLost
from engine.net.dns import Answer, DnsTrouble, Resolver
from engine.net.targets import Network, permitted
from engine.net.tls import client_context
from engine.policies.results import ResultType
from engine.protocols.http_client import HttpClient, HttpError, Response
from engine.protocols.mta_sts import POLICY_LIMIT, StsPolicy, parse_policy

TIMEOUT = 20.0
"""Seconds for all of it. RFC 8461 3.3 suggests up to a minute; mail waits for it."""

PORT = 443

_TARGET = "/.well-known/mta-sts.txt"
_ADDRESSES = 4  # that are tried
_FIELDS = (("User-Agent", "postroad"), ("Accept", "text/plain"), ("Connection", "close"))


class NoPolicy(Exception):
    """The policy cannot be had; ``result`` is what reports call it."""

    def __init__(self, result: ResultType, text: str) -> None:
        super().__init__(text)
        self.result = result


Fetch: TypeAlias = Callable[[str], Awaitable[StsPolicy]]
"""The policy of a domain. NoPolicy."""


class Fetcher:
    """Fetches policies. Its connections go to public addresses alone, unless ``allow_networks`` has others: where the
    names lead to is for strangers to say. ``trust`` is a PEM file of authorities in place of the system's.
    """

    def __init__(
        self,
        resolver: Resolver,
        *,
        trust: Path | None = None,
        ipv6: bool = True,
        port: int = PORT,
        allow_networks: Iterable[Network] = (),
        timeout: float = TIMEOUT,
    ) -> None:
        self._resolver = resolver
        self._trust = trust
        self._ipv6 = ipv6
        self._port = port
        self._allow_networks = tuple(allow_networks)
        self._timeout = timeout

    @cached_property
    def _context(self) -> ssl.SSLContext:
        return client_context(verify=True, trust=self._trust)

    async def __call__(self, domain: str) -> StsPolicy:
        """The policy of ``domain``, in A-labels. NoPolicy."""
        host = f"mta-sts.{domain}"
        try:
            with trio.fail_after(self._timeout):
                response = await self._get(host)
        except trio.TooSlowError:
            raise NoPolicy("sts-policy-fetch-error", f"{host} took longer than {self._timeout:g} s") from None
        except HttpError as error:
            raise NoPolicy("sts-policy-fetch-error", f"{host}: {error}") from error
        if response.status != 200:  # RFC 8461 3.3: no redirect is followed
            raise NoPolicy("sts-policy-fetch-error", f"{host} answered {response.status}")
        if response.kind != "text/plain":
            raise NoPolicy("sts-policy-invalid", f"{host} sent {response.kind[:40] or 'nothing'!r}, not text/plain")
        try:
            return parse_policy(response.body)
        except ValueError as error:
            raise NoPolicy("sts-policy-invalid", f"the policy of {host}: {error}") from error

    async def _get(self, host: str) -> Response:
        connection = await self._connected(host)
        try:
            client = HttpClient(POLICY_LIMIT)
            await connection.send(client.begin("GET", _TARGET, (("Host", host), *_FIELDS)))
            while (response := client.receive(await connection.receive())) is None:
                pass
            return response
        except ConnectionLost as lost:
            raise NoPolicy("sts-policy-fetch-error", f"{host}: {lost.strerror}") from lost
        finally:
            connection.close()

    async def _connected(self, host: str) -> Connection:
        """A connection under TLS, with a certificate that is trusted for the host. NoPolicy."""
        outcome = await self._resolver.addresses(host, ipv6=self._ipv6)
        if not isinstance(outcome, Answer):
            text = outcome.text if isinstance(outcome, DnsTrouble) else f"{host} has no address"
            raise NoPolicy("sts-policy-fetch-error", text)
        failed = NoPolicy("sts-policy-fetch-error", f"{host} has no public address")
        for address in outcome.records[:_ADDRESSES]:
            if permitted(address, self._allow_networks):
                try:
                    return await self._under_tls(host, address)
                except NoPolicy as error:
                    failed = error
        raise failed

    async def _under_tls(self, host: str, address: str) -> Connection:
        try:
            sock = trio.socket.socket(trio.socket.AF_INET6 if ":" in address else trio.socket.AF_INET)
            try:
                await sock.connect((address, self._port))
            except BaseException:
                sock.close()
                raise
        except OSError as error:
            raise NoPolicy("sts-policy-fetch-error", f"{host} [{address}]: {error.strerror}") from error
        connection = Connection.of(sock)
        try:
            await connection.start_tls(self._context, server_side=False, hostname=host)
        except (ConnectionLost, CertificateError, ValueError) as error:
            connection.close()
            raise NoPolicy("sts-webpki-invalid", f"{host} [{address}]: {error}") from error
        except BaseException:
            connection.close()
            raise
        return connection
