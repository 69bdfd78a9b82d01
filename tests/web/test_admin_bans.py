"""Bans and abuse in the pages: who is told of whom, who may lift and add, and what the log has of it."""

import pytest

from engine import Rate
from engine.abuse import Habits
from engine.login import Sender
from tests.support.site import ADMIN, BASIC, HELPER, OWNER, PEER, posted, site_of

ANN, EVE = "ann@example.org", "eve@example.net"
FAR = "203.0.113.9"


@pytest.fixture
async def site(tmp_path):
    async with site_of(tmp_path, BASIC.replace('["example.org"]', '["example.org", "example.net"]')) as found:
        found.staff()
        yield found


async def sent(browser, path, **values):
    return await posted(browser, f"/admin/bans{path}", **values)


async def listed(site, who: str = OWNER, **browser: str) -> str:
    page = await site.known(who, **browser).get("/admin/bans")
    assert page.status_code == 200
    return page.text


async def test_a_ban_is_told_with_its_reason_and_lifted(site, told):
    guard = site.role.logins.guard
    for _ in range(guard.settings.network_guesses):
        guard.failed(FAR, "nobody@example.org", None)
    text = await listed(site)
    assert f"{FAR}/32" in text
    assert "10 wrong guesses" in text
    done = await sent(site.known(OWNER), "/lift", who=f"{FAR}/32")
    assert done.headers["location"] == "/admin/bans?done=lifted"
    assert guard.bans() == []
    assert told == [("ban-lifted", {"peer": PEER, "by": OWNER, "who": f"{FAR}/32"})]


@pytest.mark.parametrize(
    ("who", "names"),
    [
        (FAR, [f"{FAR}/32"]),
        ("203.0.113.8/31", ["203.0.113.8/32", "203.0.113.9/32"]),
        ("2001:db8::7", ["2001:db8::/64"]),
        ("Ann@Example.org", [ANN]),
    ],
)
async def test_somebody_is_kept_out_by_hand(site, told, who, names):
    done = await sent(site.known(OWNER), "", who=who, lasts="3600")
    assert done.headers["location"] == "/admin/bans?done=banned"
    bans = site.role.logins.guard.bans()
    assert sorted(one.name for one in bans) == names
    assert {one.guesses for one in bans} == {0}
    assert "by hand" in await listed(site)
    ((name, values),) = told
    assert (name, values["by"], values["until"]) == ("ban-set", OWNER, bans[0].until)


@pytest.mark.parametrize("who", ["", "nobody", "203.0.0.0/8", "::/0", "a@", "192.0.2.0/24", "192.0.2.1"])
async def test_nobody_bans_what_is_none_or_themselves(site, who):
    page = await sent(site.known(OWNER, peer="192.0.2.1"), "", who=who, lasts="3600")
    assert page.status_code == 422
    assert site.role.logins.guard.bans() == []


async def test_an_administrator_of_a_domain_knows_its_accounts_alone(site, told):
    guard = site.role.logins.guard
    for who in (FAR, ANN, EVE):
        guard.ban(who, 3600)
    text = await listed(site, ADMIN)
    assert ANN in text
    assert EVE not in text
    assert FAR not in text
    browser = site.known(ADMIN)
    for path, values in (("/lift", {"who": EVE}), ("/lift", {"who": FAR}), ("", {"who": FAR, "lasts": "3600"}),
                         ("", {"who": EVE, "lasts": "3600"}), ("/rates/lift", {"who": FAR}),
                         ("/suspects/clear", {"account": EVE})):  # fmt: skip
        assert (await sent(browser, path, **values)).status_code == 403, (path, values)
    assert len(guard.bans()) == 3
    assert told == []
    await sent(browser, "/lift", who=ANN)
    assert {one.name for one in guard.bans()} == {f"{FAR}/32", EVE}


async def test_suspects_are_told_why_and_may_send_again(site, told):
    habits = Habits(site.role.tables)
    reasons = ["new recipients: 201 in an hour, usually 0", "something new"]
    for account in (ANN, EVE):
        await habits.suspect(account, reasons, FAR)
    text = await listed(site)
    assert ANN in text
    assert EVE in text
    assert "new recipients: 201 in an hour, usually 0" in text
    vietnamese = await listed(site, language="vi")
    assert "người nhận mới: 201 trong một giờ, thường là 0" in vietnamese
    assert "something new" in vietnamese
    assert EVE not in await listed(site, ADMIN)
    await sent(site.known(ADMIN), "/suspects/clear", account=ANN)
    assert not await habits.is_suspect(ANN)
    assert await habits.is_suspect(EVE)
    assert ("suspicion-lifted", {"peer": PEER, "by": ADMIN, "address": ANN}) in told


async def test_who_has_sent_too_much_may_send_on(site, told):
    rates = site.role.rates
    for kind, name in (("account", ANN), ("account", EVE), ("network", f"{FAR}/32")):
        sender = Sender(kind, name, (Rate("1/1h"),))
        assert rates.take(sender, 1) is None
        assert rates.take(sender, 1) is not None
    rates.take(Sender("account", "quiet@example.org", (Rate("9/1h"),)), 1)
    text = await listed(site)
    assert all(f">{name} " in text for name in (ANN, EVE, f"{FAR}/32"))
    assert "quiet@example.org" not in text
    assert EVE not in await listed(site, ADMIN)
    done = await sent(site.known(ADMIN), "/rates/lift", who=ANN)
    assert done.headers["location"] == "/admin/bans?done=rate"
    await sent(site.known(OWNER), "/rates/lift", who=f"{FAR}/32")
    assert {one.name for one in rates.sent()} == {EVE, "quiet@example.org"}
    assert [values for name, values in told if name == "rate-lifted"] == [
        {"peer": PEER, "by": ADMIN, "who": ANN}, {"peer": PEER, "by": OWNER, "who": f"{FAR}/32"},
    ]  # fmt: skip


async def test_it_is_not_for_the_helpdesk(site):
    browser = site.known(HELPER)
    assert (await browser.get("/admin/bans")).status_code == 403
    assert (await sent(browser, "", who=ANN, lasts="3600")).status_code == 403
    assert site.role.logins.guard.bans() == []
