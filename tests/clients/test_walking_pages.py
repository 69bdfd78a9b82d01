"""The rest of what people do in the webmail, and administrators with the queue, as they do it in a browser."""

import re
from collections.abc import Iterator
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.chromium import picture
from tests.support.pages import PHONE, SETTINGS, enter, loaded, shot, sign_in, site, visit
from tests.support.server import Postroad, letter, until

pytestmark = pytest.mark.client

ANN, BOB = "ann@example.org", "bob@example.org"

INVITATION = (
    f"From: {BOB}\r\nTo: {ANN}\r\nSubject: Our meeting\r\nMIME-Version: 1.0\r\n"
    'Content-Type: text/calendar; charset="utf-8"; method="REQUEST"\r\n\r\n'
    "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//x//y//EN\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\nUID:7@example.org\r\n"
    "DTSTAMP:20261101T100000Z\r\nDTSTART:20261203T030000Z\r\nDTEND:20261203T043000Z\r\nSUMMARY:About the pumps\r\n"
    f"LOCATION:Room 3\r\nORGANIZER:mailto:{BOB}\r\nATTENDEE;PARTSTAT=NEEDS-ACTION:mailto:{ANN}\r\nEND:VEVENT\r\n"
    "END:VCALENDAR\r\n"
).encode()

