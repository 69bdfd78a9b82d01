"""Pages about people: groups, aliases, shared mailboxes, app passwords, quotas, import, and who has changed what."""

import csv
import io
import re

import pytest
import trio

from engine.directory import Limit, may_send_as, may_send_on_behalf
from engine.mailbox import Access
from engine.operations import filling
from engine.web.admin.growing import Growing
from tests.support.site import AUDITOR, OWNER, csrf, posted
from tests.web.hosting import ADMIN, ANN, BOB, HELPER, hosting

CARL = "carl@one.example"


@pytest.fixture
async def site(tmp_path):
    async with hosting(tmp_path) as found:
        for address in (ANN, CARL, BOB):
            found.account(address, password=None)
        yield found


def told(site):
    """What was changed, by whom: the newest first."""
    return [(one.kind, one.by) for one in site.context.changes.search(lambda _: True, 100).changes]


# Groups and aliases


async def test_a_group_its_members_and_who_may_write_to_it(site):
    browser = site.known(ADMIN)
    added = await posted(
        browser, "/admin/groups", name="staff", domain="one.example", members=f"{ANN}, {CARL}\r\nx@b.test"
    )
    assert added.headers["location"] == "/admin/group?address=staff%40one.example&done=added"
    text = (await browser.get(added.headers["location"])).text
    assert "The group is there." in text
    assert "x@b.test" in text
    assert "elsewhere" in text
    await posted(browser, "/admin/group/members", address="staff@one.example", remove="x@b.test")
    await posted(browser, "/admin/group/members", address="staff@one.example", add="nobody@one.example")
    assert "not there" in (await browser.get("/admin/group?address=staff@one.example")).text
    ruled = await posted(
        browser, "/admin/group/rule", address="staff@one.example", posting="members", owners=f"{ANN} {CARL}"
    )
    assert ruled.status_code == 303
    group = site.directory.find("staff@one.example")
    assert (group.targets, group.posting) == ((ANN, CARL, "nobody@one.example"), "members")
    assert group.owners == (ANN, CARL)
    assert "members and owners" in (await browser.get("/admin/groups")).text
    assert (await posted(browser, "/admin/group/remove", address="staff@one.example")).status_code == 303
    assert site.directory.groups() == []
    assert told(site) == [
        ("group-removed", ADMIN), ("group-changed", ADMIN), ("group-changed", ADMIN), ("group-changed", ADMIN),
        ("group-added", ADMIN),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("/admin/groups", {"name": "no name", "domain": "one.example"}),
        ("/admin/groups", {"name": "ann", "domain": "one.example"}),
        ("/admin/group/members", {"address": "team@one.example", "add": "team@one.example"}),
        ("/admin/group/members", {"address": "team@one.example", "remove": "nobody@one.example"}),
        ("/admin/group/rule", {"address": "team@one.example", "posting": "some"}),
        ("/admin/group/rule", {"address": "team@one.example", "posting": "members", "owners": "nobody@one.example"}),
        ("/admin/aliases", {"name": "ann", "domain": "one.example", "targets": CARL}),
        ("/admin/aliases", {"name": "x", "domain": "one.example", "targets": "  "}),
        ("/admin/aliases", {"name": "x", "domain": "one.example", "targets": "no address"}),
        ("/admin/aliases/change", {"address": "nobody@one.example", "targets": ANN}),
        ("/admin/aliases/change", {"address": "info@one.example", "targets": ""}),
        ("/admin/aliases/change", {"address": "info@one.example", "targets": "info@one.example"}),
        ("/admin/aliases/remove", {"address": "team@one.example"}),
        ("/admin/shared", {"name": "ann", "domain": "one.example"}),
        ("/admin/shared", {"name": "", "domain": "one.example"}),
    ],
    ids=str,
)
async def test_what_cannot_be_is_said_and_changes_nothing(site, path, values):
    site.directory.add_group("team@one.example", [ANN])
    site.directory.add_alias("info@one.example", [ANN])
    before = [*site.directory.aliases(), *site.directory.groups(), *site.directory.accounts()]
    response = await posted(site.known(ADMIN), path, **values)
    assert response.status_code == 422
    assert 'role="alert"' in response.text
    assert [*site.directory.aliases(), *site.directory.groups(), *site.directory.accounts()] == before
    assert told(site) == []


