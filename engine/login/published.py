"""What an OpenID Connect issuer publishes: where its endpoints are, and the keys by which it signs.

Both are fetched once in a while (OpenID Connect Discovery 1.0, RFC 8414, RFC 7517); a token that none of the keys has
signed has them fetched again, as the issuer may have changed them.
"""

import json
import math
import ssl
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from engine.directory import Unavailable

# Imported where they are used: both are slow to import, and only needed where there is an issuer.
if TYPE_CHECKING:
    from joserfc.jwk import KeySet
    from joserfc.jwt import Token as Signed

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA"]
"""Signatures that only the issuer can make: none of those whose key we would share, and not "none"."""

LEEWAY = 60
"""Seconds that the issuer's clock may be another one."""

_KEPT = 3600.0
"""Seconds for which the discovery document and the keys are believed."""

_PAUSE = 60.0
"""Seconds between two fetches of the keys because of tokens that none of them has signed."""

_TIMEOUT = 10.0
_LARGEST = 2**20
"""Octets of an answer."""

_LONGEST = 64 * 1024
"""Characters of a token that is looked at."""


class Published:
    """One issuer, and what it has told us. ``clock`` counts seconds.

    ``trust``: a file of authorities that vouch for its server besides those of the system.
    """

    def __init__(self, issuer: str, clock: Callable[[], float] = time.monotonic, trust: Path | None = None) -> None:
        self.issuer = issuer
        self._trust = trust
        self._clock = clock
        self._fetching = trio.Lock()
        self._document: Mapping[str, Any] = {}
        self._learnt = -math.inf
        self._keys: KeySet | None = None
        self._fetched = -math.inf

    async def document(self) -> Mapping[str, Any]:
        """What it says of itself. Unavailable."""
        async with self._fetching:
            if self._clock() - self._learnt > _KEPT:
                found = await self.asked(f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
                # RFC 8414 3.3: or another issuer could have us send people, and codes, to its own endpoints.
                if found.get("issuer") != self.issuer:
                    raise Unavailable(f"{self.issuer} says that it is another issuer")
                self._document, self._learnt = found, self._clock()
            return self._document

    async def endpoint(self, name: str) -> str:
        """Where something is. Unavailable: that is not told, or it is in the clear."""
        found = (await self.document()).get(name)
        if not isinstance(found, str):
            raise Unavailable(f"{self.issuer} names no {name}")
        if not found.startswith(("https://", "http://" if self.issuer.startswith("http://") else "https://")):
            raise Unavailable(f"{self.issuer} names a {name} in the clear")
        return found

    async def asked(
        self,
        url: str,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        refusals: bool = False,
    ) -> dict[str, Any]:
        """The JSON object at ``url``, which the issuer names; with ``refusals`` also one that says why not (status 400,
        401). Unavailable."""
        verify = await trio.to_thread.run_sync(_context, self._trust)
        return await _asked(verify, url, form, headers, refusals=refusals)

    async def signed(self, token: str) -> "Signed | None":
        """The token, if a key of the issuer has signed it; nothing else of it is checked. Unavailable."""
        if len(token) > _LONGEST:
            return None
        found = _signed(token, await self._key_set(_KEPT))
        if found is None and self._clock() - self._fetched > _PAUSE:
            found = _signed(token, await self._key_set(_PAUSE))  # the issuer may sign with another key by now
        return found

    async def _key_set(self, age: float) -> "KeySet":
        """Its keys, asked for unless what we know is younger than ``age``."""
        address = await self.endpoint("jwks_uri")
        async with self._fetching:
            if self._keys is None or self._clock() - self._fetched > age:
                self._keys = _key_set(await self.asked(address))
                self._fetched = self._clock()
            return self._keys


def _signed(token: str, keys: "KeySet") -> "Signed | None":
    from joserfc import jwt
    from joserfc.errors import JoseError

    try:
        return jwt.decode(token, keys, algorithms=ALGORITHMS)
    except (JoseError, ValueError):
        return None


def audiences(claims: Mapping[str, Any]) -> list[Any]:
    """Whom a token is for (RFC 7519 4.1.3)."""
    found = claims.get("aud")
    return found if isinstance(found, list) else [found]


def _key_set(found: Any) -> "KeySet":
    from joserfc.errors import JoseError
    from joserfc.jwk import KeySet

    try:
        return KeySet.import_key_set(found)
    except (JoseError, ValueError, KeyError, TypeError) as error:
        raise Unavailable(f"the issuer's keys cannot be read: {error}") from error


def _context(trust: Path | None) -> ssl.SSLContext:
    """Of connections to the issuer. Unavailable."""
    context = ssl.create_default_context()
    try:
        if trust is not None:
            context.load_verify_locations(trust)
    except (OSError, ssl.SSLError) as error:
        raise Unavailable(f"{trust} holds no certificate that could be trusted: {error}") from error
    return context


async def _asked(
    verify: ssl.SSLContext,
    url: str,
    form: Mapping[str, str] | None,
    headers: Mapping[str, str] | None,
    *,
    refusals: bool,
) -> dict[str, Any]:
    import httpx2

    body, accept = b"", {"Accept": "application/json"}
    try:
        async with (
            httpx2.AsyncClient(timeout=_TIMEOUT, trust_env=False, headers=accept, verify=verify) as client,
            client.stream("POST" if form else "GET", url, data=form, headers=headers) as response,
        ):
            if not (refusals and response.status_code in (400, 401)):
                response.raise_for_status()
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > _LARGEST:
                    raise Unavailable(f"{url} says too much")
        found = json.loads(body)
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, RecursionError) as error:
        raise Unavailable(f"{url}: {error or type(error).__name__}") from error
    if not isinstance(found, dict):
        raise Unavailable(f"{url} gives no JSON object")
    return found
