"""Oversight as people do it: a real server, real Chromium. POSTROAD_PICTURES names a folder to keep pictures in."""

import json
import poplib
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.pages import Look, enter, faults, in_each_look, shot, sign_in, site, unfold, visit
from tests.support.programs import needs
from tests.support.server import PASSWORD, Postroad, letter

pytestmark = pytest.mark.client

ANN, BOB = "ann@example.org", "bob@example.org"
AUDITOR, OWNER = "auditor@example.org", "owner@example.org"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Postroad]:
    server = Postroad(tmp_path, {"listen": {"web": "127.0.0.1:0"}, "oversight": {"notice": "end"}})
    server.account(ANN, BOB, AUDITOR, OWNER)
    server.command("account", "role", "add", AUDITOR, "auditor")
    server.command("account", "role", "add", OWNER, "owner")
    with server:
        server.send(letter("A secret offer", "The price is seven."), ANN)
        server.send(letter("Lunch", "At noon?"), ANN)
        server.send(letter("Offer for Bob"), BOB)
        server.mail_for(ANN, 2)
        server.mail_for(BOB, 1)
        yield server


def ask(page: Page, addresses: str, reason: str) -> None:
    page.get_by_role("textbox", name="Whose mail: addresses").fill(addresses)
    page.get_by_role("textbox", name="Reason").fill(reason)
    page.get_by_label("For how long").select_option("1d")
    page.get_by_role("button", name="Ask", exact=True).click()


def test_an_auditor_asks_an_owner_consents_and_mail_is_read(
    server: Postroad,
    browser: Browser,
    tmp_path: Path,
) -> None:
    with visit(browser, expected="422") as page, visit(browser) as other:
        sign_in(page, server, AUDITOR, path="/admin")
        expect(page.get_by_role("heading", name="Oversight")).to_be_visible()
        expect(page.get_by_role("link", name="Accounts")).to_have_count(0)
        ask(page, "nobody@example.org", "A leak")
        expect(page.get_by_role("alert")).to_have_text("There is no account nobody@example.org.")
        ask(page, ANN, "A leak of the offer")
        expect(page.get_by_text("has to consent before you may look")).to_be_visible()
        shot(page, "oversight-waiting")

        sign_in(other, server, OWNER, path="/admin/oversight")
        other.get_by_role("link", name="Grant ").click()
        expect(other.get_by_text("A leak of the offer")).to_be_visible()
        other.get_by_role("button", name="Consent").click()
        expect(other.get_by_text("is open")).to_be_visible()
        expect(other.get_by_role("searchbox")).to_have_count(0)

        page.reload()
        page.get_by_role("searchbox", name="Search this mail").fill("offer")
        page.get_by_role("button", name="Search", exact=True).click()
        expect(page.get_by_role("link", name="Offer for Bob")).to_have_count(0)
        shot(page, "oversight-found")
        page.get_by_role("link", name="A secret offer").click()
        expect(page.frame_locator("iframe.letter").get_by_text("The price is seven.")).to_be_visible()
        shot(page, "oversight-message")
        page.go_back()
        page.get_by_role("button", name="Export what was found").click()
        with page.expect_download() as download:
            page.get_by_role("link", name="manifest.json").click()
        download.value.save_as(tmp_path / "manifest.json")
        manifest = json.loads((tmp_path / "manifest.json").read_text())
        assert [one["folder"] for one in manifest["messages"]] == ["INBOX"]
        assert manifest["reason"] == "A leak of the offer"

        other.goto(site(server, "/admin/audit"))
        other.locator("summary", has_text="A message was opened").click()
        expect(other.get_by_text("Message-ID", exact=True)).to_be_visible()
        shot(other, "oversight-audit")
        other.get_by_role("button", name="Verify the log").click()
        expect(other.get_by_role("status")).to_contain_text("each as it was written")
        other.goto(site(server, "/admin/oversight"))
        other.get_by_role("link", name="Grant ").click()
        other.get_by_role("button", name="End it now").click()
        expect(other.get_by_text("over", exact=True)).to_be_visible()
        page.reload()
        expect(page.get_by_role("searchbox")).to_have_count(0)
    assert b"Somebody was allowed to read your mail" in b"".join(server.mail_for(ANN, 3))
    verified = server.command("audit", "verify")
    assert verified.returncode == 0, verified.stderr


def test_what_a_held_account_deletes_is_kept(server: Postroad, browser: Browser) -> None:
    with visit(browser) as page:
        sign_in(page, server, OWNER, path="/admin/holds")
        page.get_by_text("Begin a hold").click()
        page.get_by_role("textbox", name="Whose mail: addresses, groups, domains").fill(BOB)
        page.get_by_role("textbox", name="Reason").fill("A case")
        page.get_by_role("button", name="Hold", exact=True).click()
        expect(page.get_by_role("heading", name=BOB)).to_be_visible()
        client = poplib.POP3("127.0.0.1", server.ports["pop3"])
        client.user(BOB)
        client.pass_(PASSWORD)
        client.dele(1)
        client.quit()
        page.reload()
        expect(page.get_by_text("1 message", exact=False)).to_be_visible()
        shot(page, "oversight-holds")
        page.get_by_text("Lift the hold").first.click()
        page.get_by_role("textbox", name="Reason").last.fill("Closed")
        page.get_by_role("button", name="Lift the hold").click()
        expect(page.get_by_text("Nothing is held.")).to_be_visible()
        # What somebody else does by a command is there by itself, and who comes later is held too.
        assert server.command("hold", "add", "example.org", "--reason", "Another case").returncode == 0
        expect(page.get_by_role("heading", name="example.org")).to_be_visible()
        server.account("late@example.org")
        server.wait_for("audited", what="hold-widened", about=["late@example.org", "example.org"])


@in_each_look
@needs("node", "npm")
def test_axe_finds_nothing_in_oversight(server: Postroad, browser: Browser, axe: str, look: Look) -> None:
    found = {}
    with visit(browser) as page:
        sign_in(page, server, AUDITOR, path="/admin/oversight")
        ask(page, f"{ANN} {BOB}", "A leak of the offer to people who were not to have it")
        expect(page.get_by_text("has to consent before you may look")).to_be_visible()
        number = page.url.rpartition("=")[2]
    server.command("hold", "add", BOB, "--reason", "A case")
    server.command("oversight", "consent", number)
    with visit(browser, **look.options) as page:
        enter(page, server, AUDITOR)
        grant = f"/admin/oversight/grant?number={number}"
        paths = ["/admin/oversight", grant, f"{grant}&q=offer", "message", "/admin/holds", "/admin/audit"]
        for path in paths:
            if path == "message":
                page.locator("a[href*='/admin/oversight/message/']").first.click()
                page.wait_for_url("**/message/**")
            else:
                page.goto(site(server, path))
            unfold(page)
            if problems := faults(page, axe):
                found[path] = problems
            place = path.partition("?")[0].replace("/", "-") + ("-found" if "q=" in path else "")
            shot(page, f"{look}{place}")
    assert found == {}