async def test_an_owner_of_a_group_says_who_its_members_are_and_nobody_else_does(site):
    site.directory.add_group("team@one.example", [CARL])
    site.directory.rule_group("team@one.example", "anybody", [ANN])
    ann, carl = site.known(ANN), site.known(CARL)
    assert "/account/group?address=team%40one.example" in (await ann.get("/account")).text
    assert "team@one.example" not in (await carl.get("/account")).text
    assert (await ann.get("/account/group?address=team@one.example")).status_code == 200
    assert (await posted(ann, "/account/group/members", address="team@one.example", add=BOB)).status_code == 303
    assert (await posted(ann, "/account/group/members", address="team@one.example", remove=CARL)).status_code == 303
    assert (await posted(ann, "/account/group/members", address="team@one.example", add="no")).status_code == 422
    assert site.directory.find("team@one.example").targets == (BOB,)
    assert (await carl.get("/account/group?address=team@one.example")).status_code == 404
    assert (await posted(carl, "/account/group/members", address="team@one.example", add=CARL)).status_code == 404
    assert (await ann.get("/admin/groups")).status_code == 403
    assert told(site) == [("group-changed", ANN), ("group-changed", ANN)]


async def test_aliases_forwards_and_what_catches_all(site):
    browser = site.known(ADMIN)
    await posted(browser, "/admin/aliases", name="info", domain="one.example", targets=f"{ANN}, me@far.test")
    await posted(browser, "/admin/aliases", name="*", domain="one.example", targets=CARL)
    text = (await browser.get("/admin/aliases")).text
    assert "catches all" in text
    assert "elsewhere" in text
    assert site.directory.find("whatever@one.example").targets == (CARL,)
    await posted(browser, "/admin/aliases/change", address="info@one.example", targets=CARL)
    assert site.directory.find("info@one.example").targets == (CARL,)
    await posted(browser, "/admin/aliases/remove", address="@one.example")
    assert site.directory.find("whatever@one.example") is None
    assert [kind for kind, _ in told(site)] == ["alias-removed", "alias-changed", "alias-added", "alias-added"]


# Shared mailboxes, and who works in them


async def test_a_shared_mailbox_and_who_works_in_it(site):
    browser = site.known(ADMIN)
    added = await posted(browser, "/admin/shared", name="sales", domain="one.example")
    assert added.status_code == 303
    sales = "sales@one.example"
    let = await posted(browser, "/admin/account/people", address=sales, who=ANN, level="write", sends="as")
    assert let.status_code == 303, let.text
    site.directory.add_group("team@one.example", [CARL])
    await posted(browser, "/admin/account/people", address=sales, who="team@one.example", level="read")
    account, ann = site.directory.account(sales), site.directory.account(ANN)
    access = Access(site.role.owner.reader)
    folders = [one.number for one in site.role.owner.reader.folders(account.id)]
    assert len(folders) > 3
    for number in folders:
        assert dict(access.acl(account.id, number)) == {ANN: "lrswipkte", "$team@one.example": "lrs"}
    assert may_send_as(site.directory, ANN, sales)
    assert not may_send_as(site.directory, CARL, sales)
    text = (await browser.get("/admin/shared")).text
    assert "reads and files, sends in its name" in text
    assert "Who else works" in (await browser.get(f"/admin/account?address={sales}")).text
    await posted(browser, "/admin/account/people", address=sales, who=ANN, level="read")
    assert access.rights(access.identity(site.directory, ann), account.id, folders[0]) == "lrs"
    assert not may_send_as(site.directory, ANN, sales)
    await posted(browser, "/admin/account/people", address=sales, who=ANN, level="nothing")
    assert access.rights(access.identity(site.directory, ann), account.id, folders[0]) == ""
    assert ("rights-set", ADMIN) in told(site)


