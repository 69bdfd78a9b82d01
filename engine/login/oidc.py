"""Tokens of an OpenID Connect issuer: is this one good, and for whom?

The issuer's discovery document names where the rest is (OpenID Connect Discovery 1.0, RFC 8414). With a ``client_id``
each token is shown to the issuer (introspection, RFC 7662), which can take back what it gave; without it the signature
is checked here, against keys that are fetched once in a while (RFC 7519, 7517).
"""

import base64
import json
import math
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import trio

from engine.config import Oidc as Settings
from engine.directory import Unavailable

# Imported where they are used: both are slow to import, and only needed where there is an issuer.
if TYPE_CHECKING:
    from joserfc.jwk import KeySet

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA"]
"""Signatures that only the issuer can make: none of those whose key we would share, and not "none"."""

_KEPT = 3600.0
"""Seconds for which the discovery document and the keys are believed."""

_PAUSE = 60.0
"""Seconds between two fetches of the keys because of tokens that none of them has signed."""

_TIMEOUT = 10.0
_LARGEST = 2**20
"""Octets of an answer."""

_LEEWAY = 60
"""Seconds that the issuer's clock may be another one."""


class Issuer:
    """One issuer, and what it has told us."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self.settings = settings
        self._clock = clock
        self._fetching = trio.Lock()
        self._discovered: Mapping[str, Any] = {}
        self._keys: KeySet | None = None
        self._fetched = -math.inf
        self._secret = settings.client_secret_file.read_text().strip() if settings.client_secret_file else ""

    async def login_of(self, token: str) -> str | None:
        """The address that a token is for; None where it is not good. Unavailable: the issuer cannot be asked."""
        claims = await (self._introspected(token) if self.settings.client_id else self._verified(token))
        if claims is None or claims.get("email_verified") is False:
            return None
        address = claims.get(self.settings.claim)
        return address if isinstance(address, str) else None

    async def _introspected(self, token: str) -> Mapping[str, Any] | None:
        await self._learn(_KEPT)
        credentials = base64.b64encode(f"{self.settings.client_id}:{self._secret}".encode()).decode()
        found = await _asked(
            self._endpoint("introspection_endpoint"), {"token": token}, {"Authorization": f"Basic {credentials}"}
        )
        if found.get("active") is not True or found.get("iss", self.settings.issuer) != self.settings.issuer:
            return None
        audience = found.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        return found if self.settings.audience in audiences else None

    async def _verified(self, token: str) -> Mapping[str, Any] | None:
        await self._learn(_KEPT)
        claims = self._signed(token)
        if claims is None and self._clock() - self._fetched > _PAUSE:
            await self._learn(_PAUSE)  # the issuer may sign with another key by now
            claims = self._signed(token)
        return claims

    def _signed(self, token: str) -> Mapping[str, Any] | None:
        from joserfc import jwt
        from joserfc.errors import JoseError

        assert self._keys is not None
        registry = jwt.JWTClaimsRegistry(
            leeway=_LEEWAY,
            iss={"essential": True, "value": self.settings.issuer},
            aud={"essential": True, "value": self.settings.audience},
            exp={"essential": True},
        )
        try:
            found = jwt.decode(token, self._keys, algorithms=ALGORITHMS)
            registry.validate(found.claims)
        except (JoseError, ValueError):
            return None
        return found.claims

    async def _learn(self, age: float) -> None:
        """Ask the issuer for its endpoints and keys, unless what we know is younger than ``age``."""
        async with self._fetching:
            if self._clock() - self._fetched <= age:
                return
            found = await _asked(f"{self.settings.issuer.rstrip('/')}/.well-known/openid-configuration")
            if found.get("issuer") != self.settings.issuer:
                raise Unavailable(f"{self.settings.issuer} says that it is another issuer")
            self._discovered = found
            if not self.settings.client_id:
                self._keys = _key_set(await _asked(self._endpoint("jwks_uri")))
            self._fetched = self._clock()

    def _endpoint(self, name: str) -> str:
        found = self._discovered.get(name)
        if not isinstance(found, str):
            raise Unavailable(f"{self.settings.issuer} names no {name}")
        return found


def _key_set(found: Any) -> "KeySet":
    from joserfc.errors import JoseError
    from joserfc.jwk import KeySet

    try:
        return KeySet.import_key_set(found)
    except (JoseError, ValueError, KeyError, TypeError) as error:
        raise Unavailable(f"the issuer's keys cannot be read: {error}") from error


async def _asked(url: str, form: dict[str, str] | None = None, headers: dict[str, str] | None = None) -> dict[str, Any]:
    """The JSON object at ``url``. Unavailable."""
    import httpx2

    body = b""
    try:
        async with (
            httpx2.AsyncClient(timeout=_TIMEOUT, trust_env=False, headers={"Accept": "application/json"}) as client,
            client.stream("POST" if form else "GET", url, data=form, headers=headers) as response,
        ):
            response.raise_for_status()
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > _LARGEST:
                    raise Unavailable(f"{url} says too much")
        found = json.loads(body)
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
        raise Unavailable(f"{url}: {error or type(error).__name__}") from error
    if not isinstance(found, dict):
        raise Unavailable(f"{url} gives no JSON object")
    return found
