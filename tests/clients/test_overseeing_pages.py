"""What is overseen in a browser: parked mail, suppression, bans, shaping, DNS, certificates; with a real server."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.authorities import Server
from tests.support.pages import Look, enter, faults, in_each_look, shot, site, unfold, visit
from tests.support.pebble import pebble
from tests.support.programs import needs
from tests.support.server import Postroad
from tests.support.unbound import Told, unbound

pytestmark = pytest.mark.client

ANN, BOB = "ann@example.org", "bob@example.org"

PARK = """
'''Parks what offers watches.'''
from engine import Message, Quarantine

async def park(message: Message):
    if "watches" not in message.header("Subject"):
        return message
    return Quarantine("spam: it offers watches")
"""

HTML = (
    "From: Shop <shop@far.example>\r\nTo: ann@example.org\r\nSubject: Cheap watches, number {}\r\nMIME-Version: 1.0\r\n"
    "Content-Type: text/html; charset=utf-8\r\n\r\n<h1>Watches!</h1><script>parent.document.title = 'owned'</script>"
    "<img src=https://tracker.example/p.png><p>Buy <a href='https://evil.example/'>here</a>.</p>\r\n"
)


@pytest.fixture
def dns(tmp_path: Path) -> Iterator[str]:
    zone = {
        "@": {"MX": "10 mx.example.org.", "TXT": '"v=spf1 mx -all"'},
        "mx": {"A": "192.0.2.25"},
        "_dmarc": {"TXT": '"v=DMARC1; p=none"'},
    }
    with unbound(tmp_path / "dns", Told("example.org", zone, signed=False)) as address:
        yield address


@pytest.fixture
def server(tmp_path: Path, dns: str) -> Iterator[Postroad]:
    made = Server("mx.example.org")
    for name, octets in (("chain.pem", made.chain), ("key.pem", made.key)):
        (tmp_path / name).write_bytes(octets)
        (tmp_path / name).chmod(0o600)
    settings: dict[str, Any] = {
        "listen": {"web": "127.0.0.1:0"},
        "dns": {"servers": [dns]},
        "tls": {"certificate": str(tmp_path / "chain.pem"), "key": str(tmp_path / "key.pem")},
        "lane": {"inbound": {"stages": ["accept", "park", "queue", "route"]}},
        "stage": {"park": {"use": "filters/park.py"}},
    }
    server = Postroad(tmp_path, settings, park=PARK).account(ANN, BOB)
    assert server.command("account", "role", "add", ANN, "owner").returncode == 0
    assert server.command("dkim", "new", "example.org").returncode == 0
    with server:
        yield server


@contextmanager
def opened(browser: Browser, server: Postroad, path: str, **options: Any) -> Iterator[Page]:
    """A page for somebody who signs in."""
    with visit(browser, permissions=["clipboard-read", "clipboard-write"], **options) as page:
        enter(page, server, ANN, path)
        yield page


def park(server: Postroad, *numbers: int) -> None:
    for number in numbers:
        server.send(HTML.format(number).encode(), ANN, BOB)


def test_parked_mail_is_looked_at_let_go_and_deleted(server: Postroad, browser: Browser) -> None:
    park(server, 1, 2, 3)
    with opened(browser, server, "/admin/quarantine") as page:
        expect(page.get_by_role("rowheader")).to_have_count(3)
        shot(page, "quarantine")
        page.get_by_role("link", name="Cheap watches, number 1").click()
        expect(page.get_by_text("spam: it offers watches").first).to_be_visible()
        page.get_by_role("link", name="Show the text").click()
        letter = page.frame_locator("iframe")
        expect(letter.get_by_role("heading", name="Watches!")).to_be_visible()
        assert "owned" not in page.title()
        shot(page, "parked")
        page.get_by_role("button", name="Release").click()
        expect(page.get_by_text("1 message", exact=True)).to_be_visible()
        page.get_by_role("button", name="Release").click()
        expect(page.get_by_text("It was done to 1 message.")).to_be_visible()
        page.get_by_label("In the reason").fill("watches")
        page.get_by_role("button", name="Show", exact=True).click()
        page.wait_for_url("**reason=watches**")
        expect(page.get_by_role("rowheader")).to_have_count(2)
        page.get_by_role("button", name="Choose all that are shown").click()
        expect(page.locator("input[name=id]:checked")).to_have_count(2)
        page.get_by_role("button", name="Delete").click()
        expect(page.get_by_text("2 messages", exact=True)).to_be_visible()
        shot(page, "quarantine-order")
        page.get_by_role("checkbox").check()
        page.get_by_role("button", name="Delete").click()
        expect(page.get_by_text("It was done to 2 messages.")).to_be_visible()
        expect(page.get_by_text("No message is parked that is asked for.")).to_be_visible()
    assert server.wait_for("parked-read")["by"] == ANN
    assert server.wait_for("parked-decided", decision="release")["by"] == ANN
    assert server.wait_for("deleted")
    for address in (ANN, BOB):
        (delivered,) = server.mail_for(address)
        assert b"number 1" in delivered


def test_the_dns_is_asked_beside_the_page_and_a_record_is_copied(server: Postroad, browser: Browser) -> None:
    with opened(browser, server, "/admin/dns") as page:
        page.get_by_role("combobox", name="Domain").select_option("example.org")
        page.get_by_role("button", name="Look").click()
        expect(page.get_by_role("heading", name=re.compile(r"^MX good"))).to_be_visible()
        expect(page.get_by_role("heading", name=re.compile(r"^DKIM .* missing")).first).to_be_visible()
        shot(page, "dns")
        button = page.get_by_role("button", name=re.compile(r"Copy the value of .*-ed25519\._domainkey\.example\.org"))
        button.click()
        expect(button).to_have_text("Copied")
        assert page.evaluate("navigator.clipboard.readText()").startswith("v=DKIM1; k=ed25519; p=")


def test_a_key_that_somebody_else_removes_is_asked_for_no_more(server: Postroad, browser: Browser) -> None:
    with opened(browser, server, "/admin/dns?domain=example.org") as page:
        expect(page.get_by_role("heading", name=re.compile(r"^MX good"))).to_be_visible()
        selector = json.loads(server.command("dkim", "list", "--json").stdout)[0]["selector"]
        about = page.get_by_role("heading", name=f"DKIM {selector} missing")
        expect(page.locator("#lines")).to_contain_text(f"{selector}._domainkey")
        expect(about).to_be_visible()
        done = server.command("dkim", "remove", "example.org", selector, "--force")
        assert done.returncode == 0, done.stderr
        began = time.monotonic()
        expect(page.locator("#lines")).not_to_contain_text(f"{selector}._domainkey")
        print(f"DNS: {time.monotonic() - began:.2f} s after the command had ended")
        expect(about).to_have_count(0)


def test_what_one_does_another_sees_in_each_list(server: Postroad, browser: Browser) -> None:
    """The time that it takes is printed, and fails nothing."""
    deeds: list[tuple[str, tuple[str, ...], str]] = [
        ("/admin/bans", ("ban", "add", "198.51.100.7"), "198.51.100.7"),
        ("/admin/suppression", ("suppression", "add", "gone.example"), "gone.example"),
        ("/admin/shaping", ("shaping", "suspend", "mx.far.example"), "mx.far.example"),
        ("/admin/holds", ("hold", "add", BOB, "--reason", "A case"), BOB),
        ("/admin/audit", ("hold", "lift", BOB, "--reason", "Closed"), "A hold was lifted"),
    ]
    with opened(browser, server, "/admin/overview") as page:
        for path, words, shown in deeds:
            page.goto(site(server, path))
            expect(page.locator("[data-live]").get_by_text(shown)).to_have_count(0)
            done = server.command(*words)
            assert done.returncode == 0, done.stderr
            began = time.monotonic()
            expect(page.locator("[data-live]").get_by_text(shown).first).to_be_visible()
            print(f"{path}: {time.monotonic() - began:.2f} s after the command had ended")


def test_somebody_is_kept_out_and_let_in(server: Postroad, browser: Browser) -> None:
    with opened(browser, server, "/admin/bans") as page:
        page.get_by_label("An IP address, a network or an account").fill("203.0.113.0/30")
        page.get_by_label("For how long").select_option("86400")
        page.get_by_role("button", name="Keep out").click()
        expect(page.get_by_text("It is kept out from now on.")).to_be_visible()
        expect(page.get_by_text("4 bans")).to_be_visible()
        shot(page, "bans")
        assert "203.0.113.2/32" in server.command("ban", "list").stdout
        page.get_by_role("button", name="Lift: 203.0.113.2/32").click()
        expect(page.get_by_text("3 bans")).to_be_visible()
    assert server.wait_for("ban-lifted", who="203.0.113.2/32")["by"] == ANN


def test_the_suppression_list_takes_a_file_and_gives_one(server: Postroad, browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    file.write_text("entry,class\n" + "".join(f"u{number}@far.example,complaint\n" for number in range(5000)))
    with opened(browser, server, "/admin/suppression") as page:
        page.get_by_label("Addresses or domains").fill("gone.example")
        page.get_by_role("button", name="Add", exact=True).click()
        expect(page.get_by_text("1 entry was put onto the list.")).to_be_visible()
        expect(page.get_by_label("A file")).to_be_visible()  # the page takes it itself
        page.get_by_label("A file").set_input_files(file)
        page.get_by_role("button", name="Take in", exact=True).click()
        expect(page.get_by_text("5000 entries were put onto the list.")).to_be_visible()
        shot(page, "suppression")
        page.get_by_label("Is somebody on it? An address or a domain").fill("u4999@far.example")
        page.get_by_role("button", name="Show", exact=True).click()
        expect(page.get_by_text("is kept away by the entry u4999@far.example")).to_be_visible()
        page.get_by_role("checkbox", name="Choose gone.example").check()
        page.get_by_role("button", name="Take those that are chosen off the list", exact=True).click()
        expect(page.get_by_text("1 entry was taken off the list.")).to_be_visible()
        with page.expect_download() as download:
            page.get_by_role("link", name="All of it as CSV").click()
        assert len(Path(download.value.path()).read_text().splitlines()) == 5001
    assert server.command("suppression", "check", "u1@far.example").returncode == 1


def test_a_site_is_left_alone_and_a_domain_explained(server: Postroad, browser: Browser) -> None:
    with opened(browser, server, "/admin/shaping") as page:
        page.get_by_label("A site, or a pattern of its hosts or of domains").fill("*.far.example")
        page.get_by_role("button", name="Suspend").click()
        expect(page.get_by_role("rowheader", name="*.far.example")).to_be_visible()
        page.get_by_label("Domain", exact=True).fill("example.org")
        page.get_by_role("button", name="Explain").click()
        expect(page.get_by_role("rowheader", name="connect_timeout")).to_be_visible()
        shot(page, "shaping")
        page.get_by_role("button", name="End it: *.far.example").click()
        expect(page.get_by_text("The action has ended.")).to_be_visible()
    assert server.wait_for("shaping-action-lifted", site="*.far.example")["by"] == ANN


def test_certificates_are_told(server: Postroad, browser: Browser) -> None:
    with opened(browser, server, "/admin/certificates") as page:
        expect(page.get_by_role("heading", name=re.compile("mx.example.org"))).to_be_visible()
        expect(page.get_by_role("rowheader", name="smtp")).to_be_visible()
        shot(page, "certificates")


@needs("pebble", "pebble-challtestsrv")
def test_a_certificate_is_got_anew_when_somebody_asks(tmp_path: Path, browser: Browser) -> None:
    with pebble(tmp_path / "pebble") as authority:
        asked = authority.settings("dns-01", "mx.dns-01.example", "broken.example")
        server = Postroad(tmp_path, {**asked, "listen": {"web": "127.0.0.1:0"}}).account(ANN)
        assert server.command("account", "role", "add", ANN, "owner").returncode == 0
        with server:
            server.wait_for("certificate-issued", names=["mx.dns-01.example"])
            server.wait_for("certificate-failed", names=["broken.example"])
            with opened(browser, server, "/admin/certificates") as page:
                expect(page.get_by_text("It has failed 1 time.")).to_be_visible()
                expect(page.get_by_text("no such zone")).to_be_visible()
                shot(page, "certificates-acme")
                server.forget()
                with visit(browser) as other:
                    enter(other, server, ANN, "/admin/certificates")
                    page.get_by_role("button", name="Renew now: mx.dns-01.example").click()
                    expect(page.get_by_text("It is being got.")).to_be_visible()
                    server.wait_for("certificate-issued", names=["mx.dns-01.example"])
                    began = time.monotonic()
                    for one in (page, other):  # which nobody has loaded anew
                        mine = one.locator("section", has=one.get_by_role("heading", name="mx.dns-01.example"))
                        expect(mine.get_by_text("Got", exact=True)).to_be_visible()
                        expect(mine.get_by_text("is being got")).to_have_count(0)
                    print(f"certificate: {time.monotonic() - began:.2f} s after it was there")
            assert server.wait_for("certificate-wanted", certificate="mx.dns-01.example")["by"] == ANN


PAGES = (
    "/admin/quarantine", "/admin/dns?domain=example.org&look=1", "/admin/bans", "/admin/suppression",
    "/admin/shaping?domain=example.org", "/admin/certificates",
)  # fmt: skip


@in_each_look
@needs("node", "npm")
def test_axe_finds_nothing_where_things_are_overseen(server: Postroad, browser: Browser, axe: str, look: Look) -> None:
    park(server, 1)
    assert server.command("suppression", "add", "x@far.example", "--note", "550 no").returncode == 0
    assert server.command("shaping", "suspend", "*.far.example").returncode == 0
    found = {}
    with opened(browser, server, PAGES[0], **look.options) as page:
        letter = page.get_by_role("rowheader").get_by_role("link").get_attribute("href")
        for path in (*PAGES, f"{letter}&text=1"):
            page.goto(site(server, path))
            unfold(page)
            if problems := faults(page, axe, iframes=False):
                found[path] = problems
            shot(page, f"{look}{path.partition('?')[0].replace('/', '-')}")
    assert found == {}