async def test_one_says_oneself_who_works_in_ones_mailbox(site):
    ann = site.known(ANN)
    assert "/account/people" in (await ann.get("/account")).text
    assert (await posted(ann, "/account/people", who=BOB, level="read", sends="as")).status_code == 303
    text = (await ann.get("/account/people")).text
    assert BOB in text
    assert "reads, sends in its name" in text
    assert may_send_as(site.directory, BOB, ANN)
    assert (await posted(ann, "/account/people", who="nobody@one.example", level="read")).status_code == 422
    assert (await posted(ann, "/account/people", who=ANN, level="read")).status_code == 422
    assert (await ann.post("/account/people", data={"who": BOB, "level": "write"})).status_code == 403
    assert (await posted(ann, "/account/people", who=BOB, level="nothing")).status_code == 303
    assert not may_send_as(site.directory, BOB, ANN)
    assert (await posted(ann, "/account/people", who=BOB, level="nothing", sends="behalf")).status_code == 303
    assert may_send_on_behalf(site.directory, BOB, ANN)
    assert not may_send_as(site.directory, BOB, ANN)
    assert "sends on its behalf" in (await ann.get("/account/people")).text
    assert (await posted(ann, "/account/people", who=BOB, level="nothing", sends="as")).status_code == 303
    assert (may_send_as(site.directory, BOB, ANN), may_send_on_behalf(site.directory, BOB, ANN)) == (True, False)
    assert (await posted(ann, "/account/people", who=BOB, level="nothing")).status_code == 303
    assert "Nobody else." in (await ann.get("/account/people")).text
    assert {by for _, by in told(site)} == {ANN}


@pytest.mark.parametrize(
    ("who", "level", "sends", "status"),
    [
        (ANN, "all", "", 422),
        ("nobody@one.example", "read", "", 422),
        ("sales@one.example", "read", "", 422),
        ("info@one.example", "read", "", 422),
        ("team@one.example", "read", "as", 422),
        ("team@one.example", "read", "behalf", 422),
        (ANN, "read", "yes", 422),
        (BOB, "read", "", 403),
        ("anyone", "read", "", 403),
    ],
)
async def test_who_cannot_be_let_in(site, who, level, sends, status):
    site.directory.add_account("sales@one.example")
    site.directory.add_alias("info@one.example", [ANN])
    site.directory.add_group("team@one.example", [CARL])
    browser = site.known(ADMIN)
    values = {"address": "sales@one.example", "who": who, "level": level, "sends": sends}
    assert (await posted(browser, "/admin/account/people", **values)).status_code == status
    assert told(site) == []


async def test_one_without_the_say_over_an_account_lets_nobody_read_it(site):
    site.directory.set_roles(ADMIN, added=["administrator@example.org"])
    for whom in (OWNER, AUDITOR):
        values = {"address": whom, "who": ADMIN, "level": "read"}
        assert (await posted(site.known(ADMIN), "/admin/account/people", **values)).status_code == 403
    assert (await posted(site.known(HELPER), "/admin/account/people", address=ANN, who=HELPER)).status_code == 403


# App passwords, suspension, invitations


