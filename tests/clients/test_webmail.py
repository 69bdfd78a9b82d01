"""Webmail as people use it: a real server, real browsers."""

import base64
import re
import time
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.support.chromium import hear, patient, picture
from tests.support.clock import Clock
from tests.support.pages import SETTINGS, loaded, site
from tests.support.programs import needs
from tests.support.server import PASSWORD, Postroad, until

pytestmark = pytest.mark.client

ANN, BOB = "ann@example.org", "bob@example.org"

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d4944415478da6364f8cf500f00030601805a34"
    "7d6b0000000049454e44ae426082"
)


_LOCAL = "at => new Date((at - 60 * new Date(1000 * at).getTimezoneOffset()) * 1000).toISOString().slice(0, 16)"
"""A Unix time as a field for local time takes it."""


@pytest.fixture
def server(tmp_path):
    with Postroad(tmp_path, SETTINGS).account(ANN, BOB) as running:
        yield running


def letter(subject: str, text: str = "Hello", more: str = "") -> bytes:
    return (
        f"From: Carl <carl@example.net>\r\nTo: Ann <{ANN}>\r\nSubject: {subject}\r\n"
        f"Message-ID: <{subject.replace(' ', '-')}@example.net>\r\n{more}\r\n{text}\r\n"
    ).encode()


def sign_in(browser, server: Postroad, address: str, **options) -> Page:
    context = browser.new_context(**options)
    page = patient(context.new_page())
    page.mistakes = []  # type: ignore[attr-defined]
    hear(page, page.mistakes)  # type: ignore[attr-defined]
    page.goto(site(server, "/mail/"))
    page.fill('input[name="address"]', address)
    page.fill('input[name="password"]', PASSWORD)
    page.press('input[name="password"]', "Enter")
    loaded(page, "#lines")
    return page


def begin_letter(page: Page, to: str = "", subject: str = "") -> None:
    page.click(".write")
    loaded(page, "#sheet")
    if to:
        page.fill('input[name="to"]', to)
        page.fill('input[name="subject"]', subject)


def send(page: Page) -> None:
    """What is in the editor, which leads to the list."""
    page.click('button[type="submit"]')
    loaded(page, "#lines")


def subjects(page: Page) -> list[str]:
    return page.locator("#lines .subject").all_inner_texts()


def test_two_people_write_to_each_other(server, browser):
    ann, bob = sign_in(browser, server, ANN), sign_in(browser, server, BOB)
    begin_letter(ann, BOB, "Báo cáo tháng mười")
    ann.click("#sheet")
    ann.keyboard.press("Control+Home")
    ann.keyboard.type("Here it is, Bob.")
    ann.set_input_files("#files", {"name": "report.txt", "mimeType": "text/plain", "buffer": b"numbers"})
    expect(ann.locator("#attached li")).to_have_count(1)
    picture(ann, "write")
    send(ann)
    expect(ann.locator("#notice")).to_contain_text("Sen")
    expect(bob.locator("#lines .subject")).to_have_text(["Báo cáo tháng mười"])
    expect(ann.locator("#notice")).to_contain_text("Sent")
    bob.click("#lines .line")
    expect(bob.locator(".message h1")).to_have_text("Báo cáo tháng mười")
    expect(bob.frame_locator("iframe.letter").locator("body")).to_contain_text("Here it is, Bob.")
    with bob.expect_download() as kept:
        bob.click(".files a")
    assert Path(kept.value.path()).read_bytes() == b"numbers"
    picture(bob, "read")
    bob.keyboard.press("r")
    loaded(bob, "#sheet")
    expect(bob.locator('input[name="to"]')).to_have_value(ANN)
    expect(bob.locator('input[name="subject"]')).to_have_value("Re: Báo cáo tháng mười")
    bob.click("#sheet")
    bob.keyboard.press("Control+Home")
    bob.keyboard.type("Thanks!")
    bob.click('button[type="submit"]')
    expect(ann.locator("#lines .subject")).to_have_text(["Re: Báo cáo tháng mười"])
    ann.locator('[data-use="\\\\Sent"]').click()
    expect(ann.locator("#lines .subject")).to_have_text(["Báo cáo tháng mười"])
    ann.locator("#lines .line").click()
    expect(ann.locator(".fates")).to_contain_text(f"delivered {BOB}")
    begin_letter(ann)
    ann.type('input[name="to"]', "bo")
    expect(ann.locator(".people-list li:visible")).to_have_text([BOB])
    ann.keyboard.press("Enter")
    expect(ann.locator('input[name="to"]')).to_have_value(f"{BOB}, ")
    ann.fill('input[name="subject"]', "one more")
    expect(ann.locator("#state")).to_have_text("Kept in Drafts")
    assert ann.mistakes + bob.mistakes == []
    (reply,) = server.mail_for(ANN)
    (first,) = server.mail_for(BOB)
    identity = re.search(rb"Message-ID: (<[^>]+>)", first)
    assert identity
    assert b"In-Reply-To: " + identity[1] in reply
    assert b"multipart/mixed" in first
    assert b"Bcc" not in first


def test_sending_is_undone_and_the_letter_is_there_again(server, browser):
    ann = sign_in(browser, server, ANN)
    begin_letter(ann, BOB, "Too early")
    ann.click("#sheet")
    ann.keyboard.type("I should not say this")
    ann.click('button[type="submit"]')
    ann.wait_for_selector("#undo:visible")
    ann.click("#undo")
    loaded(ann, "#sheet")
    expect(ann.locator('input[name="subject"]')).to_have_value("Too early")
    expect(ann.locator("#sheet")).to_contain_text("I should not say this")
    ann.once("dialog", lambda dialog: dialog.accept())
    ann.click("#discard")
    loaded(ann, "#lines")
    ann.locator('[data-use="\\\\Drafts"]').click()
    expect(ann.locator("#lines .nothing")).to_be_visible()
    assert ann.mistakes == []
    assert server.mailbox(BOB) == []


