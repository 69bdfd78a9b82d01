"""Accounts, groups, aliases, shared mailboxes and imports, as administrators work with them in a browser."""

import csv
import re
import smtplib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.chromium import picture
from tests.support.pages import PHONE, SETTINGS, enter, loaded, sign_in, site, visit
from tests.support.server import Postroad, letter

pytestmark = pytest.mark.client

ANN, BOB, EVE = "ann@example.org", "bob@example.org", "eve@example.org"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Postroad]:
    server = Postroad(tmp_path, SETTINGS).account(ANN, BOB, EVE)
    assert server.command("account", "role", "add", ANN, "owner").returncode == 0
    with server:
        yield server


def went(page: Page, name: str) -> None:
    page.get_by_role("link", name=name, exact=True).click()
    expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()


def test_a_group_that_its_owner_sees_to_and_members_alone_may_write_to(server: Postroad, browser: Browser) -> None:
    with visit(browser) as page:
        sign_in(page, server, ANN, path="/admin/accounts")
        went(page, "Groups")
        page.get_by_text("Add a group").click()
        page.get_by_label("Name").fill("team")
        page.get_by_label("Members").fill(f"{ANN}\nnobody@example.org")
        page.get_by_role("button", name="Add", exact=True).click()
        expect(page.get_by_text("The group is there.")).to_be_visible()
        expect(page.get_by_text("not there")).to_be_visible()
        page.get_by_role("button", name="Remove nobody@example.org").click()
        expect(page.get_by_text("The group is changed.")).to_be_visible()
        page.locator("select[name=posting]").select_option("members")
        page.locator("input[name=owners]").fill(BOB)
        page.get_by_role("button", name="Save").click()
        expect(page.locator("select[name=posting]")).to_have_value("members")
        expect(page.locator("input[name=owners]")).to_have_value(BOB)
        picture(page, "group")
        with visit(browser) as bob:
            sign_in(bob, server, BOB, path="/account")
            bob.get_by_role("link", name="team@example.org").click()
            bob.get_by_label("New members").fill(EVE)
            bob.get_by_role("button", name="Add", exact=True).click()
            expect(bob.get_by_role("rowheader", name=EVE)).to_be_visible()
        expect(page.get_by_role("rowheader", name=EVE)).to_be_visible()  # which nobody has loaded anew
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        server.send(letter("from a stranger"), "team@example.org")
    assert server.wait_for("group-changed", by=BOB)["added"] == [EVE]


def test_aliases(server: Postroad, browser: Browser) -> None:
    with visit(browser) as page:
        sign_in(page, server, ANN, path="/admin/aliases")
        page.get_by_text("Add an alias").click()
        page.get_by_label("Name").fill("info")
        page.locator("details.card").get_by_label("Stands for").fill(f"{BOB}, me@far.test")
        page.get_by_role("button", name="Add", exact=True).click()
        expect(page.get_by_text("The alias is there.")).to_be_visible()
        expect(page.get_by_text("elsewhere", exact=True)).to_be_visible()
        page.get_by_label("Change info@example.org").click()
        page.get_by_role("table").get_by_label("Stands for").fill(BOB)
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_text("The alias is changed.")).to_be_visible()
        picture(page, "aliases")
        page.get_by_label("Change info@example.org").click()
        page.get_by_role("button", name="Remove the alias").click()
        expect(page.get_by_text("There is no alias yet.")).to_be_visible()


