"""The pages as people use them: a real server, real Chromium. POSTROAD_PICTURES names a folder to keep pictures in."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.pages import (
    PHONE,
    SETTINGS,
    WIDE,
    Look,
    enter,
    faults,
    in_each_look,
    loaded,
    shot,
    sign_in,
    site,
    unfold,
    visit,
)
from tests.support.programs import needs
from tests.support.server import PASSWORD, Postroad, free_port, letter, until

pytestmark = pytest.mark.client

ANN = "ann@example.org"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Postroad]:
    server = Postroad(tmp_path, SETTINGS).account(ANN)
    assert server.command("account", "role", "add", ANN, "owner").stdout == f"{ANN} has the roles owner.\n"
    with server:
        yield server


def send(page: Page, text: str, **fields: str) -> None:
    """Write into the editor that is open."""
    loaded(page, "#sheet")
    for name, value in fields.items():
        page.fill(f'input[name="{name}"]', value)
    page.click("#sheet")
    page.keyboard.press("Control+Home")
    page.keyboard.type(text)


def is_sent(page: Page) -> None:
    page.click('button[type="submit"]')
    loaded(page, "#lines")
    expect(page.locator("#notice")).to_contain_text("Sent")


def test_the_whole_of_a_first_day(server: Postroad, browser: Browser) -> None:
    """An administrator adds a domain and a colleague, who signs in and writes; both read, and the way is explained."""
    with visit(browser) as page:
        page.goto(site(server))
        shot(page, "sign-in")
        sign_in(page, server, ANN)
        expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        expect(page.locator("#live")).to_have_text("live")
        expect(page.get_by_text("The server is ready for mail.")).to_be_visible()
        shot(page, "overview")

        adds_a_domain(page)
        made = adds_a_colleague(page)
        with visit(browser, viewport=PHONE) as colleague:
            sign_in(colleague, server, "carl@firm.example", made)
            expect(colleague.get_by_role("heading", name="Accounts")).to_be_visible()
            assert ANN not in colleague.get_by_role("table").inner_text()
            shot(colleague, "phone-accounts")
            colleague.goto(site(server, "/account"))
            colleague.get_by_label("Present password").first.fill(made)
            colleague.get_by_label("New password").fill("a password of my own")
            colleague.get_by_label("The new one again").fill("a password of my own")
            colleague.get_by_role("button", name="Change the password").click()
            colleague.wait_for_load_state()
            shot(colleague, "phone-account")
            they_write_to_each_other(server, page, colleague)
            explained(server, page)
            assert server.command("account", "passwd", "carl@firm.example", "--password-stdin", stdin="x" * 9)
            colleague.goto(site(server, "/account"))
            expect(colleague.get_by_role("heading", name="Sign in")).to_be_visible()
    assert server.wait_for("domain-added", domain="firm.example")["by"] == ANN
    assert not [line for line in server.noise if made in line]


def adds_a_domain(page: Page) -> None:
    page.get_by_role("link", name="Domains").click()
    page.get_by_label("Name").fill("firm.example")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_text("The domain is local now.")).to_be_visible()
    firm = page.locator("section", has=page.get_by_role("heading", name="firm.example"))
    firm.locator("summary").click()
    firm.get_by_label("Size of all together").fill("50 GB")
    firm.get_by_role("button", name="Set the quota").click()
    expect(page.get_by_text("The quota is set.")).to_be_visible()
    shot(page, "domains")


def adds_a_colleague(page: Page) -> str:
    """With a quota and a role; the password that was made."""
    page.get_by_role("link", name="Accounts", exact=True).click()
    page.get_by_text("Add an account").click()
    page.get_by_label("Name").fill("carl")
    page.locator("details select").select_option("firm.example")
    page.get_by_role("button", name="Add", exact=True).click()
    made = page.locator("#made").inner_text()
    shot(page, "account-added")
    page.get_by_role("link", name="carl@firm.example").click()
    page.get_by_label("Size").fill("2 GB")
    page.get_by_role("button", name="Set the quota").click()
    expect(page.get_by_text("The quota is set.")).to_be_visible()
    page.get_by_label("Role").select_option("administrator@firm.example")
    page.get_by_role("button", name="Give").click()
    expect(page.get_by_role("listitem").filter(has_text="administrator@firm.example")).to_be_visible()
    shot(page, "account")
    return made


def they_write_to_each_other(server: Postroad, page: Page, colleague: Page) -> None:
    """The colleague to the administrator, with a file; and back."""
    colleague.set_viewport_size(WIDE)
    colleague.goto(site(server, "/mail/"))
    colleague.click(".write")
    send(colleague, "Here are the numbers.", to=ANN, subject="My first letter")
    colleague.set_input_files("#files", {"name": "numbers.txt", "mimeType": "text/plain", "buffer": b"1, 2, 3"})
    expect(colleague.locator("#attached li")).to_have_count(1)
    is_sent(colleague)
    page.goto(site(server, "/mail/"))
    expect(page.locator("#lines .subject")).to_have_text(["My first letter"])
    page.click("#lines .line")
    expect(page.frame_locator("iframe.letter").locator("body")).to_contain_text("Here are the numbers.")
    with page.expect_download() as kept:
        page.click(".files a")
    assert Path(kept.value.path()).read_bytes() == b"1, 2, 3"
    page.keyboard.press("r")
    expect(page.locator('input[name="to"]')).to_have_value("carl@firm.example")
    send(page, "Thank you, and welcome!")
    is_sent(page)
    expect(colleague.locator("#lines .subject")).to_have_text(["Re: My first letter"])
    colleague.click("#lines .line")
    expect(colleague.frame_locator("iframe.letter").locator("body")).to_contain_text("Thank you, and welcome!")
    shot(colleague, "first-day-reply")


def explained(server: Postroad, page: Page) -> None:
    """The administrator finds the way of the colleague's letter."""
    page.goto(site(server, "/admin/message"))
    page.get_by_role("searchbox").fill("carl@firm.example")
    page.get_by_role("button", name="Explain").click()
    row = page.get_by_role("row").filter(has_text="carl@firm.example").filter(has=page.get_by_role("link"))

    def is_noted() -> bool:
        page.reload()
        return row.count() > 0

    until(is_noted, "the history to have the letters")
    row.last.get_by_role("link").click()
    expect(page.get_by_text("accepted in the lane outbound")).to_be_visible()

    def is_told() -> bool:
        page.reload()
        return page.get_by_text("INBOX; account").count() > 0

    until(is_told, "the history to have it")
    shot(page, "first-day-explained")


