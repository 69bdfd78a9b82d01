"""A walk over the pages in Vietnamese, over a real server with mail that waits and mail that is parked."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.pages import enter, shot, site, unfold, visit
from tests.support.server import Postroad, letter
from tests.support.vietnamese import left_in_english

pytestmark = pytest.mark.client

ANN, BOB = "ann@example.org", "bob@example.org"

PARK = """
'''Parks what offers watches.'''
from engine import Message, Quarantine

async def park(message: Message):
    return Quarantine("the sender is blocked by a list") if "watches" in message.header("Subject") else message
"""
SLOW = """
'''Keeps late mail waiting.'''
from engine import Defer, Message

async def slow(message: Message):
    return Defer("the mailbox is busy", code="4.2.0") if "late" in message.header("Subject") else message
"""

PAGES = (
    "admin/overview", "admin/pipeline", "admin/queue", "admin/quarantine", "admin/bans", "admin/suppression",
    "admin/shaping", "admin/dns", "admin/certificates", "admin/charts", "admin/accounts",
    f"admin/account?address={BOB}",
    "admin/groups", "admin/aliases", "admin/shared", "admin/quotas", "admin/domains", "admin/changes", "admin/moving",
    "admin/configuration", "admin/reports/dmarc", "admin/reports/tls", "admin/oversight", "admin/holds", "admin/audit",
    "account", "account/moving", "mail", "mail/write", "mail/rules", "mail/labels", "mail/settings", "mail/contacts",
)  # fmt: skip


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Postroad]:
    settings: dict[str, Any] = {
        "listen": {"web": "127.0.0.1:0"},
        "lane": {
            "inbound": {"stages": ["accept", "park", "queue", "route"]},
            "local": {"stages": ["slow", "enqueue"]},
        },
        "stage": {"park": {"use": "filters/park.py"}, "slow": {"use": "filters/slow.py"}},
    }
    server = Postroad(tmp_path, settings, park=PARK, slow=SLOW).account(ANN, BOB)
    assert server.command("account", "role", "add", ANN, "owner", "auditor").returncode == 0
    with server:
        for subject in ("hello", "late", "watches"):
            server.send(letter(subject), ANN)
        server.wait_for("deferred")
        yield server


def english(page: Page) -> list[str]:
    return left_in_english(page.content())


def test_the_pages_in_vietnamese(server: Postroad, browser: Browser) -> None:
    late = server.wait_for("deferred")["id"]
    with visit(browser, locale="vi-VN") as page:
        enter(page, server, ANN)
        found = {}
        for path in PAGES:
            page.goto(site(server, f"/{path}"))
            unfold(page)
            shot(page, f"vi-{path.partition('?')[0].replace('/', '-')}")
            found[path] = english(page)
        assert {path: texts for path, texts in found.items() if texts} == {}

        page.goto(site(server, f"/admin/message?q={late}"))
        expect(page.get_by_text("hộp thư đang bận").first).to_be_visible()
        shot(page, "vi-message")
        assert english(page) == []
        page.goto(site(server, "/admin/quarantine"))
        expect(page.get_by_text("người gửi bị một danh sách chặn")).to_be_visible()

        page.goto(site(server, "/admin/configuration/file?name=pipeline.toml"))
        text = page.locator("#text").input_value()
        page.locator("#text").fill(text.replace("[server]", "[server]\nhostnam = 3\nopening = -1", 1))
        expect(page.get_by_text("khóa lạ").first).to_be_visible()
        expect(page.get_by_text("khoảng thời gian không thể âm").first).to_be_visible()
        shot(page, "vi-editor")
        assert english(page) == []
