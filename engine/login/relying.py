"""Signing in at a provider: the authorization code flow of OpenID Connect, as the relying party sees it.

Beyond OpenID Connect Core 3.1 it does what RFC 9700 asks for: PKCE (RFC 7636) besides the nonce, the name of the issuer
in its answers (RFC 9207), and a redirect URI of each provider's own. Nothing that a browser brings is believed before
the provider itself has said it over TLS, and signed it.
"""

import base64
import hashlib
import hmac
import re
import secrets
import time
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import trio

from engine.config import EMAIL
from engine.config import OidcProvider as Settings
from engine.directory import Unavailable, split
from engine.directory.addresses import a_label
from engine.login.published import LEEWAY, Published, audiences

_LOGOUT = "http://schemas.openid.net/event/backchannel-logout"
"""The event of a logout token (OpenID Connect Back-Channel Logout 2.4)."""

_ERROR = re.compile(r"[a-z_.-]{1,64}")
"""An error code that may stand in the log; whatever text is with it may be anybody's (RFC 6749 4.1.2.1)."""

_SUBJECT = 255
"""Characters (OpenID Connect Core 2)."""

_HINT = 4096
"""Characters of an ID token that is kept to sign out by: it is to fit into an address."""


class Refused(Exception):
    """The sign-in does not count. The text is for the log."""


class Denied(Refused):
    """The provider has said no, or the person has turned back there."""


class Unverified(Refused):
    """The provider does not say that the address is this person's."""


class Begun(msgspec.Struct, frozen=True, array_like=True):
    """A sign-in that is under way, as it is kept for the browser that has begun it."""

    provider: str  # its name here
    issuer: str
    state: str
    nonce: str
    verifier: str
    then: str  # where the browser is to go


@dataclass(frozen=True, slots=True)
class Proof:
    """Who somebody is, by the word of a provider."""

    subject: str
    address: str
    groups: tuple[str, ...]  # those that give roles
    session: str  # what the provider calls its own; empty: it does not say
    is_strong: bool  # so proved that no second factor is to be asked for
    hint: str  # the ID token, where it is short enough to be kept


@dataclass(frozen=True, slots=True)
class Left:
    """Somebody has signed out at the provider: by its session, or by all of the subject's where none is named."""

    subject: str
    session: str
    issued: float  # Unix time


