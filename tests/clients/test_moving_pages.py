"""Moving in, as an administrator does it in a browser: from a Dovecot that is there."""

import imaplib
import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.dovecot import dovecot
from tests.support.pages import PHONE, Look, enter, faults, shot, sign_in, site, unfold, visit
from tests.support.programs import needs
from tests.support.reading import append, good
from tests.support.server import PASSWORD, PATIENCE, Postroad, letter, until

pytestmark = pytest.mark.client

ANN, BOB = "ann@example.org", "bob@example.org"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Postroad]:
    server = Postroad(tmp_path, {"listen": {"web": "127.0.0.1:0"}}).account(ANN, BOB)
    assert server.command("account", "role", "add", ANN, "owner").returncode == 0
    with server:
        yield server


def begin(page: Page, port: int, password: str = PASSWORD) -> None:
    page.get_by_label("Into the account").fill(BOB)
    page.get_by_label("Other server").first.fill(f"imap://127.0.0.1:{port}")
    page.get_by_label("Password there").fill(password)
    page.get_by_role("button", name="Begin").first.click()


@needs("dovecot")
def test_mail_moves_in(server: Postroad, browser: Browser) -> None:
    with dovecot(BOB) as source, visit(browser) as page:
        with imaplib.IMAP4("127.0.0.1", source.imap, timeout=PATIENCE) as there:
            there.login(BOB, PASSWORD)
            for number in range(20):
                append(there, "INBOX", letter(f"{number}"))
            good(there.create("Work"))
            append(there, "Work", letter("work"))
        sign_in(page, server, ANN, path="/admin/moving")
        page.get_by_role("link", name="Moving in").click()
        begin(page, source.imap, "a wrong one")
        expect(page.get_by_text("the other server refuses")).to_be_visible()
        begin(page, source.imap)
        state = page.locator(".move .badge")
        expect(state).to_have_text("has ended")
        expect(page.get_by_text("21 messages")).to_be_visible()
        page.get_by_text("Where the folders go").click()
        expect(page.get_by_text("Work → Work")).to_be_visible()
        shot(page, "moving-in")
        page.emulate_media(color_scheme="dark")
        shot(page, "moving-in-dark")
        page.set_viewport_size(PHONE)
        shot(page, "moving-in-phone")
        page.emulate_media(color_scheme="light")
        page.get_by_role("button", name="Take off the list").click()
        expect(state).to_have_count(0)
    assert len(server.mailbox(BOB, lines=0)) == 20


def test_another_browser_shows_how_far_it_is(server: Postroad, browser: Browser) -> None:
    """The time that it takes is printed, and fails nothing."""
    with visit(browser) as page, visit(browser) as other, visit(browser) as owns:
        sign_in(page, server, ANN, path="/admin/moving")
        sign_in(other, server, ANN, path="/admin/moving")
        sign_in(owns, server, BOB, path="/account/moving")
        begin(page, 9)  # where nobody answers
        page.get_by_text("1 account has begun.").wait_for()
        began = time.monotonic()
        for one in (other, owns):
            expect(one.locator(".move .badge")).to_have_text("waits for the other server")
        print(f"moving in: {time.monotonic() - began:.2f} s until two others showed it")
        other.get_by_role("button", name="Pause").click()
        for one in (page, owns):
            expect(one.locator(".move .badge")).to_have_text("is paused")
        owns.get_by_role("button", name="Take off the list").click()
        for one in (page, other, owns):
            expect(one.locator(".move")).to_have_count(0)


@needs("node", "npm")
@pytest.mark.parametrize("look", [Look("light", PHONE, "en"), Look("dark", PHONE, "vi")], ids=["light", "dark"])
def test_axe_finds_nothing_here(server: Postroad, browser: Browser, axe: str, look: Look) -> None:
    with visit(browser, **look.options) as page:
        enter(page, server, ANN)
        page.goto(site(server, "/admin/moving"))
        page.locator("input[name=address]").fill(BOB)
        page.locator("input[name=server]").first.fill("imap://127.0.0.1:9")
        page.locator("input[name=password]").fill(PASSWORD)
        page.locator("form[action='/admin/moving'] button").click()
        expect(page.locator(".move")).to_have_count(1)
        unfold(page)
        assert faults(page, axe) == []
        shot(page, f"moving-in-{look}")


def test_whichever_process_is_asked_shows_what_is_moved(server: Postroad) -> None:
    assert server.stop() == 0
    server.change({"listen": {"web": f"127.0.0.1:{server.ports['web']}"}, "web": {"processes": 2}})
    server.start()
    until(lambda: {"web", "web-1"} <= server.workers().keys(), "two web processes")
    headers = {"accept": "text/html", "connection": "close"}  # each asks by a connection of its own
    with httpx2.Client(base_url=site(server), timeout=PATIENCE, headers=headers) as client:
        assert client.post("/sign-in", data={"address": ANN, "password": PASSWORD}).status_code == 303
        token = re.search(r'name="csrf" content="([^"]+)"', client.get("/admin/moving").text)
        assert token is not None
        values = {"csrf": token[1], "address": BOB, "server": "imap://127.0.0.1:9", "password": "of old"}
        assert client.post("/admin/moving", data=values).headers["location"] == "/admin/moving?begun=1"
        shown = [client.get("/admin/moving").text.count("from imap://127.0.0.1:9") for _ in range(12)]
    assert shown == [1] * 12