@needs("faketime")
def test_a_letter_is_sent_at_the_time_that_was_chosen(tmp_path, browser):
    clock = Clock(tmp_path / "clock")
    server = Postroad(tmp_path, SETTINGS).account(ANN, BOB)
    server.environment = dict(clock.environment)
    with server:
        ann = sign_in(browser, server, ANN)
        begin_letter(ann, BOB, "Not before")
        ann.click("#sheet")
        ann.keyboard.type("In an hour")
        ann.click("summary:has-text('Later')")
        at = (time.time() + 3600) // 60 * 60  # the page takes whole minutes, by the clock of the browser
        ann.fill("#at", ann.evaluate(_LOCAL, at))
        send(ann)
        server.wait_for("accepted", **{"from": ANN})
        assert server.mailbox(BOB) == []
        clock.set("+1h")
        (come,) = until(lambda: server.mailbox(BOB), "the letter at its time")
        assert b"Subject: Not before" in come
        assert ann.mistakes == []


def test_a_picture_that_is_pasted_stands_in_the_letter(server, browser):
    ann = sign_in(browser, server, ANN)
    begin_letter(ann, BOB, "A pixel")
    ann.evaluate(
        """octets => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(octets)], "dot.png", { type: "image/png" }));
            const pasted = new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true });
            document.querySelector("#sheet").dispatchEvent(pasted);
        }""",
        list(PIXEL),
    )
    expect(ann.locator("#sheet img")).to_have_count(1)
    send(ann)
    (come,) = until(lambda: server.mailbox(BOB), "the letter")
    parts = {part.get_content_type(): part for part in message_from_bytes(come, policy=default).walk()}
    identity = parts["image/png"]["Content-ID"].strip("<>")
    assert f'src="cid:{identity}"' in parts["text/html"].get_content()
    assert parts["image/png"].get_content() == PIXEL
    assert ann.mistakes == []


def test_two_browsers_of_one_person_see_each_others_changes(server, browser):
    server.send(letter("one"), ANN)
    server.send(letter("two"), ANN)
    here, there = sign_in(browser, server, ANN), sign_in(browser, server, ANN)
    for page in (here, there):
        expect(page.locator("#lines .line")).to_have_count(2)
    here.keyboard.press("j")
    here.keyboard.press("s")
    expect(there.locator("#lines .line.flagged")).to_have_count(1)
    here.keyboard.press("e")
    expect(there.locator("#lines .line")).to_have_count(1)
    here.keyboard.press("z")
    expect(there.locator("#lines .line")).to_have_count(2)
    server.send(letter("three"), ANN)
    for page in (here, there):
        expect(page.locator("#lines .line")).to_have_count(3)
    there.fill("#search input", "subject:three")
    there.press("#search input", "Enter")
    expect(there.locator("#lines .subject")).to_have_text(["three"])
    assert here.mistakes + there.mistakes == []


def test_a_letter_with_pictures_asks_nobody_until_that_is_wanted(server, browser):
    html = '<p>Dear Ann <img src="cid:logo"><img src="https://elsewhere.test/p.png"></p>'
    body = (
        "--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + html + "\r\n--b\r\nContent-Type: image/png\r\n"
        "Content-ID: <logo>\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + base64.b64encode(PIXEL).decode()
        + "\r\n--b--"
    )
    server.send(letter("pictures", body, "MIME-Version: 1.0\r\nContent-Type: multipart/related; boundary=b\r\n"), ANN)
    page = sign_in(browser, server, ANN)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.click("#lines .line")
    frame = page.frame_locator("iframe.letter")
    expect(frame.locator("p")).to_contain_text("Dear Ann")
    pixels = frame.locator("img").first
    expect(pixels).to_have_js_property("naturalWidth", 1)
    expect(page.locator(".remote")).to_be_visible()
    page.click(".remote button")
    expect(page.locator(".remote")).to_have_count(0)
    page.wait_for_load_state("networkidle")
    assert not [address for address in asked if "elsewhere" in address]
    assert len([address for address in asked if "/mail/seen/" in address]) >= 3


def test_pages_in_two_languages_on_small_and_wide_screens_light_and_dark(server, browser):
    for number in range(30):
        server.send(letter(f"A letter about matter {number}", "What is to be said of it. " * 10), ANN)
    until(lambda: len(server.all("delivered", to=ANN)) == 30, "thirty letters")
    server.send(letter("An urgent one", "Please read"), ANN)
    until(lambda: len(server.all("delivered", to=ANN)) == 31, "the urgent one")
    for language, width, scheme in (
        ("en", 1400, "light"),
        ("vi", 1400, "dark"),
        ("en", 390, "light"),
        ("vi", 390, "dark"),
    ):
        page = sign_in(
            browser, server, ANN, locale=language, viewport={"width": width, "height": 800}, color_scheme=scheme
        )
        expect(page.locator("#lines .line").first).to_contain_text("An urgent one")
        picture(page, f"list-{language}-{width}-{scheme}")
        page.locator("#lines .line").first.click()
        expect(page.locator(".message h1")).to_be_visible()
        expect(page.frame_locator("iframe.letter").locator("body")).to_contain_text("Please")
        picture(page, f"message-{language}-{width}-{scheme}")
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width
        page.goto(f"http://localhost:{server.ports['web']}/mail/write")
        picture(page, f"write-{language}-{width}-{scheme}")
        assert page.mistakes == []
        page.context.close()
