"""Administration of domains and accounts: what each role may do, and that it may nothing beyond its domains."""

import pytest
from msgspec.structs import replace

from engine.directory import Roles, totp
from engine.directory.errors import Invalid
from engine.directory.roles import valid_role
from engine.web.sessions.store import Passkey
from tests.support.site import AUDITOR, OWNER, posted
from tests.web.hosting import ADMIN, ANN, BOB, BOTH, HELPER, hosting


@pytest.fixture
async def site(tmp_path):
    async with hosting(tmp_path) as found:
        for address in (ANN, BOB):
            found.account(address, password=None)
        yield found


# Roles themselves


@pytest.mark.parametrize(
    ("given", "role", "domain", "covers"),
    [
        (("owner",), "administrator", "one.example", True),
        (("owner",), "helpdesk", "one.example", True),
        (("owner",), "auditor", "one.example", True),
        (("administrator@one.example",), "administrator", "one.example", True),
        (("administrator@one.example",), "administrator", "ONE.example", True),
        (("administrator@one.example",), "helpdesk", "one.example", True),
        (("administrator@one.example",), "administrator", "two.example", False),
        (("administrator@one.example",), "administrator", "sub.one.example", False),
        (("helpdesk@one.example",), "administrator", "one.example", False),
        (("auditor",), "helpdesk", "one.example", False),
        ((), "helpdesk", "one.example", False),
        ((), "helpdesk", "", False),
    ],
)
def test_what_a_role_covers(given, role, domain, covers):
    assert Roles(given).covers(role, domain) is covers


def test_an_owner_is_no_auditor_by_that():
    assert not Roles(("owner",)).has("auditor")
    assert Roles(("owner",)).has("administrator")
    assert Roles().has("user")


@pytest.mark.parametrize(
    "text", ["", "root", "administrator", "helpdesk", "owner@one.example", "administrator@", "a@b"]
)
def test_what_is_no_role(text):
    with pytest.raises(Invalid):
        valid_role(text)


async def test_a_role_is_kept_as_its_domain_compares(site):
    site.directory.set_roles(ANN, added=["Administrator@BÜCHER.example"])
    assert site.directory.account(ANN).roles == ("administrator@xn--bcher-kva.example",)


# Who sees what


@pytest.mark.parametrize(
    ("who", "pages"),
    [
        (OWNER, {"/admin/overview", "/admin/pipeline", "/admin/accounts", "/admin/domains"}),
        (ADMIN, {"/admin/accounts", "/admin/domains"}),
        (HELPER, {"/admin/accounts", "/admin/domains"}),
        (AUDITOR, set()),
        (ANN, set()),
    ],
)
async def test_each_role_has_its_pages(site, who, pages):
    browser = site.known(who)
    for path in ("/admin/overview", "/admin/pipeline", "/admin/accounts", "/admin/domains", "/admin/overview/live"):
        if path in pages or not path.endswith("live"):
            assert (await browser.get(path)).status_code == (200 if path in pages else 403), path
        else:
            assert who == OWNER or (await browser.get(path)).status_code == 403


async def test_one_sees_the_accounts_of_ones_domains_alone(site):
    browser = site.known(ADMIN)
    everything = (await browser.get("/admin/accounts")).text
    assert ANN in everything
    assert BOB not in everything
    assert OWNER not in everything
    assert BOB not in (await browser.get("/admin/accounts?domain=two.example")).text
    assert BOB not in (await browser.get("/admin/accounts?q=bob")).text
    assert (await browser.get(f"/admin/account?address={BOB}")).status_code == 404
    assert (await browser.get(f"/admin/account?address={ANN}")).status_code == 200
    domains = (await browser.get("/admin/domains")).text
    assert "one.example" in domains
    assert "two.example" not in domains


# Who changes what

CHANGES = [
    ("/admin/account/password", {"password": "a new password"}),
    ("/admin/account/totp/end", {}),
    ("/admin/account/passkeys/end", {}),
    ("/admin/account/sessions/end", {}),
    ("/admin/account/quota", {"size": "1 GB"}),
    ("/admin/account/roles", {"add": "helpdesk@one.example"}),
    ("/admin/account/remove", {}),
]
HELPING = {f"/admin/account/{what}" for what in ("password", "totp/end", "passkeys/end", "sessions/end")}


@pytest.mark.parametrize(("path", "values"), CHANGES, ids=[path for path, _ in CHANGES])
@pytest.mark.parametrize(
    ("who", "whom", "may"),
    [
        (OWNER, BOB, "all"),
        (OWNER, AUDITOR, "all"),
        (ADMIN, ANN, "all"),
        (ADMIN, HELPER, "all"),
        (BOTH, BOB, "all"),
        (HELPER, ANN, "help"),
        (HELPER, ADMIN, "nothing"),
        (ADMIN, BOB, "nothing"),
        (ADMIN, BOTH, "nothing"),
        (ADMIN, OWNER, "nothing"),
        (ANN, ANN, "nothing"),
        (AUDITOR, ANN, "nothing"),
        (ANN, BOB, "nothing"),
    ],
)
async def test_each_role_changes_what_is_its_own(site, path, values, who, whom, may):  # noqa: PLR0917
    before = site.directory.account(whom)
    browser = site.known(who)
    response = await posted(browser, path, address=whom, **values)
    allowed = may == "all" or (may == "help" and path in HELPING)
    assert response.status_code == 303 if allowed else response.status_code in (403, 404)
    if not allowed:
        assert site.directory.account(whom) == before


