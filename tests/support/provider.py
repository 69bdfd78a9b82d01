"""An OpenID Connect provider with people who sign in at it, who may be as hostile as a test wants."""

import base64
import hashlib
import ssl
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from tests.support.issuer import BASIC, Provider

ANN = "ann@example.org"
PERSON: Mapping[str, Any] = {"sub": "248289761001", "email": ANN, "email_verified": True}


class SignIns(Provider):
    """The authorization code flow. It sees to PKCE, to redirect URIs, and that each code counts once."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(tls)
        self.posted["/token"] = self._exchanged
        self.got["/me"] = self._told
        self.codes: dict[str, dict[str, Any]] = {}
        self.people: dict[str, dict[str, Any]] = {}  # what /me tells, by access token
        self.forged: dict[str, Any] = {}  # changes of claims in ID tokens
        self.signer: dict[str, Any] = {}  # another key, or another algorithm
        self.answer: dict[str, Any] = {}  # changes of what the token endpoint answers
        self.is_public = False  # whether the client has no secret

    @property
    def documents(self) -> dict[str, dict[str, Any]]:
        found = super().documents
        told = {
            **found["/.well-known/openid-configuration"], "authorization_endpoint": f"{self.url}/authorize?tenant=1",
            "token_endpoint": f"{self.url}/token", "userinfo_endpoint": f"{self.url}/me",
            "end_session_endpoint": f"{self.url}/end", "authorization_response_iss_parameter_supported": True,
            **self.changes,
        }  # fmt: skip
        found["/.well-known/openid-configuration"] = {name: one for name, one in told.items() if one is not None}
        return found

    def signs_in(self, address: str, told: Mapping[str, Any] | None = None, **claims: Any) -> dict[str, str]:
        """Somebody is sent here, and signs in: what the browser brings back. ``told``: what /me alone says of them."""
        asked = dict(parse_qsl(urlsplit(address).query))
        assert asked["response_type"] == "code"
        assert asked["client_id"] == "postroad"
        assert asked["code_challenge_method"] == "S256"
        code = base64.urlsafe_b64encode(hashlib.sha256(asked["state"].encode()).digest()).decode()
        self.codes[code] = {"asked": asked, "claims": {**PERSON, **claims}, "told": told}
        return {"code": code, "state": asked["state"], "iss": self.url}

    def _exchanged(self, form: dict[str, str], shown: str) -> dict[str, Any]:
        code = self.codes.pop(form["code"], None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest())
        if shown != BASIC and not (self.is_public and form.get("client_id") == "postroad"):
            return {"error": "invalid_client"}
        if (
            code is None
            or challenge.rstrip(b"=").decode() != code["asked"]["code_challenge"]
            or form["redirect_uri"] != code["asked"]["redirect_uri"]
        ):
            return {"error": "invalid_grant"}
        self.people["access"] = {"sub": code["claims"]["sub"], **(code["told"] or {})}
        told = set(PERSON) - {"sub"} if code["told"] is not None else set()
        claims = {key: value for key, value in code["claims"].items() if key not in told}
        claims = {"iat": int(time.time()), "nonce": code["asked"]["nonce"], **claims, **self.forged}
        token = self.token(**self.signer, **({"email": None} if told else {}), **claims)
        return {"id_token": token, "access_token": "access", "token_type": "Bearer"} | self.answer

    def _told(self, shown: str) -> dict[str, Any] | None:
        return self.people.get(shown.removeprefix("Bearer "))

    def logout_token(self, **changes: Any) -> str:
        """What says that the person has signed out (OpenID Connect Back-Channel Logout 2.4)."""
        event = "http://schemas.openid.net/event/backchannel-logout"
        claims = {"sub": PERSON["sub"], "iat": int(time.time()), "jti": "1", "events": {event: {}}, "email": None}
        return self.token(**{**claims, **changes})


def back(answer: Mapping[str, str], name: str = "firm") -> str:
    """Where the browser goes with an answer."""
    return f"/sign-in/with/{name}/back?{urlencode(answer)}"
