"""The policy of a domain, over HTTPS (RFC 8461 3.3)."""

import ssl
from collections.abc import Awaitable, Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import trio

from engine.net.dns import Resolver
from engine.net.https import PORT, Https, Unreached, Untrusted
from engine.net.targets import Network
from engine.net.tls import client_context
from engine.policies.results import ResultType
from engine.protocols.mta_sts import POLICY_LIMIT, StsPolicy, parse_policy

TIMEOUT = 20.0
"""Seconds for all of it. RFC 8461 3.3 suggests up to a minute; mail waits for it."""

_TARGET = "/.well-known/mta-sts.txt"
_FIELDS = (("User-Agent", "postroad"), ("Accept", "text/plain"))


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
        self._trust = trust
        self._https = Https(resolver, lambda: self._context, ipv6, tuple(allow_networks))
        self._port = port
        self._timeout = timeout

    @cached_property
    def _context(self) -> ssl.SSLContext:
        return client_context(verify=True, trust=self._trust)

    async def __call__(self, domain: str) -> StsPolicy:
        """The policy of ``domain``, in A-labels. NoPolicy."""
        host = f"mta-sts.{domain}"
        try:
            with trio.fail_after(self._timeout):
                response = await self._https.ask("GET", host, _TARGET, _FIELDS, port=self._port, limit=POLICY_LIMIT)
        except trio.TooSlowError:
            raise NoPolicy("sts-policy-fetch-error", f"{host} took longer than {self._timeout:g} s") from None
        except Untrusted as error:
            raise NoPolicy("sts-webpki-invalid", str(error)) from error
        except Unreached as error:
            raise NoPolicy("sts-policy-fetch-error", str(error)) from error
        if response.status != 200:  # RFC 8461 3.3: no redirect is followed
            raise NoPolicy("sts-policy-fetch-error", f"{host} answered {response.status}")
        if response.kind != "text/plain":
            raise NoPolicy("sts-policy-invalid", f"{host} sent {response.kind[:40] or 'nothing'!r}, not text/plain")
        try:
            return parse_policy(response.body)
        except ValueError as error:
            raise NoPolicy("sts-policy-invalid", f"the policy of {host}: {error}") from error