async def test_nobody_gives_more_than_they_have(site):
    browser = site.known(ADMIN)
    for role in ("owner", "auditor", "administrator@two.example", "helpdesk@two.example"):
        for address in (ANN, ADMIN):
            assert (await posted(browser, "/admin/account/roles", address=address, add=role)).status_code == 403
    assert site.directory.account(ANN).roles == ()
    given = await posted(browser, "/admin/account/roles", address=ANN, add="administrator@one.example")
    assert given.status_code == 303
    taken = await posted(browser, "/admin/account/roles", address=ANN, remove="administrator@one.example")
    assert taken.status_code == 303
    assert site.directory.account(ANN).roles == ()


async def test_an_administrator_of_a_domain_in_which_an_owner_is_has_no_say_over_the_owner(site):
    site.directory.set_roles(ADMIN, added=["administrator@example.org"])
    browser = site.known(ADMIN)
    assert (await browser.get(f"/admin/account?address={OWNER}")).status_code == 200
    for path, values in CHANGES:
        assert (await posted(browser, path, address=OWNER, **values)).status_code == 403


async def test_a_role_that_is_taken_is_gone_at_once(site):
    browser = site.known(ADMIN)
    assert (await browser.get("/admin/accounts")).status_code == 200
    site.directory.set_roles(ADMIN, removed=["administrator@one.example"])
    assert (await browser.get("/admin/accounts")).status_code == 403


# Accounts


async def test_an_account_is_added_and_can_sign_in(site, capfd):
    browser = site.known(ADMIN)
    response = await posted(browser, "/admin/accounts", name="carl", domain="one.example", password="a good password")
    assert response.headers["location"] == "/admin/account?address=carl%40one.example&done=added"
    assert "The account is there." in (await browser.get(response.headers["location"])).text
    assert (await (await site.signed_in("carl@one.example", "a good password")).get("/account")).status_code == 200
    assert '"event":"account-added"' in (said := capfd.readouterr().err)
    assert f'"by":"{ADMIN}"' in said
    assert "a good password" not in said


async def test_a_password_is_made_where_none_is_given_and_shown_once(site):
    browser = site.known(ADMIN)
    response = await posted(browser, "/admin/accounts", name="carl", domain="one.example", password="")
    made = response.text.partition('<code id="made">')[2].partition("<")[0]
    assert len(made) > 15
    assert await site.signed_in("carl@one.example", made)
    assert made not in (await browser.get("/admin/account?address=carl@one.example")).text


@pytest.mark.parametrize(
    ("name", "domain", "status"),
    [
        ("carl", "two.example", 403),
        ("carl", "example.org", 403),
        ("carl", "", 403),
        ("ann", "one.example", 422),
        ("", "one.example", 422),
        ("carl@two.example", "one.example", 422),
        ('"carl@two.example"', "one.example", 422),
        ("carl\r\n", "one.example", 303),  # a name has no blanks around it
        ("c arl", "one.example", 422),
    ],
)
async def test_what_cannot_be_added(site, name, domain, status):
    before = [one.address for one in site.directory.accounts()]
    browser = site.known(ADMIN)
    response = await posted(browser, "/admin/accounts", name=name, domain=domain, password="a good password")
    assert response.status_code == status
    added = {one.address for one in site.directory.accounts()} - set(before)
    assert all(address.endswith("@one.example") for address in added)
    assert bool(added) == (status == 303)


async def test_a_new_password_ends_the_sessions_of_the_account(site):
    theirs = site.known(ANN)
    helper = site.known(HELPER)
    assert (await posted(helper, "/admin/account/password", address=ANN, password="a new password")).status_code == 303
    assert (await theirs.get("/account")).status_code == 303
    assert await site.signed_in(ANN, "a new password")


async def test_the_helpdesk_switches_a_second_factor_off(site):
    site.directory.set_totp(ANN, totp.new_secret())
    helper = site.known(HELPER)
    assert (await posted(helper, "/admin/account/totp/end", address=ANN)).status_code == 303
    assert not site.directory.account(ANN).has_totp


async def test_the_helpdesk_removes_passkeys_that_somebody_has_left(site):
    account, sessions = site.directory.account(ANN).id, site.context.sessions
    left = Passkey("somebody's", 1.0, b"x")
    sessions.change_person(account, lambda person: replace(person, passkeys=(left,), theme="dark"))
    helper = site.known(HELPER)
    assert "Remove the passkeys" in (await helper.get(f"/admin/account?address={ANN}")).text
    assert (await posted(helper, "/admin/account/passkeys/end", address=ANN)).status_code == 303
    assert (sessions.person(account).passkeys, sessions.person(account).theme) == ((), "dark")
    assert "Remove the passkeys" not in (await helper.get(f"/admin/account?address={ANN}")).text


