"""Pictures: which octets are one, and fetching those that are elsewhere without saying who looks at them.

A letter may name any address. So it is fetched by HTTPS alone, at public addresses alone (`engine.net.https` connects
to the address that it has looked at, so that a name cannot change its mind in between), without a redirect, cookie,
referrer or the reader's address; what comes is shown only if it is a picture by its own first octets.
"""

import ssl
from functools import lru_cache
from typing import Final
from urllib.parse import quote, urlsplit

import trio

from engine.net.dns import Resolver
from engine.net.https import PORT, Https, Unreached

SIZE: Final = 5 * 1024 * 1024
"""Octets of a picture from elsewhere."""

SECONDS: Final = 10.0

AT_ONCE: Final = 16
"""Pictures that this process fetches at once; others wait."""

_FIELDS: Final = (("Accept", "image/webp,image/png,image/jpeg,image/gif"), ("User-Agent", "Mozilla/5.0"))
"""Nothing that tells one of our readers from another."""


class NoPicture(Exception):
    """It cannot be had, or is none. The text says why."""


def kind(head: bytes) -> str:
    """The media type of a picture that browsers show and that can hold no script; empty: it is none."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return ""


def target_of(address: str) -> tuple[str, int, str]:
    """Host, port and what is asked for there. NoPicture."""
    try:
        parts = urlsplit(address)
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode() if parts.hostname else ""
    except (ValueError, UnicodeError) as error:
        raise NoPicture("the address is broken") from error
    if parts.scheme not in ("http", "https") or not host or parts.username is not None:
        raise NoPicture("the address is none of HTTPS")
    if port not in (None, 80, PORT):
        raise NoPicture("the address has a port of its own")  # what is at other ports is nobody's pictures
    if host.replace(".", "").isdigit() or ":" in host:
        raise NoPicture("the address names no host")
    target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    return host, PORT, target + (f"?{quote(parts.query, safe='/%:@!$&()*+,;=~-._?')}" if parts.query else "")


class Fetching:
    """Fetches pictures for the readers of one process."""

    def __init__(self, https: Https) -> None:
        self.https = https
        self._turns = trio.CapacityLimiter(AT_ONCE)

    @classmethod
    def by(cls, resolver: Resolver) -> "Fetching":
        return cls(Https(resolver, lru_cache(maxsize=1)(ssl.create_default_context)))

    async def fetch(self, address: str) -> tuple[str, bytes]:
        """Media type and octets. NoPicture."""
        host, port, target = target_of(address)
        async with self._turns:
            with trio.move_on_after(SECONDS):
                try:
                    response = await self.https.ask("GET", host, target, _FIELDS, port=port, limit=SIZE)
                except Unreached as error:
                    raise NoPicture(str(error)) from error
                media = kind(response.body[:16]) if response.status == 200 else ""
                if not media:
                    raise NoPicture(f"{host} answers {response.status}, and with no picture")
                return media, response.body
        raise NoPicture(f"{host} takes too long")