DROP = """([selector, name, text]) => {
    const data = new DataTransfer();
    data.items.add(new File([text], name, { type: "text/plain" }));
    const place = document.querySelector(selector);
    for (const kind of ["dragenter", "dragover", "drop"])
        place.dispatchEvent(new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true }));
}"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Postroad]:
    settings = {**SETTINGS, "sieve": {}, "stage": {**SETTINGS["stage"], "resolve": {"smart_host": "127.0.0.1:9"}}}
    server = Postroad(tmp_path, settings).account(ANN, BOB)
    assert server.command("account", "role", "add", ANN, "owner").returncode == 0
    with server:
        yield server


def at_mail(page: Page, server: Postroad, address: str) -> None:
    enter(page, server, address)
    page.goto(site(server, "/mail/"))


def sent(page: Page) -> None:
    page.get_by_role("button", name="Send", exact=True).click()
    loaded(page, "#lines")


def last_of(server: Postroad, address: str, count: int = 1) -> EmailMessage:
    """What has come last for somebody, who then has so many."""
    found = message_from_bytes(server.mail_for(address, count)[-1], policy=default)
    assert isinstance(found, EmailMessage)
    return found


def test_an_invitation_is_told_by_the_reader_s_clock_and_accepted(server: Postroad, browser: Browser) -> None:
    server.send(INVITATION, ANN, sender=BOB)
    server.mail_for(ANN)
    with visit(browser, timezone_id="Asia/Ho_Chi_Minh") as page:
        at_mail(page, server, ANN)
        page.locator("#lines .line").click()
        told = page.get_by_role("region", name="Invitation")
        expect(told).to_contain_text("About the pumps")
        expect(told).to_contain_text(re.compile(r"10:00.*11:30"))
        picture(page, "invitation")
        told.get_by_role("button", name="Accept").click()
        expect(told.get_by_role("button")).to_have_count(0)
    reply = last_of(server, BOB)
    (part,) = [one for one in reply.walk() if one.get_content_type() == "text/calendar"]
    assert "PARTSTAT=ACCEPTED" in part.get_content()


def test_letters_are_forwarded_and_files_dropped(server: Postroad, browser: Browser) -> None:
    server.send(letter("Figures", "seven and nine"), ANN)
    server.mail_for(ANN)
    with visit(browser) as page:
        at_mail(page, server, ANN)
        page.locator("#lines .line").click()
        expect(page.locator(".message h1")).to_be_visible()
        page.keyboard.press("f")
        loaded(page, "#sheet")
        expect(page.get_by_label("Subject")).to_have_value("Fwd: Figures")
        page.get_by_label("To", exact=True).fill(BOB)
        page.evaluate(DROP, ["#write", "notes.txt", "dropped"])
        expect(page.locator("#attached li")).to_have_count(1)
        sent(page)
        first = last_of(server, BOB)
        assert [one.get_content().strip() for one in first.iter_attachments()] == ["dropped"]
        body = first.get_body(("plain",))
        assert body is not None
        assert "seven and nine" in body.get_content()

        page.goto(site(server, "/mail/"))
        page.locator("#lines .line").click()
        page.locator("summary", has_text="More").click()
        page.get_by_role("link", name="Forward as attachment").click()
        loaded(page, "#sheet")
        page.get_by_label("To", exact=True).fill(BOB)
        sent(page)
        (whole,) = last_of(server, BOB, 2).iter_attachments()
        assert whole.get_content_type() == "message/rfc822"


def test_a_folder_is_made_filled_and_shown_as_a_plain_list(server: Postroad, browser: Browser) -> None:
    for text in ("one", "two"):
        server.send(letter("The same matter", text), ANN)
    server.mail_for(ANN, 2)
    with visit(browser) as page:
        at_mail(page, server, ANN)
        view, lines = page.get_by_role("button", name="Conversations"), page.locator("#lines .line")
        expect(view).to_have_attribute("aria-pressed", "true")
        shown = lines.count()
        view.click()
        expect(view).to_have_attribute("aria-pressed", "false")
        expect(lines).to_have_count(2)
        assert shown <= 2
        page.get_by_role("textbox", name="New mailbox").fill("Dự án")
        page.get_by_role("button", name="Make", exact=True).click()
        box = page.locator("#folders").get_by_role("link", name="Dự án")
        expect(box).to_be_visible()
        page.reload()  # the list of where to move to is the page's
        lines.first.get_by_role("checkbox").check()
        page.locator("#move").select_option(label="Dự án")
        expect(page.locator("#notice")).to_contain_text("Moved: 1")
        box.click()
        expect(lines).to_have_count(1)
        picture(page, "folder")


def test_a_rule_and_an_answer_are_kept_and_hold(server: Postroad, browser: Browser) -> None:
    with visit(browser) as page:
        at_mail(page, server, ANN)
        page.get_by_role("link", name="Rules").click()
        first = page.get_by_role("group", name="Rule 1")
        first.get_by_label("If").select_option(label="Subject")
        first.get_by_label("has", exact=True).fill("invoice")
        first.get_by_label("move to").select_option(label="Archive")
        page.get_by_label("Answer for me, each sender once in a week").check()
        page.get_by_label("Text", exact=True).fill("I am at sea.")
        page.get_by_role("button", name="Keep").click()
        expect(page.get_by_text("Kept.")).to_be_visible()
        expect(first.get_by_label("has", exact=True)).to_have_value("invoice")
        shot(page, "rules")
        server.send(letter("An invoice").replace(b"somebody", ANN.encode()), ANN, sender=BOB)
        page.goto(site(server, "/mail/"))
        page.locator('[data-use="\\\\Archive"]').click()
        expect(page.locator("#lines .subject")).to_have_text(["An invoice"])
    until(lambda: any(b"I am at sea." in one for one in server.mailbox(BOB)), "an answer")


def test_who_writes_in_another_name_signs_in_it(server: Postroad, browser: Browser) -> None:
    assert server.command("account", "grant", ANN, "sales@example.org").returncode == 0
    assert server.command("alias", "add", "sales@example.org", ANN).returncode == 0
    with visit(browser) as page:
        enter(page, server, ANN)
        page.goto(site(server, "/mail/settings"))
        page.get_by_label("Signature", exact=True).fill("Ann")
        page.get_by_label("Signature as sales@example.org").fill("The office\nHanoi")
        page.get_by_role("button", name="Keep").click()
        expect(page.get_by_text("Kept.")).to_be_visible()
        shot(page, "mail-settings")
        page.goto(site(server, "/mail/write"))
        sheet = page.locator("#sheet")
        expect(sheet).to_contain_text("-- Ann")
        page.get_by_label("From").select_option("sales@example.org")
        expect(sheet).not_to_contain_text("-- Ann")
        page.get_by_label("To", exact=True).fill(BOB)
        sent(page)
    come = last_of(server, BOB)
    body = come.get_body(("plain",))
    assert body is not None
    assert "The office\nHanoi" in body.get_content().replace("\r\n", "\n")
    assert come["From"] == "sales@example.org"


def test_who_is_signed_in_is_listed_and_sent_away(server: Postroad, browser: Browser) -> None:
    with visit(browser) as page, visit(browser, viewport=PHONE) as phone:
        sign_in(page, server, BOB, path="/account")
        here = page.get_by_role("region", name="Where you are signed in")
        expect(here.get_by_role("rowheader")).to_have_count(1)
        sign_in(phone, server, BOB, path="/account")
        here = page.get_by_role("region", name="Where you are signed in")
        expect(here.get_by_role("rowheader")).to_have_count(2)
        shot(page, "sessions")
        here.get_by_role("button", name="End: ").click()
        expect(here.get_by_role("rowheader")).to_have_count(1)
        phone.reload()
        expect(phone.get_by_role("heading", name="Sign in")).to_be_visible()


def test_one_s_contacts_are_in_every_browser(server: Postroad, browser: Browser) -> None:
    with visit(browser) as page, visit(browser, viewport=PHONE) as phone:
        for one in (page, phone):
            enter(one, server, BOB)
        phone.goto(site(server, "/mail/contacts"))
        expect(phone.get_by_text("There is nobody here.")).to_be_visible()
        page.goto(site(server, "/mail/contacts/new?name=Carl&address=carl@far.test"))
        page.get_by_role("button", name="Keep").click()
        expect(phone.get_by_role("link", name="Carl", exact=True)).to_be_visible()
        expect(phone.get_by_text("1 contact", exact=True)).to_be_visible()


def test_an_order_about_the_queue_says_first_how_many_it_means(server: Postroad, browser: Browser) -> None:
    for number in range(3):
        server.send(letter(f"{number}"), f"x{number}@far.test", sender=ANN)
    with visit(browser) as page:
        sign_in(page, server, ANN, path="/admin/queue")
        rows = page.locator("tbody tr")

        def all_wait() -> bool:
            page.reload()
            return rows.count() == 3

        until(all_wait, "three messages in the queue")
        shot(page, "queue")
        page.get_by_label("Condition").fill('recipient == "x1@far.test"')
        page.get_by_role("button", name="Show").click()
        expect(rows).to_have_count(1)
        page.get_by_role("button", name="Hold", exact=True).click()
        expect(page.get_by_text("1 message", exact=True)).to_be_visible()
        shot(page, "queue-order")
        page.get_by_role("button", name="Hold", exact=True).click()
        expect(page.get_by_text("It was done to 1 message.")).to_be_visible()
        page.get_by_label("State").select_option("held")
        page.get_by_role("button", name="Show").click()
        page.wait_for_url("**state=held**")
        rows.get_by_role("checkbox").check()
        page.get_by_role("button", name="Delete").click()
        expect(page.get_by_text("1 message", exact=True)).to_be_visible()
        page.get_by_role("button", name="Delete").click()
        expect(page.get_by_text("It was done to 1 message.")).to_be_visible()
        page.goto(site(server, "/admin/queue"))
        expect(rows).to_have_count(2)
    assert server.wait_for("ordered", order="delete")["by"] == ANN
