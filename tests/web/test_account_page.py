"""One's own account: what is changed by whom, and what it takes."""

import re
import time

import pytest

from engine.directory import totp
from engine.web.pages.agents import in_words
from tests.support.site import PASSWORD, csrf, posted, site_of

ANN = "ann@example.org"
NEW = "a much better one"


@pytest.fixture
async def site(tmp_path):
    async with site_of(tmp_path) as found:
        found.account(ANN)
        yield found


@pytest.fixture
async def browser(site):
    return await site.signed_in(ANN)


async def test_a_new_password(site, browser):
    other = await site.signed_in(ANN)
    response = await posted(browser, "/account/password", current=PASSWORD, new=NEW, again=NEW)
    assert response.status_code == 303
    assert (await browser.get("/account")).status_code == 200
    assert (await other.get("/account")).status_code == 303
    assert await site.signed_in(ANN, NEW)


@pytest.mark.usefixtures("autojump_clock")
@pytest.mark.parametrize(
    ("current", "new", "again", "why"),
    [
        ("wrong", NEW, NEW, "The present password is another one."),
        (PASSWORD, NEW, NEW + "x", "The two new passwords are not the same."),
        (PASSWORD, "short", "short", "The new password is too short."),
        ("", NEW, NEW, "The present password is another one."),
    ],
)
async def test_what_is_no_new_password(site, browser, current, new, again, why):  # noqa: PLR0917
    response = await posted(browser, "/account/password", current=current, new=new, again=again)
    assert response.status_code == 422
    assert why in response.text
    assert await site.signed_in(ANN)


async def test_guessing_the_present_password_bans_as_at_the_door(site, browser, autojump_clock):
    for number in range(10):
        await posted(browser, "/account/password", current=f"guess {number}", new=NEW, again=NEW)
    assert site.role.logins.guard.standing("192.0.2.1", ANN, None).network


async def test_an_app_password_is_shown_once_and_taken_back(site, browser):
    token = csrf(await browser.get("/account"))
    made = await browser.post(
        "/account/app-passwords", data={"csrf": token, "name": "phone", "services": ["imap", "smtp"]}
    )
    password = made.text.partition('id="app-password">')[2].partition("<")[0]
    assert site.directory.verify_app_password(ANN, password, "imap")
    assert not site.directory.verify_app_password(ANN, password, "pop3")
    shown = (await browser.get("/account")).text
    assert "phone" in shown
    assert password not in shown
    twice = await browser.post("/account/app-passwords", data={"csrf": token, "name": "phone", "services": "imap"})
    assert twice.status_code == 422
    for values in ({"name": "x"}, {"name": "", "services": "imap"}, {"name": "x", "services": "web"}):
        assert (await browser.post("/account/app-passwords", data={"csrf": token, **values})).status_code == 422
    await posted(browser, "/account/app-passwords/revoke", name="phone")
    assert not site.directory.verify_app_password(ANN, password, "imap")
    assert (await posted(browser, "/account/app-passwords/revoke", name="phone")).status_code == 303


async def test_it_is_shown_when_a_mail_program_was_there_last(site, browser):
    site.directory.add_app_password(ANN, "phone")
    (made,) = site.directory.app_passwords(ANN)
    row = r'<th scope="row">phone</th>.*?<td data-label="Last used">(.*?)</td>'
    assert re.findall(row, (await browser.get("/account")).text, re.DOTALL) == ["never"]
    account = site.directory.account(ANN)
    site.role.logins.guard.used(account.id, made.created)
    (used,) = re.findall(row, (await browser.get("/account")).text, re.DOTALL)
    assert used.endswith("ago")


async def test_a_second_factor_is_set_up_and_ended(site, browser, autojump_clock):
    wrong = await posted(browser, "/account/totp", password="wrong")
    assert wrong.status_code == 422
    form = await posted(browser, "/account/totp", password=PASSWORD)
    assert "data:image/svg+xml" in form.text
    key = form.text.partition('<code class="break">')[2].partition("<")[0]
    from base64 import b32decode

    secret = b32decode(key + "=" * (-len(key) % 8))
    again = await posted(browser, "/account/totp/confirm", code="000000")
    assert again.status_code == 422
    assert key in again.text
    assert not site.directory.account(ANN).has_totp
    code = totp.code(secret, int(time.time()) // totp.STEP)
    assert (await posted(browser, "/account/totp/confirm", code=code)).status_code == 303
    assert site.directory.account(ANN).has_totp
    assert (await browser.get("/account")).status_code == 200
    assert (await posted(browser, "/account/totp/end", password=PASSWORD)).status_code == 303
    assert not site.directory.account(ANN).has_totp
    late = await posted(browser, "/account/totp/confirm", code=code)
    assert late.status_code == 422


async def test_sessions_are_listed_and_ended_but_those_of_others_are_not(site, browser):
    site.account("bob@example.org")
    bob = await site.signed_in("bob@example.org", agent="the browser of bob")
    second = await site.signed_in(ANN, agent="an old phone", peer="192.0.2.7")
    shown = (await browser.get("/account")).text
    assert "an old phone" in shown
    assert "192.0.2.7" in shown
    assert "the browser of bob" not in shown
    (foreign,) = site.context.sessions.of(site.directory.account("bob@example.org").id)
    await posted(browser, "/account/sessions/end", session=foreign.id.hex())
    assert (await bob.get("/account")).status_code == 200
    (old,) = [one for one in site.context.sessions.of(site.directory.account(ANN).id) if one.agent == "an old phone"]
    await posted(browser, "/account/sessions/end", session=old.id.hex())
    assert (await second.get("/account")).status_code == 303
    third = await site.signed_in(ANN)
    await posted(browser, "/account/sessions/end", session="others")
    assert (await third.get("/account")).status_code == 303
    assert (await browser.get("/account")).status_code == 200


async def test_language_and_look_are_kept_with_the_account(site, browser):
    assert 'lang="en"' in (await browser.get("/account")).text
    await posted(browser, "/account/look", language="vi", theme="dark")
    shown = (await browser.get("/account")).text
    assert '<html lang="vi" data-theme="dark">' in shown
    assert "Mật khẩu" in shown
    assert '<html lang="vi" data-theme="dark">' in (await (await site.signed_in(ANN)).get("/account")).text
    await posted(browser, "/account/look", language="xx", theme="pink")
    assert '<html lang="en">' in (await browser.get("/account")).text


async def test_what_a_browser_says_of_itself_is_no_markup(site, browser):
    await site.signed_in(ANN, agent="<img src=x onerror=alert(1)>")
    assert "<img src=x" not in (await browser.get("/account")).text


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox, Linux"),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 "
            "Safari/537.36 Edg/140.0.0.0",
            "Edge, Windows",
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
            "Version/18.0 Mobile/15E148 Safari/604.1",
            "Safari, iPhone",
        ),
        ("curl/8.0", "curl/8.0"),
        ("", "–"),
    ],
)
def test_a_browser_in_words(agent, words):
    assert in_words(agent) == words