def test_the_pipeline_is_drawn_as_it_runs(server: Postroad, browser: Browser) -> None:
    with visit(browser) as page:
        sign_in(page, server, ANN, path="/admin/pipeline")
        expect(page.locator("#live")).to_have_text("live")
        drawn = page.locator("#picture svg")
        expect(drawn.get_by_text("queue", exact=True)).to_be_visible()

        def moves() -> bool:
            for number in range(5):
                server.send(letter(f"message {number}"), ANN)
            page.wait_for_timeout(500)
            return bool(re.search(r"[1-9][\d.]*/s", drawn.text_content() or ""))

        until(moves, "a rate at a link")
        expect(drawn.get_by_text(re.compile(r"delivered \d+ %"))).to_be_visible()
        shot(page, "pipeline")
        page.get_by_role("link", name="Messages").click()
        page.get_by_role("searchbox").fill(ANN)
        page.get_by_role("button", name="Explain").click()
        page.get_by_role("rowheader").first.get_by_role("link").click()
        expect(page.get_by_text("accepted in the lane inbound")).to_be_visible()

        def is_told() -> bool:
            page.reload()
            return page.get_by_text("INBOX; account").count() > 0

        until(is_told, "the history to have it")
        shot(page, "message")
        page.get_by_role("link", name="Overview").click()
        expect(page.locator("#chart polyline").first).to_be_attached()
        shot(page, "overview-busy")


