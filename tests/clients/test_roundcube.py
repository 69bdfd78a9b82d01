"""Roundcube, as people use it in Chromium, over our IMAP, submission and ManageSieve."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
from playwright.sync_api import Browser, FrameLocator, Locator, Page, expect

from tests.support.chromium import patient, picture
from tests.support.programs import Certificates, needs
from tests.support.reading import append, folders, held, signed_in
from tests.support.roundcube import HOME, roundcube
from tests.support.server import PASSWORD, Postroad, letter, until

pytestmark = [
    pytest.mark.client,
    pytest.mark.skipif(not HOME.exists(), reason="roundcube-core not installed"),
]

ANN, BOB, EVE = "ann@example.org", "bob@example.org", "eve@example.org"

SETTINGS: dict[str, Any] = {
    "listen": {
        "imap": "127.0.0.1:0", "imaps": "127.0.0.1:0", "submissions": "127.0.0.1:0", "managesieve": "127.0.0.1:0",
    },
    "sieve": {},
    "lane": {"outbound": {"listen": ["submissions"], "stages": ["submit", "queue", "route"]}},
    "stage": {"submit": {"use": "stages.accept", "login": "required"}},
}  # fmt: skip


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def server(authority: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postroad]:
    folder = tmp_path_factory.mktemp("office")
    with Postroad(folder, {**SETTINGS, "tls": authority.settings}).account(ANN, BOB, EVE) as running:
        yield running


def complaints(folder: Path) -> list[str]:
    """What it says of us. Of what its pages miss in their own session, once in a while ("mode"), PHP warns too."""
    log = folder / "logs" / "errors.log"
    lines = log.read_text().splitlines() if log.exists() else []
    return [line for line in lines if not ("PHP Warning" in line and "/program/actions/" in line)]


@pytest.fixture(scope="module")
def address(server: Postroad, authority: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("roundcube")
    with roundcube(server, authority.authority, folder / "of") as found:
        yield found
    assert complaints(folder / "of") == []


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """Nobody has signed in."""
    context = browser.new_context(viewport={"width": 1400, "height": 900}, locale="en-US")
    found = patient(context.new_page())
    found.on("dialog", lambda dialog: dialog.accept())
    found.goto(address)
    yield found
    context.close()


def sign_in(page: Page, who: str) -> None:
    page.locator("#rcmloginuser").fill(who)
    page.locator("#rcmloginpwd").fill(PASSWORD)
    page.locator("#rcmloginsubmit").click()
    expect(page.locator("#messagelist")).to_be_attached()
    # Its answers to what the page asks meanwhile write the whole session, and with it what a page after it has begun.
    page.wait_for_load_state("networkidle")


def row(page: Page, subject: str) -> Any:
    return page.locator("#messagelist tbody tr", has_text=subject)


def go(page: Page, address: str, what: str) -> None:
    page.goto(f"{address}?{what}")


def frame(page: Page, name: str) -> FrameLocator:
    return page.frame_locator(f"#{name}")


def ready(element: Locator) -> Locator:
    """The element, once what it stands in has loaded, and listens."""
    element.evaluate("() => document.readyState === 'complete' || new Promise(done => addEventListener('load', done))")
    return element


def idle(page: Page) -> None:
    """No answer to a command is awaited."""
    page.wait_for_function("!rcmail.busy")


def shot(page: Page, name: str) -> None:
    picture(page, f"roundcube-{name}")


@needs("php")
def test_mail_is_read_found_flagged_and_moved(server: Postroad, page: Page) -> None:
    for subject in ("first of all", "another one", "with grüße"):
        server.send(letter(subject, "Some words of it, hay and needle."), ANN)
    until(lambda: len(server.all("delivered", to=ANN)) >= 3, "three messages")
    sign_in(page, ANN)
    expect(row(page, "first of all")).to_be_visible()
    expect(row(page, "with grüße")).to_be_visible()
    row(page, "first of all").click()
    expect(frame(page, "messagecontframe").get_by_text("hay and needle")).to_be_visible()
    shot(page, "list")
    row(page, "another one").click()
    page.evaluate("rcmail.command('mark', 'flagged')")  # as its buttons do
    with signed_in(server, ANN) as client:
        until(lambda: ("another one", r"\Flagged") in held(client), "a flag")
        until(lambda: ("first of all", r"\Seen") in held(client), "a message that was read")
    page.locator("#mailsearchform").fill("another")
    idle(page)  # it drops a search while it waits for an answer
    page.keyboard.press("Enter")
    expect(page.locator("#messagelist tbody tr")).to_have_count(1)
    page.evaluate("rcmail.command('reset-search')")
    expect(page.locator("#messagelist tbody tr")).to_have_count(3)
    row(page, "another one").click()
    page.evaluate("rcmail.command('move', 'Archive')")
    with signed_in(server, ANN) as client:
        until(lambda: [subject for subject, _ in held(client, "Archive")] == ["another one"], "a message that moved")
    row(page, "with grüße").click()
    page.evaluate("rcmail.command('delete')")
    with signed_in(server, ANN) as client:
        until(lambda: len(held(client, "Trash")) == 1, "a message that was deleted")


@needs("php")
def test_a_letter_with_an_attachment_is_written_and_read(
    server: Postroad, page: Page, address: str, tmp_path: Path
) -> None:
    file = tmp_path / "figures.txt"
    file.write_text("the figures that were asked for\n")
    sign_in(page, ANN)
    go(page, address, "_task=mail&_action=compose")
    page.locator("#_to").evaluate("(element, to) => { element.value = to; }", BOB)
    page.locator("#compose-subject").fill("Về các con số")
    page.locator("#composebody").fill("Chào Bob, here they are.")
    with page.expect_file_chooser() as chooser:
        page.locator("#compose-attachments button.attach").click()
    chooser.value.set_files(str(file))
    expect(page.locator("#attachment-list li", has_text="figures.txt")).to_be_visible()
    shot(page, "compose")
    page.locator("a.send, button.send").first.click()
    until(lambda: server.all("delivered", to=BOB), "a letter for Bob")
    with signed_in(server, ANN) as client:
        until(lambda: len(held(client, "Sent")) == 1, "a copy of what was sent")
    page.context.clear_cookies()
    page.goto(address)
    sign_in(page, BOB)
    expect(row(page, "Về các con số")).to_be_visible()
    row(page, "Về các con số").dblclick()
    expect(page.get_by_text("Chào Bob, here they are.")).to_be_visible()
    link = page.locator("#attachment-list a.filename, ul.attachmentslist a.filename").first.get_attribute("href")
    assert link
    assert page.request.get(f"{urljoin(page.url, link)}&_download=1").text() == file.read_text()


@needs("php")
def test_a_folder_is_made(server: Postroad, page: Page, address: str) -> None:
    sign_in(page, ANN)
    go(page, address, "_task=settings&_action=folders")
    page.locator("a.create").first.click()
    edit = frame(page, "preferences-frame")
    ready(edit.locator("#_name")).fill("Dự án")
    edit.locator("button.submit").click()
    with signed_in(server, ANN) as client:
        until(lambda: "D&HvE- &AOE-n" in folders(client), "a folder")


@needs("php")
def test_vacation_becomes_sieve(server: Postroad, page: Page, address: str) -> None:
    sign_in(page, EVE)
    go(page, address, "_task=settings&_action=plugin.managesieve-vacation")
    page.locator("#vacation_subject").fill("Away")
    page.locator("#vacation_reason").fill("I am in the mountains.")
    page.locator("#vacation_status").select_option("on")
    page.evaluate("rcmail.command('plugin.managesieve-save')")
    until(lambda: "vacation" in server.command("sieve", "show", EVE, "roundcube").stdout, "a script")
    server.send(f"From: {ANN}\r\nTo: {EVE}\r\nSubject: hello\r\n\r\nAre you there?\r\n".encode(), EVE, sender=ANN)
    with signed_in(server, ANN) as client:
        until(lambda: any("Away" in subject for subject, _ in held(client)), "an answer")


@needs("php")
def test_a_filter_files_a_letter(server: Postroad, page: Page, address: str) -> None:
    sign_in(page, ANN)
    go(page, address, "_task=settings&_action=plugin.managesieve")
    page.locator("#layout-content a.create").click()
    form = frame(page, "filter-box")
    ready(form.locator("#_name")).fill("Bills")
    form.locator("#header0").select_option("subject")
    form.locator("#rule_op0").select_option("contains")
    form.locator("#rule_target0_list input").fill("invoice")
    form.locator("#action_type0").select_option("fileinto")
    form.locator("#action_mailbox0").select_option("Archive")
    shot(page, "filter")
    form.locator("button.submit").click()
    expect(page.locator("#filterslist td", has_text="Bills")).to_be_visible()
    shot(page, "filter-saved")
    assert 'fileinto "Archive"' in server.command("sieve", "show", ANN, "roundcube").stdout
    server.send(letter("your invoice", "It is due."), ANN)
    with signed_in(server, ANN) as client:
        until(lambda: "your invoice" in [subject for subject, _ in held(client, "Archive")], "a letter that was filed")


@needs("php")
def test_a_folder_is_shared(server: Postroad, page: Page, address: str) -> None:
    sign_in(page, ANN)
    go(page, address, "_task=settings&_action=folders")
    page.locator("#subscription-table a", has_text="Archive").first.click()
    edit = frame(page, "preferences-frame")
    ready(edit.locator("#acllist-footer a.create")).click()
    shot(page, "sharing")
    page.locator("#acluser").fill(BOB)
    page.locator(".ui-dialog button.submit").click()
    expect(edit.locator("#acltable td.user", has_text=BOB)).to_be_visible()
    shot(page, "shared")
    with signed_in(server, ANN) as client:
        append(client, "Archive", letter("what we agreed on", "Nothing."))
    page.context.clear_cookies()
    page.goto(address)
    sign_in(page, BOB)
    go(page, address, "_task=settings&_action=folders")
    page.locator(f"#subscription-table input[value='Other Users/{ANN}/Archive']").check(force=True)  # drawn as a switch
    with signed_in(server, BOB) as client:
        until(lambda: f"Other Users/{ANN}/Archive" in str(client.lsub()), "a folder that Bob has subscribed to")
    page.locator("#taskmenu a.mail").click()
    page.locator("#mailboxlist").get_by_role("treeitem", name="Archive").last.locator("a").first.click()
    row(page, "what we agreed on").click()
    expect(frame(page, "messagecontframe").get_by_text("Nothing.")).to_be_visible()
