"""Signing in at a provider: people, and providers and browsers that are hostile."""

import base64
import hmac
import json
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from joserfc.jwk import ECKey, OctKey, RSAKey

from engine.config import ConfigError, parse
from engine.directory import totp
from tests.support.programs import Certificates
from tests.support.provider import ANN, PERSON, SignIns, back
from tests.support.site import BASIC, Site, csrf, site_of

BOB = "bob@example.org"
BEGIN = "/sign-in/with/firm?next=/account"


@pytest.fixture
def provider() -> Iterator[SignIns]:
    provider = SignIns()
    yield provider
    provider.close()


def table(provider: SignIns, more: str = "", name: str = "firm") -> str:
    return f"""
[web.oidc.{name}]
issuer = "{provider.url}"
client_id = "postroad"
client_secret_file = "secret"
label = "The Firm"
{more}
"""


@pytest.fixture
def settings() -> str:
    """More lines of the table."""
    return ""


@pytest.fixture
async def site(tmp_path: Path, provider: SignIns, settings: str) -> AsyncIterator[Site]:
    (tmp_path / "secret").write_text("s3cret\n")
    async with site_of(tmp_path, BASIC + table(provider, settings)) as found:
        found.account(ANN)
        yield found


def with_settings(text: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("settings", [text], ids=["set"])


def events(capfd: pytest.CaptureFixture[str], name: str) -> list[dict]:
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == name]


async def sign_in(browser, provider: SignIns, told=None, begin: str = BEGIN, **claims):
    """All the way; the answer to the browser that is back."""
    away = await browser.get(begin)
    assert away.status_code == 303, away.text
    return await browser.get(back(provider.signs_in(away.headers["location"], told, **claims)))


async def refused(browser, answer, words: str, status: int = 401) -> None:
    assert answer.status_code == status
    assert words in answer.text
    assert (await browser.get("/account")).status_code == 303


DOES_NOT_HOLD = "What The Firm says does not hold."


async def test_somebody_signs_in_and_is_led_to_where_they_wanted(site, provider, capfd):
    browser = site.browser()
    form = await browser.get("/sign-in?next=/account")
    assert 'href="/sign-in/with/firm?next=%2Faccount"' in form.text
    assert "Sign in with The Firm" in form.text
    response = await sign_in(browser, provider)
    assert response.status_code == 303
    assert response.headers["location"] == "/account"
    assert ANN in (await browser.get("/account")).text
    (begun,) = events(capfd, "web-session-begun")
    assert (begun["how"], begun["provider"], begun["address"]) == ("oidc", "firm", ANN)
    assert provider.asked == ["/.well-known/openid-configuration", "/token", "/keys"]


async def test_what_the_browser_is_sent_away_with(site, provider):
    address = (await site.browser().get(BEGIN)).headers["location"]
    asked = dict(parse_qsl(urlsplit(address).query))
    assert address.startswith(f"{provider.url}/authorize?tenant=1&")
    assert asked["redirect_uri"] == "http://localhost:8080/sign-in/with/firm/back"
    assert asked["scope"] == "openid email"
    assert len(asked["state"]) == len(asked["nonce"]) == len(asked["code_challenge"]) == 43
    again = dict(parse_qsl(urlsplit((await site.browser().get(BEGIN)).headers["location"]).query))
    assert not {asked[name] for name in ("state", "nonce", "code_challenge")} & set(again.values())


@pytest.mark.parametrize("elsewhere", ["//evil.example", "https://evil.example", "/\\evil.example"])
async def test_nobody_is_led_elsewhere(site, provider, elsewhere):
    response = await sign_in(site.browser(), provider, begin=f"/sign-in/with/firm?next={elsewhere}")
    assert response.headers["location"] == "/"


async def test_no_other_page_signs_somebody_in(site, provider):
    response = await site.browser().get(BEGIN, headers={"sec-fetch-site": "cross-site"})
    assert response.headers["location"] == "/sign-in?next=%2Faccount"
    assert provider.asked == []


