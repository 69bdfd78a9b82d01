"""Tokens of an OpenID Connect issuer: is this one good, and for whom?

With a ``client_id`` each token is shown to the issuer (introspection, RFC 7662), which can take back what it gave;
without it the signature is checked here (RFC 7519).
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

from engine.config import Oidc as Settings
from engine.login.published import LEEWAY, Published, audiences
from engine.login.relying import basic


class Issuer:
    """One issuer, and what it has told us."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self.settings = settings
        self._published = Published(settings.issuer, clock)
        self._secret = settings.client_secret_file.read_text().strip() if settings.client_secret_file else ""

    async def login_of(self, token: str) -> str | None:
        """The address that a token is for; None where it is not good. Unavailable: the issuer cannot be asked."""
        claims = await (self._introspected(token) if self.settings.client_id else self._verified(token))
        if claims is None or claims.get("email_verified") is False:
            return None
        address = claims.get(self.settings.claim)
        return address if isinstance(address, str) else None

    async def _introspected(self, token: str) -> Mapping[str, Any] | None:
        found = await self._published.asked(
            await self._published.endpoint("introspection_endpoint"),
            {"token": token},
            {"Authorization": basic(self.settings.client_id, self._secret)},
        )
        if found.get("active") is not True or found.get("iss", self.settings.issuer) != self.settings.issuer:
            return None
        return found if self.settings.audience in audiences(found) else None

    async def _verified(self, token: str) -> Mapping[str, Any] | None:
        from joserfc import jwt
        from joserfc.errors import JoseError

        signed = await self._published.signed(token)
        registry = jwt.JWTClaimsRegistry(
            leeway=LEEWAY,
            iss={"essential": True, "value": self.settings.issuer},
            aud={"essential": True, "value": self.settings.audience},
            exp={"essential": True},
        )
        try:
            if signed is not None:
                registry.validate(signed.claims)
        except (JoseError, ValueError):
            return None
        return signed.claims if signed else None