def test_a_restart_ends_no_session_and_there_may_be_several_processes(server: Postroad, browser: Browser) -> None:
    with visit(browser, expected="ERR_CONNECTION_REFUSED") as page:  # while it starts anew
        port = free_port()
        server.change({"listen": {"web": f"127.0.0.1:{port}"}})
        assert server.reload().returncode == 0
        server.ports["web"] = port
        sign_in(page, server, ANN, path="/account")
        assert server.stop() == 0
        server.change({"web": {"processes": 2}})
        server.start()
        assert {"web", "web-1"} <= server.workers().keys()
        page.goto(site(server))
        expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        expect(page.locator("#live")).to_have_text("live")


def test_passkeys(server: Postroad, browser: Browser) -> None:
    with visit(browser, expected="status of 401") as page:
        devtools = page.context.new_cdp_session(page)
        devtools.send("WebAuthn.enable")
        device = devtools.send(
            "WebAuthn.addVirtualAuthenticator",
            {
                "options": {
                    "protocol": "ctap2", "transport": "internal", "hasResidentKey": True,
                    "hasUserVerification": True, "isUserVerified": True, "automaticPresenceSimulation": True,
                }
            },
        )  # fmt: skip
        sign_in(page, server, ANN, path="/account")
        page.get_by_label("Name of the device").fill("my laptop")
        page.locator("form[data-passkey] input[name=password]").fill(PASSWORD)
        page.get_by_role("button", name="Add a passkey").click()
        expect(page.get_by_role("rowheader", name="my laptop")).to_be_visible()
        shot(page, "account-page")
        page.get_by_role("button", name="Sign out").click()
        page.get_by_role("button", name="Sign in with a passkey").click()
        expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        assert server.wait_for("login", mechanism="PASSKEY")["ok"]
        (kept,) = devtools.send("WebAuthn.getCredentials", {"authenticatorId": device["authenticatorId"]})[
            "credentials"
        ]
        assert kept["signCount"] > 1

        # A copy of it, which signs with a number that was used already.
        devtools.send("WebAuthn.clearCredentials", {"authenticatorId": device["authenticatorId"]})
        devtools.send(
            "WebAuthn.addCredential",
            {"authenticatorId": device["authenticatorId"], "credential": kept | {"signCount": 0}},
        )
        page.get_by_role("button", name="Sign out").click()
        with page.expect_response("**/sign-in/passkey") as refused:
            page.get_by_role("button", name="Sign in with a passkey").click()
        assert refused.value.status == 401
        expect(page.get_by_text("This passkey is not known here.")).to_be_visible()

        sign_in(page, server, ANN, path="/account")
        page.get_by_role("button", name="Remove my laptop").click()
        expect(page.get_by_role("rowheader", name="my laptop")).to_have_count(0)


PAGES = (
    "/sign-in", "/account", "/account/people", "/admin/overview", "/admin/pipeline", "/admin/accounts",
    f"/admin/account?address={ANN}", "/admin/account?address=bob@example.org", "/admin/groups",
    "/admin/group?address=team@example.org", "/admin/aliases", "/admin/shared", "/admin/quotas", "/admin/import",
    "/admin/changes", "/admin/domains", "/admin/queue", "/admin/message?q=" + ANN, "/nothing",
)  # fmt: skip


@in_each_look
@needs("node", "npm")
def test_axe_finds_nothing(server: Postroad, browser: Browser, axe: str, look: Look) -> None:
    server.account("bob@example.org")
    for command in (
        ("group", "add", "team@example.org", "bob@example.org", "nobody@example.org", "me@far.test"),
        ("alias", "add", "info@example.org", "bob@example.org"), ("alias", "add", "@example.org", ANN),
        ("account", "app-password", "add", "bob@example.org", "phone"),
        ("mailbox", "share", "bob@example.org", "INBOX", ANN, "lrs"),
        ("quota", "set", "bob@example.org", "--size", "1GB"),
    ):  # fmt: skip
        assert server.command(*command).returncode == 0, command
    found = {}
    with visit(browser, expected="404", **look.options) as page:
        for path in PAGES:
            if path == PAGES[1]:
                enter(page, server, ANN)
            page.goto(site(server, path))
            unfold(page)
            if problems := faults(page, axe):
                found[path] = problems
            place = path.partition("?")[0].replace("/", "-")
            shot(page, f"{look}{place}")
    assert found == {}