async def test_app_passwords_of_an_account(site):
    browser = site.known(ADMIN)
    made = await posted(browser, "/admin/account/app-passwords", address=ANN, name="phone", services="imap")
    secret = re.search(r'<code id="app-password">([^<]+)<', made.text)[1]
    assert site.directory.verify_app_password(ANN, secret, "imap")
    assert not site.directory.verify_app_password(ANN, secret, "smtp")
    again = (await browser.get(f"/admin/account?address={ANN}")).text
    assert "phone" in again
    assert secret not in again
    assert (
        await posted(browser, "/admin/account/app-passwords", address=ANN, name="phone", services="imap")
    ).status_code == 422
    assert (await posted(browser, "/admin/account/app-passwords", address=ANN, name="tablet")).status_code == 422
    helper = site.known(HELPER)
    refused = await posted(helper, "/admin/account/app-passwords", address=ANN, name="x", services="imap")
    assert refused.status_code == 403
    assert (await posted(helper, "/admin/account/app-passwords/revoke", address=ANN, name="phone")).status_code == 303
    assert site.directory.app_passwords(ANN) == []
    assert told(site) == [("account-changed", HELPER), ("account-changed", ADMIN)]


async def test_who_is_suspended_is_out_at_once_and_comes_in_by_nothing(site):
    site.directory.set_password(ANN, "a good password")
    secret = site.directory.add_app_password(ANN, "phone")
    theirs, browser = site.known(ANN), site.known(ADMIN)
    assert (await theirs.get("/account")).status_code == 200
    assert (await posted(browser, "/admin/account/suspend", address=ANN, suspended="yes")).status_code == 303
    assert (await theirs.get("/account")).status_code == 303
    assert site.directory.verify(ANN, "a good password") is None
    assert not site.directory.recalls(ANN, "a good password")
    assert site.directory.verify_app_password(ANN, secret, "imap") is None
    assert not may_send_as(site.directory, ANN, ANN)
    assert site.directory.find(ANN)
    assert "The account is suspended" in (await browser.get(f"/admin/account?address={ANN}")).text
    await posted(browser, "/admin/account/suspend", address=ANN, suspended="no")
    assert site.directory.verify(ANN, "a good password")
    assert site.directory.verify_app_password(ANN, secret, "imap")
    assert (await posted(browser, "/admin/account/suspend", address=ADMIN, suspended="yes")).status_code == 403
    assert (await posted(site.known(HELPER), "/admin/account/suspend", address=ANN, suspended="yes")).status_code == 403


async def test_an_invitation_opens_the_account_once(site):
    made = await posted(site.known(HELPER), "/admin/account/invite", address=ANN)
    link = re.search(r'<code id="invitation">([^<]+)<', made.text)[1]
    assert link.startswith("http://localhost:8080/invitation?token=")
    path, token = link.removeprefix("http://localhost:8080"), link.partition("token=")[2]
    guest = site.browser()
    assert ANN in (await guest.get(path)).text
    for new, again in (("short", "short"), ("a good password", "another password")):
        values = {"token": token, "new": new, "again": again}
        assert (await guest.post("/invitation", data=values)).status_code == 422
    values = {"token": token, "new": "a good password", "again": "a good password"}
    assert (await guest.post("/invitation", data=values, headers={"origin": "http://evil.test"})).status_code == 403
    assert (await guest.post("/invitation", data=values)).status_code == 303
    assert (await guest.get("/account")).status_code == 200
    assert (await site.browser().get(path)).status_code == 404
    assert (await site.browser().post("/invitation", data=values)).status_code == 404
    assert site.directory.verify(ANN, "a good password")
    assert told(site) == [("account-changed", ANN), ("account-changed", HELPER)]


