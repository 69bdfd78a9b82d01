"""Tokens of an issuer that really answers: what is taken, and what is not."""

import base64
import hmac
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from joserfc.jwk import ECKey, RSAKey

from engine.config import Oidc
from engine.directory import Embedded, Unavailable
from engine.login import Guard, Issuer, Logins
from engine.protocols.sasl import Token
from tests.support.issuer import Provider

ANN, FAR = "ann@example.org", "203.0.113.9"


@pytest.fixture
def provider() -> Iterator[Provider]:
    provider = Provider()
    yield provider
    provider.close()


@pytest.fixture
def issuer(provider: Provider) -> Issuer:
    return Issuer(Oidc(issuer=provider.url, audience="postroad"))


async def test_a_signed_token_is_taken_and_the_keys_are_kept(provider: Provider, issuer: Issuer) -> None:
    for _ in range(3):
        assert await issuer.login_of(provider.token()) == ANN
    assert await issuer.login_of(provider.token(aud=["other", "postroad"])) == ANN
    assert provider.asked == ["/.well-known/openid-configuration", "/keys"]


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://evil.test"},
        {"iss": None},
        {"aud": "another program"},
        {"aud": None},
        {"exp": 1000},
        {"exp": None},
        {"nbf": 2**40},
        {"email": None},
        {"email": 7},
        {"email_verified": False},
    ],
)
async def test_a_token_that_says_something_else_is_not(provider: Provider, issuer: Issuer, changes: dict) -> None:
    assert await issuer.login_of(provider.token(**changes)) is None


def unsigned(algorithm: str, url: str) -> str:
    """A token as it would be right, but for its signature."""
    claims = {"iss": url, "aud": "postroad", "exp": int(time.time()) + 600, "email": ANN}
    parts = ({"alg": algorithm, "kid": "1"}, claims)
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)


async def test_nobody_else_can_sign(provider: Provider, issuer: Issuer) -> None:
    forged = RSAKey.generate_key(2048, {"kid": "1"})
    public = provider.key.as_pem(private=False)
    none, shared = unsigned("none", provider.url) + ".", unsigned("HS256", provider.url)
    shared += "." + base64.urlsafe_b64encode(hmac.digest(public, shared.encode(), "sha256")).rstrip(b"=").decode()
    for token in (provider.token(forged), shared, none, "", "x", "a.b.c", "é.é.é"):
        assert await issuer.login_of(token) is None


async def test_new_keys_are_fetched_when_they_are_needed_but_not_for_every_forger(provider: Provider) -> None:
    now = 0.0
    issuer = Issuer(Oidc(issuer=provider.url, audience="postroad"), lambda: now)
    assert await issuer.login_of(provider.token())
    provider.key = ECKey.generate_key("P-256", {"kid": "2"})
    token = provider.token(alg="ES256")
    assert await issuer.login_of(token) is None
    now = 61.0
    assert await issuer.login_of(token) == ANN
    for _ in range(5):
        assert await issuer.login_of("x") is None
    assert provider.asked.count("/keys") == 2


async def test_the_issuer_is_asked_about_each_token(provider: Provider, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret\n")
    settings = Oidc(
        issuer=provider.url, audience="postroad", claim="username", client_id="postroad", client_secret_file=secret
    )
    issuer = Issuer(settings)
    good = {"active": True, "username": ANN, "aud": "postroad"}
    provider.active = {
        "good": good, "mine": good | {"aud": ["x", "postroad"]}, "theirs": good | {"aud": "x"},
        "strange": good | {"iss": "https://evil.test"}, "over": good | {"active": False},
        "odd": good | {"active": "true"}, "open": {"active": True, "username": ANN},
    }  # fmt: skip
    found = {token: await issuer.login_of(token) for token in (*provider.active, "unknown")}
    assert {token for token, address in found.items() if address == ANN} == {"good", "mine"}
    secret.write_text("wrong")
    with pytest.raises(Unavailable, match="404"):
        await Issuer(settings).login_of("good")


@pytest.mark.parametrize(
    "changes", [{"issuer": "https://evil.test"}, {"jwks_uri": None}, {"jwks_uri": "ftp://x"}, {"jwks_uri": "http://["}]
)
async def test_an_issuer_that_makes_no_sense(provider: Provider, issuer: Issuer, changes: dict) -> None:
    provider.changes = changes
    with pytest.raises(Unavailable):
        await issuer.login_of(provider.token())


async def test_an_issuer_that_is_away_and_comes_back(provider: Provider) -> None:
    issuer = Issuer(Oidc(issuer="http://127.0.0.1:1", audience="postroad"))
    with pytest.raises(Unavailable):
        await issuer.login_of(provider.token())


@pytest.mark.parametrize(
    ("login", "address", "wanted"),
    [(ANN, ANN, True), ("", ANN, True), ("Ann@Example.org", ANN, True), ("bob@example.org", ANN, False),
     (ANN, "bob@example.org", False), ("", "nobody@example.org", False), ("nobody", "nobody", False)],
)  # fmt: skip
async def test_a_token_lets_in_the_account_that_it_is_for(
    provider: Provider, issuer: Issuer, directory: Embedded, guard: Guard, *, login: str, address: str, wanted: bool
) -> None:
    directory.add_account("bob@example.org")
    directory.set_totp(ANN, bytes(20))  # the issuer's affair
    logins = Logins(directory, guard, issuer)
    account = await logins.visitor("smtp", FAR).answer(Token("OAUTHBEARER", login, provider.token(email=address)))
    assert (account == directory.account(ANN)) is wanted
    assert guard.guesses(FAR) == 0
