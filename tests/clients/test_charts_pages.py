"""Charts as people read them: a real server that measures itself, real Chromium; by pointer, keys, and axe-core."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from engine.figures.store import FigureStore
from engine.reports.inbox import Inbox
from engine.reports.received import parse
from engine.reports.tls_received import Failure, Policy, TlsReport
from tests.figures.figure_samples import filled
from tests.reports.dmarc_samples import DAY, YESTERDAY, aggregate
from tests.support.pages import Look, enter, faults, in_each_look, shot, sign_in, site, visit
from tests.support.programs import needs
from tests.support.server import Postroad

pytestmark = pytest.mark.client

ANN = "ann@example.org"
YEAR = 366.0 * DAY


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Postroad]:
    server = Postroad(tmp_path, {"listen": {"web": "127.0.0.1:0"}}).account(ANN)
    server.command("account", "role", "add", ANN, "owner")
    data = tmp_path / "var"
    with FigureStore.open(data) as store:
        filled(store, time.time(), 40)
    report(data)
    with server:
        yield server


def report(data: Path) -> None:
    """A month of what others report."""
    with contextlib.closing(Inbox(data)) as inbox:
        for day in range(30):
            begin = YESTERDAY - day * DAY
            rows = (
                ("192.0.2.25", 400 + day * 7, "none", "pass", "pass"),
                ("198.51.100.7", 60 + day % 9 * 8, "none", "pass", "fail"),
                ("203.0.113.9", 12 + day % 5 * 6, "none", "fail", "pass"),
                ("2001:db8:66::1", 30 if day % 8 else 140, "quarantine" if day < 12 else "none", "fail", "fail"),
            )  # fmt: skip
            octets = aggregate(identity=str(day), begin=begin, rows=rows)
            inbox.dmarc.take(parse(octets), "example.org", YEAR, signed=("google.com",))
            failures = (Failure("certificate-expired", 4, mx_hostname="mx.example.org"),) if 5 < day < 9 else ()
            policy = Policy("example.org", "sts", succeeded=90 + day, failed=4 * len(failures), failures=failures)
            inbox.take(
                TlsReport("Google Inc.", "", str(day), begin, begin + DAY - 1, (policy,)), YEAR, signed=("google.com",)
            )


def figure(page: Page, name: str) -> Any:
    return page.locator(f"#{name}")


def test_an_administrator_reads_the_charts(server: Postroad, browser: Browser) -> None:
    with visit(browser) as page:
        sign_in(page, server, ANN, path="/admin/overview")
        expect(page.get_by_role("heading", name="The last day")).to_be_visible()
        shot(page, "charts-overview")
        page.get_by_role("link", name="All charts").click()
        taken = figure(page, "taken")
        expect(taken.get_by_role("heading", name="Mail taken in, by lane")).to_be_visible()
        shot(page, "charts-day")

        reader = taken.get_by_role("slider", name="Read the values: Mail taken in, by lane")
        expect(reader).to_be_visible()  # now the page hears the pointer

        # By the pointer: the legend has the values of that moment, and the sums again when it leaves.
        sums = taken.locator("[data-value]").all_inner_texts()
        box = taken.locator(".field").bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        expect(taken.locator(".cursor")).to_have_count(1)
        middle = taken.locator("tbody tr").nth(taken.locator("tbody tr").count() // 2)
        taken.locator("summary").click()
        expect(taken.locator(".cursor")).to_have_count(0)
        assert taken.locator("[data-value]").all_inner_texts() == sums
        expect(middle).to_be_visible()

        # By the keys: the slider says what a screen reader reads.
        reader.focus()
        page.keyboard.press("Home")
        first = taken.locator("tbody tr").first
        said = reader.get_attribute("aria-valuetext") or ""
        assert said.startswith(first.locator("th").inner_text())
        assert "inbound: " in said
        page.keyboard.press("ArrowRight")
        assert reader.get_attribute("aria-valuetext") != said
        shot(page, "charts-read")

        for span in ("Week", "Month", "Year"):
            page.get_by_role("link", name=span, exact=True).click()
            expect(page.get_by_role("link", name=span, exact=True)).to_have_attribute("aria-current", "true")
            expect(figure(page, "delay").locator(".line")).to_have_count(3)
            shot(page, f"charts-{span.lower()}")

        figure(page, "delay").locator("summary").click()
        with page.expect_download() as download:
            figure(page, "delay").get_by_role("link", name="Download as CSV").click()
        text = Path(download.value.path()).read_text()
        assert download.value.suggested_filename == "delay-year.csv"
        assert text.splitlines()[0] == "time,p50,p90,p99"

        page.get_by_label("Domain").select_option("example.org")
        page.get_by_role("button", name="Show").click()
        expect(figure(page, "received").get_by_role("heading", name="Mail received")).to_be_visible()
        shot(page, "charts-domain")


def test_who_sends_in_our_name_and_how_tls_goes(server: Postroad, browser: Browser) -> None:
    with visit(browser) as page:
        sign_in(page, server, ANN, path="/admin/reports/dmarc")
        expect(page.get_by_role("heading", name="Who sends in our name")).to_be_visible()
        first = page.locator(".sources tbody tr").first
        expect(first).to_contain_text("2001:db8:66::1")
        expect(figure(page, "dmarc-results").locator(".bar")).to_have_count(4)
        shot(page, "dmarc-month")
        page.get_by_role("link", name="Quarter").click()
        expect(page.get_by_role("link", name="Quarter")).to_have_attribute("aria-current", "true")
        with page.expect_download() as download:
            page.locator(".sources").get_by_role("link", name="Download as CSV").click()
        assert "2001:db8:66::1" in Path(download.value.path()).read_text()
        page.get_by_role("link", name="TLS reports").click()
        expect(page.get_by_role("heading", name="How sessions ended")).to_be_visible()
        expect(page.get_by_text("What we report to others of theirs")).to_be_visible()
        shot(page, "tls-month")


PAGES = (
    "/admin/overview", "/admin/charts", "/admin/charts?span=year", "/admin/charts?domain=example.org",
    "/admin/reports/dmarc", "/admin/reports/tls",
)  # fmt: skip


@in_each_look
@needs("node", "npm")
def test_axe_finds_nothing_in_charts(server: Postroad, browser: Browser, axe: str, look: Look) -> None:
    with visit(browser, **look.options) as page:
        enter(page, server, ANN)
        for address in PAGES:
            page.goto(site(server, address))
            for summary in page.locator(".figure summary").all()[:2]:
                summary.click()
            assert faults(page, axe) == [], address
            place = address.replace("/admin", "").replace("/", "-").replace("?", "-").replace("=", "-")
            shot(page, f"charts-{look}{place}")
