"""Photographs pages of the site for the README: docs/webmail.png and docs/admin.png. `make pictures` does it last.

A server of its own is started, with mail in it as people write it; Debian's Chromium looks at it. What differs from one
time to the next is the hour of the day.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from playwright.sync_api import Browser, Page  # noqa: E402

from tests.support.chromium import chromium  # noqa: E402
from tests.support.load import Load  # noqa: E402
from tests.support.server import PASSWORD, Postroad, until  # noqa: E402

DOCS = ROOT / "docs"

ANN, BOB, GUEST = "ann@example.org", "bob@example.org", "guest@example.org"

WEBMAIL, ADMIN = {"width": 1180, "height": 640}, {"width": 1280, "height": 600}
"""Sizes in pixels."""

SETTINGS: dict[str, Any] = {"listen": {"web": "127.0.0.1:0"}}

CONVERSATION = "<pumps@partner.example>"

LETTERS: Final = (
    ("Bob Tran <bob@example.org>", "Budget for the second half", "Hi Ann, here are the figures.", ""),
    ("Hương Lê <huong@partner.example>", "Lịch họp tuần tới", "Chị Ann ơi, tuần sau mình họp vào sáng thứ ba nhé.", ""),
    (
        "Carl Sander <carl@partner.example>",
        "Delivery of the pumps",
        "Dear Ann,\n\nthe lorry leaves Hamburg on Thursday and should be with you on Friday before noon. The three\n"
        "large pumps stand in front, so please keep a fork lift ready at gate 3.\n\nThe papers for the customs are "
        "with the driver. If anything is missing, call me at any time.\n\nKind regards\nCarl",
        f"Message-ID: {CONVERSATION}\r\n",
    ),
    ("Payroll <payroll@example.org>", "Your payslip for October", "It is in the portal.", ""),
    ("Dana Fox <dana@partner.example>", "Photos of the fair", "Some of the best ones are here.", ""),
    ("News <news@example.net>", "What changed in November", "Four things that are new.", ""),
)  # fmt: skip
"""From, subject, text and more header fields; the last one comes last."""

LABELS: Final = (("Projects", "teal"), ("Money", "orange"))
LABELLED: Final = {"Delivery of the pumps": "projects", "Budget for the second half": "money"}


def letter(sender: str, subject: str, text: str, more: str) -> bytes:
    """As it comes."""
    lines = text.replace("\n", "\r\n")
    return (
        f"From: {sender}\r\nTo: Ann <{ANN}>\r\nSubject: {subject}\r\n{more}MIME-Version: 1.0\r\n"
        f"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{lines}\r\n"
    ).encode()


@contextmanager
def signed_in(browser: Browser, server: Postroad, viewport: dict[str, int], path: str) -> Iterator[Page]:
    """A page of Ann's."""
    options: Any = {"viewport": viewport, "locale": "en-US", "color_scheme": "light"}
    context = browser.new_context(**options)
    page = context.new_page()
    page.goto(f"http://localhost:{server.ports['web']}{path}")
    page.fill('input[name="address"]', ANN)
    page.fill('input[name="password"]', PASSWORD)
    page.press('input[name="password"]', "Enter")
    page.wait_for_url(lambda url: "/sign-in" not in url)
    try:
        yield page
    finally:
        context.close()


def webmail(browser: Browser, server: Postroad) -> None:
    """The inbox with a letter open, and labels."""
    for one in LETTERS:
        server.send(letter(*one), ANN)
        until(lambda: len(server.mailbox(ANN)) > LETTERS.index(one), "the letter")  # noqa: B023 - asked at once
    with signed_in(browser, server, WEBMAIL, "/mail/labels") as page:
        for name, colour in LABELS:
            row = page.locator("fieldset").last
            row.get_by_label("Name").fill(name)
            row.get_by_label("Colour").select_option(colour)
            page.get_by_role("button", name="Keep").click()
            page.wait_for_selector(f".sample .label:has-text('{name}')")
        page.goto(page.url.partition("/mail/")[0] + "/mail/")
        for subject, keyword in LABELLED.items():
            line = page.locator("#lines .line", has_text=subject)
            line.locator(".pick").check()
            page.click("#labelling summary")
            page.click(f'[data-label="{keyword}"]')
            line.locator(".label").wait_for()
            line.locator(".pick").uncheck()
        page.locator("#lines .line", has_text="Delivery of the pumps").click()
        page.frame_locator("iframe.letter").get_by_text("Kind regards").wait_for()
        page.locator("#notice").evaluate("element => element.hidden = true")
        page.wait_for_timeout(500)
        page.screenshot(path=str(DOCS / "webmail.png"))


def admin(browser: Browser, server: Postroad) -> None:
    """The pipeline at work."""
    with Load(server, GUEST, clients=2, pause=0.4), signed_in(browser, server, ADMIN, "/admin/pipeline") as page:
        time.sleep(8)  # the shares and times of some seconds
        page.screenshot(path=str(DOCS / "admin.png"))


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        server = Postroad(Path(name), SETTINGS).account(ANN, BOB, GUEST)
        done = server.command("account", "role", "add", ANN, "owner")
        assert done.returncode == 0, done.stderr
        with server, chromium() as browser:
            webmail(browser, server)
            admin(browser, server)


if __name__ == "__main__":
    main()