class RelyingParty:
    """We, to one provider. ``clock`` counts seconds, ``now`` is Unix time."""

    def __init__(
        self,
        name: str,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self.settings = settings
        self._published = Published(settings.issuer, clock, settings.trust)
        self._now = now

    async def begin(self, redirect: str, then: str) -> tuple[str, Begun]:
        """Where to send the browser, and what must be kept until it comes back to ``redirect``. Unavailable."""
        settings = self.settings
        endpoint = await self._published.endpoint("authorization_endpoint")
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        asks = {
            "response_type": "code", "client_id": settings.client_id, "redirect_uri": redirect,
            "scope": " ".join(settings.scopes), "state": state, "nonce": nonce,
            "code_challenge": _unpadded(hashlib.sha256(verifier.encode()).digest()), "code_challenge_method": "S256",
        }  # fmt: skip
        if settings.acr:
            asks["acr_values"] = " ".join(settings.acr)
        return _with(endpoint, asks), Begun(self.name, settings.issuer, state, nonce, verifier, then)

    async def end(self, begun: Begun, redirect: str, answer: Mapping[str, str]) -> Proof:
        """Who it is that came back to ``redirect`` with that answer. Refused, Unavailable."""
        if not _same(answer.get("state", ""), begun.state):
            raise Refused("the answer has another state")
        if (begun.provider, begun.issuer) != (self.name, self.settings.issuer):
            raise Refused("it was begun at another provider")
        code = await self._code(answer)
        tokens = await self._tokens(code, begun, redirect)
        shown = tokens.get("id_token")
        if not isinstance(shown, str):
            raise Refused("there is no ID token")
        claims = await self._identified(shown, begun.nonce)
        said = await self._complete(claims, tokens)
        return Proof(
            subject=claims["sub"],
            address=self._address(said),
            groups=self._groups(said),
            session=_text(claims.get("sid")),
            is_strong=self._is_strong(claims),
            hint=shown if len(shown) <= _HINT else "",
        )

    async def leaving(self, back: str, hint: str) -> str:
        """Where somebody signs out at the provider as well (OpenID Connect RP-Initiated Logout), who comes ``back``
        then; empty: it has no such place. Unavailable."""
        if "end_session_endpoint" not in await self._published.document():
            return ""
        asks = {"client_id": self.settings.client_id, "post_logout_redirect_uri": back}
        if hint:
            asks["id_token_hint"] = hint
        return _with(await self._published.endpoint("end_session_endpoint"), asks)

    async def left(self, token: str) -> Left:
        """Whom a logout token signs out (OpenID Connect Back-Channel Logout 2.6). Refused, Unavailable."""
        signed = await self._published.signed(token)
        if signed is None:
            raise Refused("the logout token is signed by nobody we know")
        claims = self._checked(signed.claims)
        kind = _text(signed.header.get("typ", "jwt")).lower()
        events = claims.get("events")
        if kind.removeprefix("application/") not in ("logout+jwt", "jwt"):
            raise Refused("it is another kind of token")
        if not isinstance(events, dict) or not isinstance(events.get(_LOGOUT), dict) or "nonce" in claims:
            raise Refused("it is no logout token")
        subject, session = _text(claims.get("sub")), _text(claims.get("sid"))
        if not subject and not session:
            raise Refused("it names nobody")
        return Left(subject, session, float(claims["iat"]))

    async def check(self) -> None:
        """Unavailable, where nobody could sign in: the provider is not there, or lacks something, or our secret is."""
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            await self._published.endpoint(name)
        await self._known_by({})

    # The answer

    async def _code(self, answer: Mapping[str, str]) -> str:
        """The code in an answer that is the provider's own."""
        document = await self._published.document()
        issuer = answer.get("iss")
        if issuer is None and document.get("authorization_response_iss_parameter_supported") is True:
            raise Refused("the answer does not say whose it is")  # RFC 9207 2.4: one that can say it, does
        if issuer is not None and issuer != self.settings.issuer:
            raise Refused("the answer is of another issuer")
        if "error" in answer:
            error = answer["error"]
            raise Denied(f"the provider says {error if _ERROR.fullmatch(error) else 'something unreadable'}")
        if not answer.get("code"):
            raise Refused("the answer has no code")
        return answer["code"]

    async def _tokens(self, code: str, begun: Begun, redirect: str) -> Mapping[str, Any]:
        """What the code stands for (OpenID Connect Core 3.1.3)."""
        form = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": redirect,
            "code_verifier": begun.verifier,
        }  # fmt: skip
        headers = await self._known_by(form)
        endpoint = await self._published.endpoint("token_endpoint")
        found = await self._published.asked(endpoint, form, headers, refusals=True)
        if "error" in found:
            error = _text(found["error"])
            raise Refused(f"the token endpoint says {error if _ERROR.fullmatch(error) else 'something unreadable'}")
        return found

    async def _known_by(self, form: dict[str, str]) -> dict[str, str]:
        """Header fields by which the provider knows us; or it is in the ``form`` (RFC 6749 2.3.1)."""
        try:
            secret = await trio.to_thread.run_sync(self.settings.secret)
        except OSError as error:
            raise Unavailable(f"cannot read the secret of {self.name}: {error.strerror}") from error
        methods = (await self._published.document()).get("token_endpoint_auth_methods_supported")
        if secret and (not isinstance(methods, list) or "client_secret_basic" in methods):
            return {"Authorization": basic(self.settings.client_id, secret)}
        form["client_id"] = self.settings.client_id
        if secret:
            form["client_secret"] = secret
        return {}

    # Claims

    async def _identified(self, token: str, nonce: str) -> Mapping[str, Any]:
        """The claims of an ID token that is for us, and for this sign-in (OpenID Connect Core 3.1.3.7)."""
        signed = await self._published.signed(token)
        if signed is None:
            raise Refused("the ID token is signed by nobody we know")
        claims = self._checked(signed.claims)
        if not _same(_text(claims.get("nonce")), nonce):
            raise Refused("the ID token has another nonce")
        subject = _text(claims.get("sub"))
        if not 0 < len(subject) <= _SUBJECT:
            raise Refused("the ID token names nobody")
        return claims

    def _checked(self, claims: Mapping[str, Any]) -> Mapping[str, Any]:
        """Claims that this issuer makes, for us alone, now."""
        from joserfc import jwt
        from joserfc.errors import JoseError

        registry = jwt.JWTClaimsRegistry(
            now=lambda: int(self._now()), leeway=LEEWAY, iss={"essential": True, "value": self.settings.issuer},
            aud={"essential": True}, exp={"essential": True}, iat={"essential": True},
        )  # fmt: skip
        try:
            registry.validate(dict(claims))
        except (JoseError, ValueError, TypeError) as error:
            raise Refused(f"the token does not hold: {error}") from error
        ours, party = self.settings.client_id, claims.get("azp")
        known = audiences(claims)
        if ours not in known or (party is None and len(known) > 1) or party not in (None, ours):
            raise Refused("the token is for somebody else")
        return claims

    async def _complete(self, claims: Mapping[str, Any], tokens: Mapping[str, Any]) -> Mapping[str, Any]:
        """With what the provider tells of the person besides, if something is missing (OpenID Connect Core 5.3)."""
        wanted = {self.settings.claim, *(["email_verified"] if self.settings.claim == EMAIL else [])}
        wanted |= {self.settings.groups_claim} if self.settings.roles else set()
        access = tokens.get("access_token")
        told = "userinfo_endpoint" in await self._published.document()
        if wanted <= claims.keys() or not told or not isinstance(access, str) or not access.isascii():
            return claims
        endpoint = await self._published.endpoint("userinfo_endpoint")
        found = await self._published.asked(endpoint, headers={"Authorization": f"Bearer {access}"})
        if found.get("sub") != claims["sub"]:  # 5.3.2: it could be swapped for somebody else's
            raise Refused("what is told of the person is of another one")
        # Whether an address is verified is for the one to say that says the address.
        kept = {key: value for key, value in claims.items() if key != "email_verified" or EMAIL not in found}
        return {**kept, **found}

    def _address(self, claims: Mapping[str, Any]) -> str:
        settings = self.settings
        address = claims.get(settings.claim)
        parts = split(address) if isinstance(address, str) else None
        if parts is None:
            raise Unverified(f"there is no address in {settings.claim}")
        # Some say it as a text.
        if settings.claim == EMAIL and claims.get("email_verified") not in (True, "true"):
            raise Unverified("the address is not verified")
        if settings.domains and a_label(parts[1]) not in {a_label(domain) for domain in settings.domains}:
            raise Unverified(f"it does not let in people of {parts[1]}")
        return "@".join(parts)

    def _groups(self, claims: Mapping[str, Any]) -> tuple[str, ...]:
        found = claims.get(self.settings.groups_claim)
        listed = found if isinstance(found, list) else [found]
        member = {one for one in listed if isinstance(one, str)}
        return tuple(group for group in self.settings.roles if group in member)

    def _is_strong(self, claims: Mapping[str, Any]) -> bool:
        ways = claims.get("amr")
        used = {one for one in ways if isinstance(one, str)} if isinstance(ways, list) else set()
        return claims.get("acr") in self.settings.acr or not used.isdisjoint(self.settings.amr)


def basic(client: str, secret: str) -> str:
    """Field ``Authorization`` of a client (RFC 6749 2.3.1: both are encoded as in a form first)."""
    text = ":".join(urllib.parse.quote_plus(one) for one in (client, secret))
    return f"Basic {base64.b64encode(text.encode()).decode()}"


def _with(endpoint: str, asks: Mapping[str, str]) -> str:
    """RFC 6749 3.1: what the endpoint's address asks for already stays."""
    return f"{endpoint}{'&' if '?' in endpoint else '?'}{urllib.parse.urlencode(asks)}"


def _same(shown: str, kept: str) -> bool:
    return hmac.compare_digest(shown.encode("utf-8", "surrogatepass"), kept.encode())


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _unpadded(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