@pytest.mark.parametrize("spoil", ["newer", "password", "suspended", "removed", "other", "nonsense", "role"])
async def test_an_invitation_that_is_of_no_use(site, spoil):
    account = site.directory.account(ANN)
    token = site.context.sessions.invitations.invite(account, ADMIN)
    if spoil == "newer":
        site.context.sessions.invitations.invite(account, ADMIN)
    elif spoil == "password":
        site.directory.set_password(ANN, "a good password")
    elif spoil == "suspended":
        site.directory.suspend(ANN, True)
    elif spoil == "role":  # or whoever made the link before would have it by that
        site.directory.set_roles(ANN, ["owner"])
    elif spoil == "removed":
        site.directory.remove_account(ANN)
        site.directory.add_account(ANN)
    elif spoil == "other":
        token = f"{site.directory.account(OWNER).id:x}-{token.partition('-')[2]}"
    else:
        token = "x" * 500 + "\r\n"
    browser = site.browser()
    assert (await browser.get("/invitation", params={"token": token})).status_code == 404
    values = {"token": token, "new": "my own password", "again": "my own password"}
    assert (await browser.post("/invitation", data=values)).status_code == 404
    assert site.directory.verify(ANN, "my own password") is None


async def test_a_second_factor_is_asked_for_after_an_invitation_too(site):
    account = site.directory.account(ANN)
    site.directory.set_totp(ANN, b"secret")
    token = site.context.sessions.invitations.invite(account, ADMIN)
    browser = site.browser()
    values = {"token": token, "new": "my own password", "again": "my own password"}
    assert (await browser.post("/invitation", data=values)).headers["location"] == "/sign-in"
    assert (await browser.get("/account")).status_code == 303


# Many at once


async def test_many_are_counted_first(site):
    browser = site.known(ADMIN)
    first = await posted(browser, "/admin/accounts/bulk", act="suspend", domain="one.example")
    assert "3 accounts" in first.text  # neither the administrator's own nor those of others
    assert not site.directory.account(ANN).suspended
    done = await posted(browser, "/admin/accounts/bulk", act="suspend", domain="one.example", q="", sure="1")
    assert done.headers["location"] == "/admin/accounts?done=3"
    assert "It was done to 3 accounts." in (await browser.get("/admin/accounts?done=3")).text
    assert site.directory.account(ANN).suspended
    assert not site.directory.account(ADMIN).suspended
    assert not site.directory.account(BOB).suspended
    await posted(browser, "/admin/accounts/bulk", act="lift", q="ann", sure="1")
    assert not site.directory.account(ANN).suspended
    assert site.directory.account(CARL).suspended


async def test_what_many_get(site):
    browser = site.known(ADMIN)
    site.directory.add_group("team@one.example")
    await posted(browser, "/admin/accounts/bulk", act="quota", size="5 GB", address=[ANN, CARL, BOB], sure="1")
    assert site.directory.account(ANN).limit == Limit(5_000_000_000, None)
    assert site.directory.account(BOB).limit == Limit()
    await posted(browser, "/admin/accounts/bulk", act="group", group="team@one.example", address=[ANN, BOB], sure="1")
    assert site.directory.find("team@one.example").targets == (ANN,)
    invited = await posted(browser, "/admin/accounts/bulk", act="invite", address=[CARL, BOB], sure="1")
    assert invited.text.count("/invitation?token=") == 1
    for values in ({"act": "quota", "size": "much"}, {"act": "quota"}, {"act": "group", "group": "x@one.example"}):
        assert (await posted(browser, "/admin/accounts/bulk", **values, sure="1")).status_code == 422
    assert (await posted(browser, "/admin/accounts/bulk", act="remove", sure="1")).status_code == 422
    assert (await posted(site.known(HELPER), "/admin/accounts/bulk", act="lift", sure="1")).status_code == 403


# Quotas


async def test_who_will_be_full(site):
    number, today = site.directory.account(ANN).id, filling.today()
    site.directory.limit(ANN, Limit(2_000, None))
    growth = site.context.growth
    for day in range(10):
        growth.note(today - 10 + day, {number: (day * 100, 1)})
    text = (await site.known(ADMIN).get("/admin/quotas")).text
    assert "Full within 30 days" in text
    assert "about 11 days" in text
    assert "10 days" in text
    for browser in (site.known(OWNER), site.known(HELPER)):
        assert "about 11 days" in (await browser.get("/admin/quotas?domain=one.example")).text
    assert "about 11 days" not in (await site.known(OWNER).get("/admin/quotas?domain=two.example")).text


