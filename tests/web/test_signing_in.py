"""Signing in and out: passwords, codes, bans, and what ends a session."""

import time

import pytest

from engine.directory import totp
from tests.support.site import PASSWORD, csrf, site_of

ANN = "ann@example.org"


@pytest.fixture
async def site(tmp_path):
    async with site_of(tmp_path) as found:
        found.account(ANN)
        yield found


def code(secret: bytes, steps: int = 0) -> str:
    return totp.code(secret, int(time.time()) // totp.STEP + steps)


def logins(capfd):
    return [line for line in capfd.readouterr().err.splitlines() if '"event":"login"' in line]


async def test_who_has_not_signed_in_is_led_there_and_back(site):
    browser = site.browser()
    asked = await browser.get("/account?a=b")
    assert asked.status_code == 303
    assert asked.headers["location"] == "/sign-in?next=%2Faccount%3Fa%3Db"
    form = await browser.get(asked.headers["location"])
    assert 'name="next" value="/account?a=b"' in form.text
    response = await browser.post("/sign-in", data={"address": ANN, "password": PASSWORD, "next": "/account?a=b"})
    assert response.status_code == 303
    assert response.headers["location"] == "/account?a=b"
    assert ANN in (await browser.get("/account")).text


@pytest.mark.parametrize("elsewhere", ["//evil.example", "https://evil.example", "/\\evil.example", "/a\r\nx: y", "a"])
async def test_nobody_is_led_elsewhere(site, elsewhere):
    response = await site.browser().post(
        "/sign-in", data={"address": ANN, "password": PASSWORD, "next": elsewhere}
    )  # fmt: skip
    assert response.headers["location"] == "/"


async def test_a_script_is_told_that_it_has_to_sign_in(site):
    response = await site.browser().get("/account", headers={"accept": "application/json"})
    assert response.status_code == 401


@pytest.mark.parametrize(
    ("address", "password"), [(ANN, "wrong"), ("nobody@example.org", PASSWORD), (ANN, ""), ("", ""), ("\x00", "\x00")]
)
async def test_wrong_is_wrong(site, address, password, autojump_clock):
    response = await site.browser().post("/sign-in", data={"address": address, "password": password})
    assert response.status_code == 401
    assert "set-cookie" not in response.headers
    assert "too many tries" in response.text


async def test_an_app_password_opens_no_page(site, autojump_clock):
    app_password = site.directory.add_app_password(ANN, "phone")
    response = await site.browser().post("/sign-in", data={"address": ANN, "password": app_password})
    assert response.status_code == 401


async def test_who_guesses_is_kept_out_here_and_in_mail_programs(site, autojump_clock, capfd):
    guesser = site.browser(peer="192.0.2.66")
    for number in range(10):
        await guesser.post("/sign-in", data={"address": ANN, "password": f"guess {number}"})
    right = {"address": ANN, "password": PASSWORD}
    assert (await guesser.post("/sign-in", data=right)).status_code == 401
    assert site.role.logins.guard.standing("192.0.2.66", ANN, None).network
    assert (await site.browser().post("/sign-in", data=right)).status_code == 303
    said = logins(capfd)
    assert '"why":"the network is banned"' in said[-2]
    assert '"ok":true,"service":"web","mechanism":"PASSWORD"' in said[-1]
    assert PASSWORD not in "".join(said)


async def test_a_form_of_another_site_signs_nobody_in(site):
    for headers in ({"origin": "https://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
        response = await site.browser().post(
            "/sign-in", data={"address": ANN, "password": PASSWORD}, headers=headers
        )  # fmt: skip
        assert response.status_code == 403


async def test_the_cookie_is_for_this_host_and_no_script(site):
    response = await site.browser().post("/sign-in", data={"address": ANN, "password": PASSWORD})
    attributes = {one.strip().lower() for one in response.headers["set-cookie"].split(";")[1:]}
    assert {"httponly", "path=/", "samesite=lax"} <= attributes
    secure = site.browser()
    secure.base_url = "https://mx.example.org"
    response = await secure.post("/sign-in", data={"address": ANN, "password": PASSWORD})
    assert response.headers["set-cookie"].startswith("__Host-session=")
    assert "; Secure" in response.headers["set-cookie"]
    assert response.headers["strict-transport-security"]


async def test_signing_out_ends_the_session_for_everybody_who_has_its_cookie(site):
    browser = await site.signed_in(ANN)
    copied = dict(browser.cookies)
    page = await browser.get("/account")
    assert (await browser.post("/sign-out")).status_code == 403
    response = await browser.post("/sign-out", data={"csrf": csrf(page)})
    assert response.headers["location"] == "/sign-in"
    other = site.browser()
    other.cookies.update(copied)
    assert (await other.get("/account")).status_code == 303


async def test_each_session_has_a_token_of_its_own_against_forgery(site):
    one, two = await site.signed_in(ANN), await site.signed_in(ANN)
    token = csrf(await two.get("/account"))
    assert (await one.post("/account/look", data={"csrf": token, "theme": "dark"})).status_code == 403
    assert (await two.post("/account/look", data={"csrf": token, "theme": "dark"})).status_code == 303
    forged = await two.post(
        "/account/look", data={"csrf": token, "theme": "dark"}, headers={"origin": "https://evil.example"}
    )
    assert forged.status_code == 403
    assert (await two.post("/account/look", content="{}", headers={"x-csrf-token": token})).status_code == 303


# The second factor


async def test_a_code_is_asked_for_and_counts_once(site, capfd, autojump_clock):
    secret = totp.new_secret()
    site.directory.set_totp(ANN, secret)
    browser = site.browser()
    form = await browser.post("/sign-in", data={"address": ANN, "password": PASSWORD, "next": "/account"})
    assert form.status_code == 200
    assert "session" not in browser.cookies
    assert (await browser.get("/account")).status_code == 303
    wrong = await browser.post("/sign-in/code", data={"code": "000000"})
    assert wrong.status_code == 401
    right = code(secret)
    response = await browser.post("/sign-in/code", data={"code": f"{right[:3]} {right[3:]}"})
    assert response.headers["location"] == "/account"
    assert (await browser.get("/account")).status_code == 200
    other = site.browser()
    await other.post("/sign-in", data={"address": ANN, "password": PASSWORD})
    assert (await other.post("/sign-in/code", data={"code": right})).status_code == 401
    said = logins(capfd)
    assert '"why":"the second factor is awaited"' in said[0]
    assert '"mechanism":"TOTP"' in said[1]


async def test_codes_cannot_be_guessed_for_long(site, autojump_clock):
    site.directory.set_totp(ANN, totp.new_secret())
    browser = site.browser(peer="192.0.2.66")
    for number in range(12):
        await browser.post("/sign-in", data={"address": ANN, "password": PASSWORD})
        await browser.post("/sign-in/code", data={"code": f"{number:06}"})
    assert site.role.logins.guard.standing("192.0.2.66", ANN, None).network


async def test_a_code_without_a_password_is_nothing(site):
    secret = totp.new_secret()
    site.directory.set_totp(ANN, secret)
    response = await site.browser().post("/sign-in/code", data={"code": code(secret)})
    assert response.headers["location"] == "/sign-in"


async def test_the_password_alone_makes_no_network_known(site, autojump_clock):
    site.directory.set_totp(ANN, totp.new_secret())
    await site.browser(peer="192.0.2.99").post("/sign-in", data={"address": ANN, "password": PASSWORD})
    account = site.directory.account(ANN)
    assert not site.role.logins.guard.has_noted("192.0.2.99", account.id, 0.0)


# What ends a session


async def test_a_new_password_ends_all_sessions(site):
    browser = await site.signed_in(ANN)
    site.directory.set_password(ANN, "another password")
    assert (await browser.get("/account")).status_code == 303


async def test_a_removed_account_is_out_and_one_of_the_same_name_is_another(site):
    browser = await site.signed_in(ANN)
    site.directory.remove_account(ANN)
    site.account(ANN)
    assert (await browser.get("/account")).status_code == 303


async def test_a_directory_that_cannot_be_read_is_no_fault(site, monkeypatch):
    browser = await site.signed_in(ANN)
    from engine.directory import Unavailable

    def away(_):
        raise Unavailable("it is away")

    monkeypatch.setattr(site.directory, "account", away)
    assert (await browser.get("/account")).status_code == 503


async def test_what_strangers_have_written_down_is_bounded(site):
    stranger, other = site.browser(peer="192.0.2.66"), site.browser(peer="192.0.2.67")
    said = [(await stranger.post("/sign-in/passkey/options")).status_code for _ in range(31)]
    assert said == [200] * 30 + [429]
    assert (await other.post("/sign-in/passkey/options")).status_code == 200


@pytest.mark.parametrize(("shown", "status"), [("wrong", 403), (None, 403), (7, 403), (PASSWORD, 200)])
async def test_who_came_in_by_a_password_shows_it_once_more_to_leave_a_passkey(site, autojump_clock, shown, status):
    browser = await site.signed_in(ANN)
    headers = {"x-csrf-token": csrf(await browser.get("/account")), "accept": "application/json"}
    answer = await browser.post("/account/passkeys/options", json={"password": shown}, headers=headers)
    assert answer.status_code == status
    assert ("publicKey" in answer.json()) == (status == 200)


async def test_who_came_in_by_a_passkey_may_have_no_password_to_show(site):
    account = site.directory.account(ANN)
    browser = site.browser()
    token = site.context.sessions.begin(account.id, account.address, peer="", agent="", how="passkey")
    browser.headers["cookie"] = f"session={token}"
    page = await browser.get("/account")
    headers = {"x-csrf-token": csrf(page), "accept": "application/json"}
    assert (await browser.post("/account/passkeys/options", json={}, headers=headers)).status_code == 200
    form = page.text.partition('data-passkey="register"')[2].partition("</form>")[0]
    assert 'name="password"' not in form


@pytest.mark.parametrize(
    "credential",
    [{}, [], "x", {"id": "x"}, {"id": "AA", "rawId": "AA", "type": "public-key", "response": {}}, {"id": "A" * 60_000}],
)
async def test_what_is_no_passkey_is_refused(site, credential):
    stranger = site.browser()
    assert (await stranger.post("/sign-in/passkey", json={"credential": credential})).status_code == 400
    await stranger.post("/sign-in/passkey/options")
    response = await stranger.post("/sign-in/passkey", json={"credential": credential, "next": "//evil.example"})
    assert response.status_code == 401
    assert (await stranger.post("/sign-in/passkey", content=b"{" * 1000)).status_code == 400