async def test_an_unknown_provider_is_not_there(site):
    for path in ("/sign-in/with/other", "/sign-in/with/other/back?code=a&state=b"):
        assert (await site.browser().get(path)).status_code == 404


# A hostile browser, or somebody who leads one


async def test_an_answer_counts_in_the_browser_that_asked_for_it(site, provider):
    thief, victim = site.browser(), site.browser()
    away = await thief.get(BEGIN)
    answer = provider.signs_in(away.headers["location"])
    await refused(victim, await victim.get(back(answer)), "begun in another window", 400)
    await victim.get(BEGIN)
    await refused(victim, await victim.get(back(answer)), DOES_NOT_HOLD)


async def test_an_answer_counts_once(site, provider):
    browser = site.browser()
    away = await browser.get(BEGIN)
    answer, cookies = provider.signs_in(away.headers["location"]), dict(browser.cookies)
    assert (await browser.get(back(answer))).status_code == 303
    other = site.browser()
    other.cookies.update(cookies)
    await refused(other, await other.get(back(answer)), "begun in another window", 400)


async def test_an_answer_that_comes_too_late(site, provider):
    browser = site.browser()
    away = await browser.get(BEGIN)
    now = time.time()
    site.context.sessions._clock = lambda: now + 901
    await refused(browser, await browser.get(back(provider.signs_in(away.headers["location"]))), "too long", 400)


@pytest.mark.parametrize(
    "change",
    [{"state": "x"}, {"state": None}, {"code": None}, {"code": ""}, {"code": "another"}, {"iss": None},
     {"iss": "https://evil.test"}, {"state": "\N{SNOWMAN}"}],
    ids=str,
)  # fmt: skip
async def test_an_answer_with_something_else(site, provider, change, capfd):
    browser = site.browser()
    away = await browser.get(BEGIN)
    answer = provider.signs_in(away.headers["location"]) | change
    query = {name: value for name, value in answer.items() if value is not None}
    await refused(browser, await browser.get(back(query)), DOES_NOT_HOLD)
    assert len(events(capfd, "web-oidc-refused")) == 1


async def test_an_answer_that_says_something_twice(site, provider):
    browser = site.browser()
    away = await browser.get(BEGIN)
    path = back(provider.signs_in(away.headers["location"]))
    await refused(browser, await browser.get(f"{path}&code=x"), DOES_NOT_HOLD)


async def test_the_provider_says_no(site, provider, capfd):
    browser = site.browser()
    away = await browser.get(BEGIN)
    answer = provider.signs_in(away.headers["location"])
    said = {"error": "access_denied", "error_description": "<b>evil</b>", "state": answer["state"], "iss": provider.url}
    response = await browser.get(back(said))
    await refused(browser, response, "The Firm has not let you in.")
    assert "evil" not in response.text
    assert events(capfd, "web-oidc-refused")[0]["why"] == "the provider says access_denied"


async def test_a_code_of_another_sign_in_does_not_fit(site, provider):
    """PKCE: a code that was stolen is no use in another browser, whose state it is sent with."""
    thief, victim = site.browser(), site.browser()
    stolen = provider.signs_in((await victim.get(BEGIN)).headers["location"])
    own = provider.signs_in((await thief.get(BEGIN)).headers["location"])
    await refused(thief, await thief.get(back({**own, "code": stolen["code"]})), DOES_NOT_HOLD)


async def test_two_providers_are_not_mixed_up(tmp_path, provider):
    (tmp_path / "secret").write_text("s3cret\n")
    evil = SignIns()
    try:
        async with site_of(tmp_path, BASIC + table(provider) + table(evil, name="evil")) as site:
            site.account(ANN)
            browser = site.browser()
            away = await browser.get("/sign-in/with/evil")
            answer = evil.signs_in(away.headers["location"])
            await refused(browser, await browser.get(back(answer)), DOES_NOT_HOLD)
            away = await browser.get("/sign-in/with/evil")
            honest = provider.signs_in(away.headers["location"])  # evil leads there, with our redirect URI for evil
            await refused(browser, await browser.get(back(honest, "evil")), "What The Firm says does not hold.")
            assert honest["code"] in provider.codes  # and never sees the code
            assert "/token" not in evil.asked
    finally:
        evil.close()