async def test_what_accounts_hold_is_written_down_once_a_day(site):
    growing, growth = Growing(site.context), site.context.growth
    await growing.look()
    assert growth.noted == filling.today()
    (days,) = growth.of([site.directory.account(ANN).id])
    assert [one.day for one in days] == [filling.today()]
    site.directory.add_account("new@one.example")
    await growing.look()
    assert growth.of([site.directory.account("new@one.example").id]) == [[]]


async def test_quotas_of_groups_domains_and_accounts(site):
    browser = site.known(ADMIN)
    site.directory.add_group("team@one.example", [ANN])
    for name in ("team@one.example", "one.example", CARL):
        assert (await posted(browser, "/admin/quotas", name=name, size="3 GB")).status_code == 303
    assert site.directory.group_limit("team@one.example").octets == 3_000_000_000
    assert site.directory.domain_limits("one.example").each.octets == 3_000_000_000
    assert site.directory.account(CARL).limit.octets == 3_000_000_000
    for name, status in (("two.example", 403), (BOB, 403), ("x@one.example", 422), ("", 403)):
        assert (await posted(browser, "/admin/quotas", name=name, size="3 GB")).status_code == status
    assert (await posted(browser, "/admin/quotas", name=CARL, size="x")).status_code == 422
    assert (await posted(site.known(HELPER), "/admin/quotas", name=CARL, size="1 GB")).status_code == 403


# Import


FILE = "address,password,size,groups\r\nnew@one.example,,5 GB,team@one.example\r\nown@one.example,a good password,,\r\n"


async def looked_through(browser, text):
    token = csrf(await browser.get("/account"))
    octets = text if isinstance(text, bytes) else text.encode()
    return await browser.post("/admin/import", data={"csrf": token}, files={"file": ("people.csv", octets, "text/csv")})


async def imported(browser, text, how):
    """What comes of it, when it has ended: the result as rows."""
    plan = await looked_through(browser, text)
    assert plan.status_code == 200, plan.text
    identity = re.search(r'name="id" value="([^"]+)"', plan.text)[1]
    begun = await posted(browser, "/admin/import/begin", id=identity, how=how)
    assert begun.status_code == 303
    while True:
        told = (await browser.get(begun.headers["location"], headers={"accept": "application/json"})).json()
        if told["state"] != "running":
            break
        await trio.sleep(0.01)
    assert told["state"] == "done"
    page = await browser.get(begun.headers["location"])
    assert "It is done." in page.text
    result = await browser.get(f"/admin/import/result?id={identity}")
    assert result.headers["content-disposition"].startswith("attachment")
    assert result.headers["cache-control"] == "no-store"
    return identity, list(csv.reader(io.StringIO(result.text)))


async def test_accounts_of_a_file_get_links(site):
    site.directory.add_group("team@one.example")
    browser = site.known(ADMIN)
    identity, rows = await imported(browser, FILE, "invite")
    assert rows[0] == ["address", "link"]
    assert [row[0] for row in rows[1:]] == ["new@one.example"]
    assert site.directory.find("team@one.example").targets == ("new@one.example",)
    assert site.directory.verify("own@one.example", "a good password")
    assert not site.directory.account("new@one.example").has_password
    assert (await site.browser().get(rows[1][1].removeprefix("http://localhost:8080"))).status_code == 200
    folder = site.context.data / "imports" / str(site.directory.account(ADMIN).id) / identity
    assert not (folder / "sheet.csv").exists()
    assert folder.stat().st_mode & 0o777 == 0o700
    other = site.known(OWNER)
    assert (await other.get(f"/admin/import/result?id={identity}")).status_code == 404
    assert (await posted(browser, "/admin/import/forget", id=identity)).status_code == 303
    assert not folder.exists()
    _, rows = await imported(browser, FILE, "invite")
    assert rows == [["address", "link"]]  # all are there