def test_two_people_work_in_a_shared_mailbox(server: Postroad, browser: Browser) -> None:
    with visit(browser) as page:
        sign_in(page, server, ANN, path="/admin/shared")
        page.get_by_text("Add a shared mailbox").click()
        page.get_by_label("Name").fill("sales")
        page.get_by_role("button", name="Add", exact=True).click()
        for who, level in ((BOB, "write"), (EVE, "read")):
            page.get_by_label("Account or group").fill(who)
            page.get_by_label("In its folders").select_option(level)
            page.get_by_label("In From").select_option("as" if level == "write" else "behalf")
            page.get_by_role("button", name="Save").click()
            expect(page.get_by_role("rowheader", name=who)).to_be_visible()
        picture(page, "account-people")
        went(page, "Shared mailboxes")
        expect(page.get_by_text("reads and files, sends in its name")).to_be_visible()
        expect(page.get_by_text("reads, sends on its behalf")).to_be_visible()
        server.send(letter("an order"), "sales@example.org")
        with visit(browser) as bob, visit(browser) as eve:
            for one, who in ((bob, BOB), (eve, EVE)):
                sign_in(one, server, who, path="/mail/")
                one.locator("nav a[data-box]").filter(has_text="INBOX").last.click()
                expect(one.locator("#lines .subject").first).to_have_text("an order")
            bob.click(".write")
            loaded(bob, "#sheet")
            expect(bob.locator("select[name=sender]")).to_contain_text("sales@example.org")
            picture(bob, "shared-mailbox")
            eve.click(".write")
            loaded(eve, "#sheet")
            eve.locator("select[name=sender]").select_option("sales@example.org")
            eve.get_by_label("To", exact=True).fill(BOB)
            eve.get_by_label("Subject").fill("for the office")
            eve.get_by_role("button", name="Send", exact=True).click()
            loaded(eve, "#lines")  # which sends it
            bob.goto(site(server, "/mail/"))
            bob.locator("#lines").get_by_text("for the office").click()
            expect(bob.locator(".fields")).to_contain_text("Sent by")
            expect(bob.locator(".fields")).to_contain_text("eve@example.org")
            picture(bob, "on-behalf")


def test_an_account_from_its_invitation_to_its_suspension(server: Postroad, browser: Browser) -> None:
    with visit(browser) as page:
        sign_in(page, server, ANN, path="/admin/account?address=bob@example.org")
        page.get_by_role("button", name="Make an invitation").click()
        link = page.locator("#invitation").inner_text()
        with visit(browser, viewport=PHONE) as bob:
            bob.goto(link)
            bob.get_by_label("New password").fill("a password of my own")
            bob.get_by_label("The new one again").fill("a password of my own")
            picture(bob, "phone-invitation")
            bob.get_by_role("button", name="Set the password and go on").click()
            bob.wait_for_url("**/mail/**")
            page.get_by_text("Make one").click()
            page.get_by_role("textbox", name="Name").fill("phone")
            page.get_by_role("button", name="Make an app password").click()
            assert len(page.locator("#app-password").inner_text()) > 15
            page.get_by_role("button", name="Take back phone").click()
            expect(page.get_by_text("The app password is good for nothing any more.")).to_be_visible()
            page.get_by_role("button", name="Suspend").click()
            expect(page.get_by_text("The account is suspended since")).to_be_visible()
            picture(page, "account-suspended")
            bob.goto(site(server, "/account"))
            expect(bob.get_by_role("heading", name="Sign in")).to_be_visible()
        with visit(browser, expected="404") as other:
            other.goto(link)
            expect(other.get_by_role("heading", name="This link is of no use")).to_be_visible()