# A hostile provider, or somebody in between


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.test"}, {"iss": None}, {"aud": "another"}, {"aud": None}, {"aud": []},
        {"aud": ["postroad", "another"]}, {"azp": "another"}, {"exp": 1000}, {"exp": None}, {"exp": "soon"},
        {"exp": -1}, {"exp": True}, {"iat": 2**40}, {"iat": None}, {"nbf": 2**40}, {"nonce": "another"},
        {"nonce": None}, {"nonce": 7}, {"sub": None}, {"sub": ""}, {"sub": 7}, {"sub": "x" * 256},
    ],
    ids=lambda one: str(one)[:40],
)  # fmt: skip
async def test_an_id_token_that_is_not_for_this(site, provider, claims):
    browser = site.browser()
    provider.forged = claims
    await refused(browser, await sign_in(browser, provider), DOES_NOT_HOLD)


async def test_a_clock_may_be_a_little_wrong(site, provider):
    provider.forged = {"exp": int(time.time()) - 30, "iat": int(time.time()) + 30}
    assert (await sign_in(site.browser(), provider)).status_code == 303


async def test_an_id_token_for_several_says_who_has_asked(site, provider):
    provider.forged = {"aud": ["another", "postroad"], "azp": "postroad"}
    assert (await sign_in(site.browser(), provider)).status_code == 303


