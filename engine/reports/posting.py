"""Posting reports to pages in the web (RFC 8460 3)."""

import ssl
from collections.abc import Iterable
from functools import cached_property
from urllib.parse import urlsplit

import trio

from engine.net.dns import Resolver, a_labels
from engine.net.https import PORT, Https, Unreached
from engine.net.targets import Network
from engine.net.tls import client_context

TIMEOUT = 20.0
"""Seconds for one report."""

ANSWER = 64 * 1024
"""Octets of an answer: nobody reads it."""

PAUSE = 600.0
"""Seconds for which nothing is posted to a host that has just failed: there may be many reports for it."""

KEPT = 1000
"""Hosts that are remembered so."""


class Posting:
    """Posts. Connections go to public addresses alone, unless ``allow_networks`` has others."""

    def __init__(self, resolver: Resolver, allow_networks: Iterable[Network] = (), *, ipv6: bool = True) -> None:
        self._https = Https(resolver, lambda: self._context, ipv6, tuple(allow_networks))
        self._failed: dict[str, float] = {}  # host → until when it is left alone

    @cached_property
    def _context(self) -> ssl.SSLContext:
        # Any certificate: it may be just what the report is about (RFC 8460 3).
        return client_context(verify=False)

    async def post(self, page: str, media: str, body: bytes) -> str:
        """Why the page did not take it; empty: it did."""
        try:
            parts = urlsplit(page)
            host, port = a_labels(parts.hostname or ""), parts.port or PORT
            if not host or parts.username is not None:
                raise ValueError("no page that anything can be posted to")
        except ValueError as error:
            return str(error)
        if self._failed.get(host, 0.0) > trio.current_time():
            return "it has just failed"
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        trouble = await self._tried(host, port, target, media, body)
        if trouble:
            if len(self._failed) >= KEPT:
                self._failed.clear()
            self._failed[host] = trio.current_time() + PAUSE
        return trouble

    async def _tried(self, host: str, port: int, target: str, media: str, body: bytes) -> str:
        fields = (("User-Agent", "postroad"), ("Content-Type", media))
        try:
            with trio.fail_after(TIMEOUT):
                response = await self._https.ask("POST", host, target, fields, body, port=port, limit=ANSWER)
        except trio.TooSlowError:
            return f"it took longer than {TIMEOUT:g} s"
        except Unreached as error:
            return str(error)
        return "" if 200 <= response.status < 300 else f"it answered {response.status}"