def test_many_accounts_come_by_a_file_and_are_changed_at_once(
    server: Postroad, browser: Browser, tmp_path: Path
) -> None:
    with visit(browser, expected="422") as page:
        sign_in(page, server, ANN, path="/admin/accounts")
        page.get_by_role("link", name="Import accounts from a CSV file").click()
        file = tmp_path / "people.csv"
        file.write_text("address,groups\nkim@example.org,\nlee@example.org,nobody@example.org\nno address,\n")
        page.locator("input[type=file]").set_input_files(file)
        page.get_by_role("button", name="Look it through").click()
        expect(page.get_by_text("There are 2 mistakes in the file")).to_be_visible()
        picture(page, "import-mistakes")
        file.write_text("address,size\n" + "".join(f"user{number}@example.org,1 GB\n" for number in range(25)))
        page.locator("input[type=file]").set_input_files(file)
        page.get_by_role("button", name="Look it through").click()
        expect(page.get_by_text("25 accounts")).to_be_visible()
        page.get_by_role("button", name="Import").click()
        expect(page.get_by_text("It is done.")).to_be_visible()
        picture(page, "import-done")
        with page.expect_download() as kept:
            page.get_by_role("link", name="Download what they get").click()
        rows = list(csv.reader(Path(kept.value.path()).read_text().splitlines()))
        assert rows[0] == ["address", "link"]
        assert len(rows) == 26
        page.get_by_role("button", name="I have it: delete it here").click()
        page.goto(site(server, "/admin/accounts?q=user1"))
        page.get_by_text("With those that are chosen").click()
        page.get_by_role("button", name="Suspend").click()
        expect(page.get_by_text("11 accounts")).to_be_visible()
        page.get_by_role("button", name="Suspend").click()
        expect(page.get_by_text("It was done to 11 accounts.")).to_be_visible()
        picture(page, "accounts-many")
        with visit(browser) as guest:
            guest.goto(rows[1][1])
            expect(guest.get_by_label("Address")).to_have_value("user0@example.org")


def test_two_browsers_see_each_others_changes(server: Postroad, browser: Browser) -> None:
    """The time that it takes is printed, and fails nothing."""
    took = []
    with visit(browser) as ann, visit(browser) as other:
        sign_in(ann, server, ANN, path="/admin/accounts")
        sign_in(other, server, ANN, path="/admin/accounts")
        expect(other.get_by_role("link", name=BOB)).to_be_visible()
        for number in range(5):
            if not ann.get_by_label("Name").is_visible():
                ann.get_by_text("Add an account").click()
            ann.get_by_label("Name").fill(f"kim{number}")
            ann.get_by_label("Password").fill("a good password")
            ann.get_by_role("button", name="Add", exact=True).click()
            ann.get_by_text("The account is there.").wait_for()
            began = time.monotonic()
            expect(other.get_by_role("link", name=f"kim{number}@example.org")).to_be_visible()
            took.append(time.monotonic() - began)
            ann.goto(site(server, "/admin/accounts"))
        other.goto(site(server, "/admin/changes"))
        assert server.command("domain", "add", "new.example").returncode == 0
        expect(other.get_by_text("Domain added").last).to_be_visible()
        expect(other.get_by_role("cell", name="new.example").first).to_be_visible()
        # What somebody writes stays under their hands.
        other.goto(site(server, f"/admin/account?address={BOB}"))
        other.get_by_label("Size").fill("7 GB")
        ann.goto(site(server, f"/admin/account?address={BOB}"))
        ann.get_by_role("button", name="Make an invitation").click()
        other.wait_for_timeout(2000)
        expect(other.get_by_label("Size")).to_have_value("7 GB")
    print("seconds until the other browser showed it:", ", ".join(f"{one:.2f}" for one in took))


def test_who_will_be_full_and_who_has_changed_what(server: Postroad, browser: Browser) -> None:
    with visit(browser, locale="vi") as page:
        enter(page, server, ANN)
        page.goto(site(server, "/admin/quotas"))
        expect(page.get_by_text("Sẽ đầy trong vòng 30 ngày nếu cứ tiếp tục như vậy")).to_be_visible()
        page.locator("input[name=name]").fill(BOB)
        page.locator("input[name=size]").fill("2 GB")
        page.locator("form[method=post][action='/admin/quotas'] button").click()
        expect(page.get_by_text("Hạn mức đã được đặt.")).to_be_visible()
        picture(page, "quotas-vi")
        page.goto(site(server, "/admin/changes?kind=quota-set"))
        expect(page.get_by_role("cell", name=re.compile(BOB))).to_be_visible()
        picture(page, "changes-vi")