@pytest.mark.parametrize(
    ("size", "messages", "limit"),
    [("5 GB", "", (5_000_000_000, None)), ("1,5 GB", "10", (1_500_000_000, 10)), ("0", "0", (0, 0)), ("", "", None)],
)
async def test_a_quota(site, size, messages, limit):
    browser = site.known(ADMIN)
    await posted(browser, "/admin/account/quota", address=ANN, size=size, messages=messages)
    assert tuple(site.directory.account(ANN).limit) == (limit or (None, None))
    shown = await browser.get(f"/admin/account?address={ANN}")
    assert shown.status_code == 200


@pytest.mark.parametrize(("size", "messages"), [("much", ""), ("-1", ""), ("", "-1"), ("", "1e9"), ("9" * 400, "")])
async def test_what_is_no_quota(site, size, messages):
    browser = site.known(ADMIN)
    response = await posted(browser, "/admin/account/quota", address=ANN, size=size, messages=messages)
    assert response.status_code == 422
    assert "Write a size like 5 GB" in response.text


async def test_a_removed_account_is_gone_with_its_sessions_and_its_mail_is_to_be_erased(site):
    theirs = site.known(ANN)
    number = site.directory.account(ANN).id
    browser = site.known(ADMIN)
    assert (await posted(browser, "/admin/account/remove", address=ANN)).status_code == 303
    assert (await theirs.get("/account")).status_code == 303
    assert site.directory.account(ANN) is None
    assert site.directory.leavers() == [number]


async def test_nobody_removes_themselves(site):
    browser = site.known(OWNER)
    assert (await posted(browser, "/admin/account/remove", address=OWNER)).status_code == 403


async def test_a_long_list_comes_in_pages(site):
    for number in range(120):
        site.directory.add_account(f"user{number:03}@one.example")
    browser = site.known(ADMIN)
    first = (await browser.get("/admin/accounts?q=user")).text
    assert "user000@" in first
    assert "user050@" not in first
    assert "Page 1 of 3" in first
    assert "user119@" in (await browser.get("/admin/accounts?q=user&page=2")).text
    for page in ("-1", "99999", "x", "1e3", "٣"):
        assert (await browser.get("/admin/accounts", params={"q": "user", "page": page})).status_code == 200


async def test_names_are_no_markup(site):
    site.directory.add_account("a&b'c@one.example")
    browser = site.known(ADMIN)
    text = (await browser.get("/admin/accounts", params={"q": "<b>\"'"})).text
    assert "<b>" not in text
    assert 'value="&lt;b&gt;&#34;&#39;"' in text
    text = (await browser.get("/admin/accounts")).text
    assert "a&amp;b&#39;c@one.example" in text
    assert "address=a%26b%27c%40one.example" in text
    assert (await browser.get("/admin/account", params={"address": "a&b'c@one.example"})).status_code == 200


# Domains


async def test_an_owner_adds_and_removes_domains(site):
    browser = site.known(OWNER)
    assert (await posted(browser, "/admin/domains", name="New.example")).status_code == 303
    assert site.directory.is_local("new.example")
    assert (await posted(browser, "/admin/domains", name="new.example")).status_code == 422
    assert (await posted(browser, "/admin/domains", name="no domain")).status_code == 422
    assert (await posted(browser, "/admin/domains/remove", name="new.example")).status_code == 303
    assert not site.directory.is_local("new.example")
    assert (await posted(browser, "/admin/domains/remove", name="one.example")).status_code == 422
    assert (await posted(browser, "/admin/domains/remove", name="example.org")).status_code == 422


async def test_nobody_else_does(site):
    browser = site.known(ADMIN)
    for path in ("/admin/domains", "/admin/domains/remove"):
        assert (await posted(browser, path, name="new.example")).status_code == 403


async def test_an_administrator_says_what_each_may_hold_and_the_owner_what_all_may(site):
    await posted(site.known(ADMIN), "/admin/domains/quota", name="one.example", size="1 GB", total="2 TB")
    assert site.directory.domain_limits("one.example").each.octets == 1_000_000_000
    assert site.directory.domain_limits("one.example").total.octets is None
    owner = site.known(OWNER)
    await posted(owner, "/admin/domains/quota", name="one.example", size="1 GB", total="2 TB")
    assert site.directory.domain_limits("one.example").total.octets == 2_000_000_000_000
    refused = await posted(site.known(ADMIN), "/admin/domains/quota", name="two.example", size="1 GB")
    assert refused.status_code == 403


async def test_forgery_changes_nothing(site):
    browser = site.known(OWNER)
    for path, values in [*CHANGES, ("/admin/domains", {"name": "x.example"})]:
        response = await browser.post(path, data={"address": ANN, **values})
        assert response.status_code == 403, path
    assert site.directory.account(ANN)