async def test_accounts_of_a_file_get_passwords(site):
    site.directory.add_group("team@one.example")
    _, rows = await imported(site.known(ADMIN), FILE, "generate")
    assert [row[0] for row in rows[1:]] == ["new@one.example", "own@one.example"]
    for address, password in rows[1:]:
        assert site.directory.verify(address, password)
    assert not any(
        "a good password" in str(one.values) for one in site.context.changes.search(lambda _: True, 99).changes
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "address\r\nann@two.example\r\nno address\r\n",
            "ann@two.example is in no domain that admin@one.example may touch",
        ),
        ("address\r\nann@one.example\r\nno address\r\n", "&#39;no address&#39; is no address"),
        ("address,size\r\nx@one.example,much\r\n", "is no size; write it like"),
        ("address,admin\r\nx@one.example,perhaps\r\n", "admin: &#39;perhaps&#39; is neither"),
        ("address,groups\r\nx@one.example,y@one.example\r\n", "there is no group y@one.example"),
        ("address,aliases\r\nx@one.example,ann@one.example\r\n", "does not stand for x@one.example alone"),
        ("address\r\nx@one.example,1,2\r\n", "3 fields, where the first line names 1"),
        ("address,address\r\n", "stands there twice"),
        ("name\r\nann@one.example\r\n", "there is no column &#39;name&#39;; there are "),
        ("address\r\nadmin@one.example\r\n", None),
        (b"address\r\nj\xfcrgen@one.example\r\n", "not in UTF-8"),
        ("address\r\n", "no account in the file"),
        ("", "the first line must name the columns"),
        ("address\r\nx@one.example\r\nx@one.example\r\n", "stands in line 2 already"),
    ],
)
async def test_all_mistakes_of_a_file_are_told_and_nothing_is_done(site, text, said):
    before = site.directory.accounts()
    response = await looked_through(site.known(ADMIN), text)
    if said is None:
        assert response.status_code == 200
    else:
        assert response.status_code == 422
        assert said in response.text
    assert site.directory.accounts() == before


async def test_who_may_do_more_is_not_changed_by_a_file(site):
    site.directory.set_roles(ANN, added=["owner"])
    response = await looked_through(site.known(ADMIN), "address,send_as\r\nann@one.example,carl@one.example\r\n")
    assert response.status_code == 422
    assert "has a role (" in response.text


async def test_a_form_without_a_file_and_an_import_that_nobody_knows(site):
    browser = site.known(ADMIN)
    assert (await posted(browser, "/admin/import")).status_code == 422
    for path in ("/admin/import/begin", "/admin/import/forget"):
        for identity in ("", "../../x", "x" * 22):
            assert (await posted(browser, path, id=identity)).status_code == 404
    assert (await browser.get("/admin/import/result?id=../../directory")).status_code == 404
    for path in ("/admin/import", "/admin/import/begin"):
        assert (await posted(site.known(HELPER), path)).status_code == 403


# Who sees what, and who has changed what


PAGES = ("/admin/groups", "/admin/aliases", "/admin/shared", "/admin/quotas")


@pytest.mark.parametrize(
    ("who", "pages"),
    [
        (OWNER, {*PAGES, "/admin/import", "/admin/changes"}),
        (ADMIN, {*PAGES, "/admin/import"}),
        (HELPER, {*PAGES}),
        (AUDITOR, {"/admin/changes"}),
        (ANN, set()),
    ],
)
async def test_each_role_has_its_pages(site, who, pages):
    browser = site.known(who)
    for path in (*PAGES, "/admin/import", "/admin/changes"):
        assert (await browser.get(path)).status_code == (200 if path in pages else 403), path
    start = await browser.get("/admin")
    assert start.status_code == (303 if pages else 403)
    if pages:
        assert (await browser.get(start.headers["location"])).status_code == 200