def unpadded(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def forged(provider: SignIns, algorithm: str, nonce: str) -> str:
    """An ID token as it would be right, but for its signature: none, or one by the public key as a shared secret."""
    now = int(time.time())
    claims = {"iss": provider.url, "aud": "postroad", "exp": now + 60, "iat": now, "nonce": nonce, **PERSON}
    header = {"alg": algorithm, "kid": "1"}
    text = ".".join(unpadded(json.dumps(part).encode()) for part in (header, claims))
    public = provider.key.as_pem(private=False)
    return f"{text}." + (unpadded(hmac.digest(public, text.encode(), "sha256")) if algorithm == "HS256" else "")


@pytest.mark.parametrize("algorithm", ["none", "None", "HS256"])
async def test_an_id_token_that_nobody_has_signed(site, provider, algorithm):
    browser = site.browser()
    away = await browser.get(BEGIN)
    asked = dict(parse_qsl(urlsplit(away.headers["location"]).query))
    answer = provider.signs_in(away.headers["location"])
    provider.answer = {"id_token": forged(provider, algorithm, asked["nonce"])}
    await refused(browser, await browser.get(back(answer)), DOES_NOT_HOLD)


@pytest.mark.parametrize(
    "answer",
    [{"id_token": None}, {"id_token": 7}, {"id_token": "a.b.c"}, {"id_token": "x" * 2**17}, {"error": "invalid_grant"},
     {"error": {"a": "b"}}],
    ids=lambda one: str(one)[:30],
)  # fmt: skip
async def test_no_id_token(site, provider, answer):
    browser = site.browser()
    provider.answer = answer
    await refused(browser, await sign_in(browser, provider), DOES_NOT_HOLD)


async def test_keys_that_somebody_else_has(site, provider):
    browser = site.browser()
    provider.signer = {"key": RSAKey.generate_key(2048, {"kid": "1"})}
    await refused(browser, await sign_in(browser, provider), DOES_NOT_HOLD)
    provider.signer = {"key": OctKey.generate_key(256, {"kid": "1"}), "alg": "HS256"}
    await refused(browser, await sign_in(browser, provider), DOES_NOT_HOLD)


async def test_keys_are_changed_by_the_provider(site, provider):
    party = site.context.provider("firm")
    assert (await sign_in(site.browser(), provider)).status_code == 303
    provider.key = ECKey.generate_key("P-256", {"kid": "2"})
    provider.signer = {"alg": "ES256"}
    browser = site.browser()
    await refused(browser, await sign_in(browser, provider), DOES_NOT_HOLD)  # one asks for keys once a minute
    later = party._published._clock() + 61
    party._published._clock = lambda: later
    assert (await sign_in(browser, provider)).status_code == 303
    assert provider.asked.count("/keys") == 2


@pytest.mark.parametrize(
    "changes",
    [{"issuer": "https://evil.test"}, {"authorization_endpoint": None}, {"authorization_endpoint": "javascript:x"},
     {"authorization_endpoint": "data:,x"}],
    ids=str,
)  # fmt: skip
async def test_a_provider_that_makes_no_sense(site, provider, changes):
    provider.changes = changes
    response = await site.browser().get(BEGIN)
    assert response.status_code == 503
    assert "The Firm cannot be asked now." in response.text
    assert 'name="password"' in response.text


@pytest.mark.parametrize("endpoint", ["token_endpoint", "jwks_uri"])
async def test_a_provider_that_is_away_when_it_is_asked(site, provider, endpoint):
    provider.changes = {endpoint: "http://127.0.0.1:1/"}
    browser = site.browser()
    await refused(browser, await sign_in(browser, provider), "cannot be asked now", 503)


# Whose account


@pytest.mark.parametrize(
    "claims",
    [{"email_verified": False}, {"email_verified": None}, {"email_verified": 1.5}, {"email": None}, {"email": 7},
     {"email": "nobody@example.org"}, {"email": "ann"}, {"email": "ann@elsewhere.example"}, {"email": "<script>@x"}],
    ids=str,
)  # fmt: skip
async def test_who_has_no_account(site, provider, claims):
    browser = site.browser()
    response = await sign_in(browser, provider, **claims)
    assert response.status_code == 401
    assert "mailbox" in response.text
    assert "<script>@" not in response.text
    assert (await browser.get("/account")).status_code == 303
    assert site.directory.account("nobody@example.org") is None


async def test_an_address_is_compared_as_the_directory_compares(site, provider):
    assert (await sign_in(site.browser(), provider, email="Ann@EXAMPLE.org")).status_code == 303


async def test_what_the_id_token_does_not_say_is_asked_for(site, provider, capfd):
    browser = site.browser()
    told = {"email": ANN, "email_verified": True}
    assert (await sign_in(browser, provider, told)).status_code == 303
    assert provider.asked[-1] == "/me"
    for wrong in ({"sub": "another", **told}, {"email": ANN}, {**told, "email_verified": False}, {}):
        other = site.browser()
        assert (await sign_in(other, provider, wrong)).status_code == 401
        assert (await other.get("/account")).status_code == 303
    assert "of another one" in events(capfd, "web-oidc-refused")[0]["why"]


@with_settings('claim = "preferred_username"')
async def test_a_named_claim_says_whose_it_is(site, provider):
    claims = {"email": None, "email_verified": None, "preferred_username": ANN}
    assert (await sign_in(site.browser(), provider, **claims)).status_code == 303
    assert (await sign_in(site.browser(), provider, preferred_username=None)).status_code == 401


@with_settings('domains = ["firm.example"]')
async def test_a_provider_may_be_for_some_domains_alone(site, provider):
    site.directory.add_domain("firm.example")
    site.account("carl@firm.example")
    assert (await sign_in(site.browser(), provider)).status_code == 401
    assert (await sign_in(site.browser(), provider, email="carl@FIRM.example")).status_code == 303


@with_settings("create = true")
async def test_accounts_are_made_if_so_configured(site, provider, capfd):
    browser = site.browser()
    assert (await sign_in(browser, provider, email=BOB)).status_code == 303
    assert BOB in (await browser.get("/account")).text
    (made,) = events(capfd, "account-added")
    assert (made["address"], made["by"]) == (BOB, "oidc:firm")
    site.directory.add_alias("info@example.org", [ANN])
    for other in ("info@example.org", "x@elsewhere.example", "a b@example.org"):
        assert (await sign_in(site.browser(), provider, email=other)).status_code == 401


# Roles, and what is asked for besides


ROLES = """
scopes = ["openid", "email", "groups"]
roles = { "mail admins" = ["owner"], "desk" = ["helpdesk@Example.org"] }
"""


async def test_groups_give_no_roles_unless_it_is_configured(site, provider):
    browser = site.browser()
    await sign_in(browser, provider, groups=["mail admins", "owner"])
    assert (await browser.get("/admin/overview")).status_code == 403


@with_settings(ROLES)
async def test_groups_give_roles_to_a_session(site, provider):
    chief, desk, other = site.browser(), site.browser(), site.browser()
    await sign_in(chief, provider, groups=["x", "mail admins"])
    await sign_in(desk, provider, groups="desk")
    await sign_in(other, provider, groups=["owner", 7, None])
    assert (await chief.get("/admin/overview")).status_code == 200
    assert (await desk.get("/admin/accounts")).status_code == 200
    assert (await desk.get("/admin/overview")).status_code == 403
    assert (await other.get("/admin/accounts")).status_code == 403
    assert site.directory.account(ANN).roles == ()
    password = await site.signed_in(ANN)
    assert (await password.get("/admin/overview")).status_code == 403


@with_settings(ROLES)
async def test_a_change_of_the_configuration_counts_at_once(site, provider):
    browser = site.browser()
    await sign_in(browser, provider, groups=["mail admins"])
    config = site.role.config
    without = ROLES.replace('"owner"', '"auditor"')
    site.role.config = parse(config.text.replace(ROLES, without), config.path)
    assert (await browser.get("/admin/overview")).status_code == 403
    assert (await browser.get("/account")).status_code == 200
    site.role.config = parse(BASIC, config.path)
    assert (await browser.get("/account")).status_code == 303


async def test_the_second_factor_is_asked_for_all_the_same(site, provider, capfd):
    secret = totp.new_secret()
    site.directory.set_totp(ANN, secret)
    browser = site.browser()
    form = await sign_in(browser, provider, amr=["mfa"], acr="high")
    assert form.status_code == 200
    assert "Your second factor" in form.text
    assert (await browser.get("/account")).status_code == 303
    assert not site.role.logins.guard.has_noted("192.0.2.1", site.directory.account(ANN).id, 0.0)
    code = totp.code(secret, int(time.time()) // totp.STEP)
    response = await browser.post("/sign-in/code", data={"code": code})
    assert response.headers["location"] == "/account"
    assert events(capfd, "web-session-begun")[0]["provider"] == "firm"


@with_settings('acr = ["urn:high", "urn:higher"]\namr = ["otp", "hwk"]')
@pytest.mark.parametrize(
    ("claims", "is_enough"),
    [({"acr": "urn:high"}, True), ({"amr": ["pwd", "otp"]}, True), ({"acr": "urn:low", "amr": ["pwd"]}, False),
     ({}, False), ({"amr": "otp"}, False), ({"acr": ["urn:high"]}, False), ({"amr": [["otp"]]}, False)],
    ids=str,
)  # fmt: skip
async def test_what_stands_for_the_second_factor(site, provider, claims, is_enough):
    site.directory.set_totp(ANN, totp.new_secret())
    browser = site.browser()
    away = (await browser.get(BEGIN)).headers["location"]
    assert dict(parse_qsl(urlsplit(away).query))["acr_values"] == "urn:high urn:higher"
    response = await browser.get(back(provider.signs_in(away, **claims)))
    assert response.status_code == (303 if is_enough else 200)
    assert ("Your second factor" in response.text) is not is_enough


# Who is kept out


async def test_a_network_that_is_banned_stays_out(site, provider):
    for number in range(site.role.config.login.network_guesses):
        site.role.logins.guard.failed("192.0.2.66", f"{number}@example.org", None)
    browser = site.browser(peer="192.0.2.66")
    response = await browser.get(BEGIN)
    assert response.status_code == 429
    assert provider.asked == []


async def test_what_strangers_begin_is_bounded(site):
    stranger, other = site.browser(peer="192.0.2.66"), site.browser(peer="192.0.2.67")
    said = [(await stranger.get(BEGIN)).status_code for _ in range(31)]
    assert said == [303] * 30 + [429]
    assert (await other.get(BEGIN)).status_code == 303


# The end of it


@with_settings('lifetime = "1h"')
async def test_a_session_ends_when_the_provider_is_to_be_asked_anew(site, provider):
    browser, now = site.browser(), time.time()
    await sign_in(browser, provider)
    site.context.sessions._clock = lambda: now + 3500
    assert (await browser.get("/account")).status_code == 200
    site.context.sessions._clock = lambda: now + 3700
    assert (await browser.get("/account")).status_code == 303


async def test_signing_out_here_says_how_to_sign_out_there(site, provider):
    browser = site.browser()
    await sign_in(browser, provider)
    page = await browser.get("/account")
    response = await browser.post("/sign-out", data={"csrf": csrf(page)})
    assert response.status_code == 200
    assert "Sign out at The Firm too" in response.text
    assert f'href="{provider.url}/end?client_id=postroad&amp;post_logout_redirect_uri=http%3A%2F%2F' in response.text
    assert "id_token_hint=" in response.text
    assert (await browser.get("/account")).status_code == 303
    assert "session" not in browser.cookies


async def test_signing_out_where_there_is_no_such_place(site, provider):
    provider.changes = {"end_session_endpoint": None}
    browser = site.browser()
    await sign_in(browser, provider)
    page = await browser.get("/account")
    response = await browser.post("/sign-out", data={"csrf": csrf(page)})
    assert response.headers["location"] == "/sign-in"


async def test_the_provider_ends_sessions(site, provider, capfd):
    one, two, other = site.browser(), site.browser(), await site.signed_in(ANN)
    await sign_in(one, provider, sid="1")
    await sign_in(two, provider, sid="2")
    said = await site.browser().post("/sign-out/by/firm", data={"logout_token": provider.logout_token(sid="1")})
    assert said.status_code == 200
    assert said.headers["cache-control"] == "no-store"
    assert [(await who.get("/account")).status_code for who in (one, two, other)] == [303, 200, 200]
    assert events(capfd, "web-oidc-left")[0]["sessions"] == 1
    await site.browser().post("/sign-out/by/firm", data={"logout_token": provider.logout_token()})
    assert [(await who.get("/account")).status_code for who in (one, two, other)] == [303, 303, 200]


async def test_a_logout_token_ends_nothing_that_begins_later(site, provider):
    browser = site.browser()
    await sign_in(browser, provider)
    token = provider.logout_token(iat=int(time.time()) - 120)
    assert (await site.browser().post("/sign-out/by/firm", data={"logout_token": token})).status_code == 200
    assert (await browser.get("/account")).status_code == 200


@pytest.mark.parametrize(
    "changes",
    [{"iss": "https://evil.test"}, {"aud": "another"}, {"exp": 1000}, {"iat": None}, {"events": None}, {"events": []},
     {"events": {"x": {}}}, {"nonce": "x"}, {"sub": None}, {"key": RSAKey.generate_key(2048, {"kid": "1"})}],
    ids=lambda one: str(one)[:40],
)  # fmt: skip
async def test_what_is_no_logout_token_ends_nothing(site, provider, changes):
    browser = site.browser()
    await sign_in(browser, provider)
    token = provider.logout_token(**changes)
    said = await site.browser().post("/sign-out/by/firm", data={"logout_token": token})
    assert said.status_code == 400
    assert (await browser.get("/account")).status_code == 200
    assert (await site.browser().post("/sign-out/by/firm", data={"logout_token": ""})).status_code == 400


# The secret


async def test_a_secret_may_be_in_the_environment(tmp_path, provider, monkeypatch):
    text = table(provider).replace('client_secret_file = "secret"', 'client_secret_env = "FIRM_SECRET"')
    async with site_of(tmp_path, BASIC + text) as site:
        site.account(ANN)
        assert (await sign_in(site.browser(), provider)).status_code == 503
        monkeypatch.setenv("FIRM_SECRET", "s3cret")
        assert (await sign_in(site.browser(), provider)).status_code == 303


async def test_a_client_need_not_have_one(tmp_path, provider):
    provider.is_public = True
    async with site_of(tmp_path, BASIC + table(provider).replace('client_secret_file = "secret"', "")) as site:
        site.account(ANN)
        assert (await sign_in(site.browser(), provider)).status_code == 303


async def test_no_log_has_a_secret(site, provider, capfd):
    browser = site.browser()
    away = await browser.get(BEGIN)
    answer = provider.signs_in(away.headers["location"])
    await browser.get(back({**answer, "state": "x"}))
    said = capfd.readouterr().err
    for secret in (answer["code"], answer["state"], "s3cret"):
        assert secret not in said


async def test_a_provider_whom_the_system_does_not_know(tmp_path):
    certificates = Certificates(tmp_path / "tls")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.certificate, certificates.key)
    (tmp_path / "secret").write_text("s3cret\n")
    provider = SignIns(context)
    known = table(provider, f'trust = "{certificates.authority}"', name="known")
    try:
        async with site_of(tmp_path, BASIC + table(provider) + known) as site:
            site.account(ANN)
            assert (await site.browser().get(BEGIN)).status_code == 503
            browser = site.browser()
            away = await browser.get("/sign-in/with/known")
            answer = provider.signs_in(away.headers["location"])
            assert (await browser.get(back(answer, "known"))).status_code == 303
            provider.changes = {"token_endpoint": provider.url.replace("https", "http") + "/token"}
            site.context.provider("known")._published._learnt = float("-inf")
            away = await browser.get("/sign-in/with/known")
            answer = provider.signs_in(away.headers["location"])
            assert (await browser.get(back(answer, "known"))).status_code == 503  # no secret in the clear
    finally:
        provider.close()


# Settings


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('issuer = "id.example.org"', "is no issuer"),
        ('issuer = "http://id.example.org"', "is no issuer"),
        ('issuer = "https://id.example.org?x=1"', "is no issuer"),
        ('client_id = ""', "must be what the provider knows us by"),
        ('scopes = ["email"]', 'must have "openid" among them'),
        ('scopes = ["openid", "a b"]', "has characters that cannot be there"),
        ('claim = ""', "must name the claim"),
        ('lifetime = "0s"', "must be more than nothing"),
        ('client_secret_file = "nowhere"', "cannot read"),
        ('roles = { a = ["boss"] }', "is no role"),
        ('roles = { a = ["administrator"] }', "is no role"),
        ('roles = { a = ["owner@example.org"] }', "is no role"),
        ('domains = ["a..b"]', "is no domain name"),
        ('labels = "x"', "unknown key; did you mean label"),
    ],
)
def test_mistakes(tmp_path, text, why):
    key = text.partition(" ")[0]
    lines = ['issuer = "https://id.example.org"', 'client_id = "postroad"']
    table = "\n".join(["[web.oidc.firm]", *(line for line in lines if not line.startswith(key)), text])
    with pytest.raises(ConfigError) as caught:
        parse(f"{BASIC}\n{table}\n", tmp_path / "pipeline.toml")
    assert why in str(caught.value)
    assert "[web.oidc.firm" in str(caught.value)


def test_both_ways_to_have_a_secret_are_a_mistake(tmp_path):
    (tmp_path / "secret").write_text("x")
    table = '[web.oidc.firm]\nissuer = "https://x"\nclient_id = "a"\nclient_secret_env = "A"'
    table += '\nclient_secret_file = "secret"'
    with pytest.raises(ConfigError, match="write one of them"):
        parse(f"{BASIC}\n{table}\n", tmp_path / "pipeline.toml")


def test_roles_are_as_they_compare(tmp_path):
    table = '[web.oidc.firm]\nissuer = "https://x"\nclient_id = "a"\nroles = { a = ["helpdesk@B\u00fccher.example"] }'
    config = parse(f"{BASIC}\n{table}\n", tmp_path / "pipeline.toml")
    assert config.web.oidc["firm"].roles == {"a": ("helpdesk@xn--bcher-kva.example",)}