CHANGES = [
    ("/admin/groups", {"name": "x", "domain": "two.example"}),
    ("/admin/group/members", {"address": "team@two.example", "add": ANN}),
    ("/admin/group/rule", {"address": "team@two.example", "posting": "members"}),
    ("/admin/group/remove", {"address": "team@two.example"}),
    ("/admin/aliases", {"name": "x", "domain": "two.example", "targets": ANN}),
    ("/admin/aliases/change", {"address": "info@two.example", "targets": ANN}),
    ("/admin/aliases/remove", {"address": "info@two.example"}),
    ("/admin/shared", {"name": "x", "domain": "two.example"}),
    ("/admin/account/people", {"address": BOB, "who": ADMIN, "level": "read"}),
    ("/admin/account/app-passwords", {"address": BOB, "name": "x", "services": "imap"}),
    ("/admin/account/app-passwords/revoke", {"address": BOB, "name": "x"}),
    ("/admin/account/suspend", {"address": BOB, "suspended": "yes"}),
    ("/admin/account/invite", {"address": BOB}),
]


@pytest.mark.parametrize(("path", "values"), CHANGES, ids=[path for path, _ in CHANGES])
@pytest.mark.parametrize("who", [ADMIN, HELPER, AUDITOR, ANN])
async def test_other_domains_are_out_of_reach(site, who, path, values):
    site.directory.add_group("team@two.example", [BOB])
    site.directory.add_alias("info@two.example", [BOB])
    before = [*site.directory.aliases(), *site.directory.groups(), *site.directory.accounts()]
    browser = site.known(who)
    assert (await posted(browser, path, **values)).status_code in (403, 404)
    assert (await browser.post(path, data=values)).status_code == 403  # nor is it done without the token
    assert [*site.directory.aliases(), *site.directory.groups(), *site.directory.accounts()] == before
    for page in PAGES:
        assert "two.example" not in (await browser.get(page)).text
    assert told(site) == []


async def test_who_has_changed_what(site):
    owner = site.known(OWNER)
    await posted(site.known(ADMIN), "/admin/aliases", name="info", domain="one.example", targets=ANN)
    await posted(owner, "/admin/account/quota", address=BOB, size="1 GB")
    await posted(site.known(ANN), "/account/app-passwords", name="phone", services="imap")
    text = (await site.known(AUDITOR).get("/admin/changes")).text
    text = text.partition("<tbody>")[2]
    assert text.index("new app password: phone") < text.index("Quota set") < text.index("Alias added")
    assert "192.0.2.1" in text

    async def found(query):
        return re.findall(
            r'data-label="Who" class="break"><span>([^<]+)<', (await owner.get(f"/admin/changes?{query}")).text
        )

    assert await found("by=admin") == [ADMIN]
    assert await found("kind=quota-set") == [OWNER]
    assert await found("text=PHONE") == [ANN]
    assert await found("until=2020-01-01") == []
    assert len(await found("since=2020-01-01")) == 3
    for query in ("since=x&until=9999-99-99", "until=9999-12-31", "before=x", "kind=%00", f"by={'x' * 5000}"):
        assert (await owner.get(f"/admin/changes?{query}")).status_code == 200


@pytest.mark.parametrize("path", ["/admin/accounts", "/admin/groups", "/admin/aliases", "/admin/changes"])
async def test_open_pages_hear_of_changes(site, path):
    text = (await site.known(OWNER).get(path)).text
    assert "data-live=" in text
    assert re.search(r'<script type="module" src="[^"]*/admin/shared[^"]*\.js', text)


async def test_vietnamese_has_no_english_in_it(site):
    browser = site.known(ADMIN, language="vi")
    await posted(browser, "/admin/account/suspend", address=ANN, suspended="yes")
    text = (await site.known(OWNER, language="vi").get("/admin/changes")).text
    assert "Đã thay đổi tài khoản" in text
    assert "tạm khóa" in text
