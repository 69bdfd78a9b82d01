"""Reports of others in the pages: who sees which, and that what strangers wrote is text."""

import csv
import io
import time

import pytest

from engine.figures.gathering import Gathered
from engine.reports.received import parse
from engine.reports.tls_received import Failure, Policy, TlsReport
from tests.reports.dmarc_samples import DAY, YESTERDAY, aggregate
from tests.support.site import BASIC, OWNER
from tests.web.hosting import ADMIN, hosting

EVIL = "&lt;script&gt;alert(1)&lt;/script&gt;"
YEAR = 366.0 * DAY


@pytest.fixture
async def site(tmp_path):
    async with hosting(tmp_path, f'{BASIC}\n[dns]\nservers = ["127.0.0.1:9"]\ntimeout = "100ms"\n') as found:
        yield found


def take(site, domain, source="192.0.2.77", count=5, **said):
    rows = ((source, count, "none", "fail", "fail"), ("192.0.2.1", 95, "none", "pass", "pass"))
    site.role.inbox.dmarc.take(parse(aggregate(domain, rows=rows, **said)), domain, YEAR, signed=("google.com",))


def take_tls(site, domain, org="Google", **failure):
    found = Failure(failure.get("result", "certificate-expired"), 3, reason=failure.get("reason", ""))
    policy = Policy(domain, "sts", succeeded=40, failed=3, failures=(found,))
    site.role.inbox.take(
        TlsReport(org, "", "1", YESTERDAY, YESTERDAY + DAY - 1, (policy,)), YEAR, signed=("google.com",)
    )


@pytest.mark.parametrize("page", ["dmarc", "tls"])
async def test_without_reports_it_is_said_how_they_come(site, page):
    text = (await site.known(OWNER).get(f"/admin/reports/{page}")).text
    assert "No report has come in this time." in text
    assert "incoming_reports" in text


@pytest.mark.parametrize("span", ["month", "quarter", "year"])
@pytest.mark.parametrize("language", ["en", "vi"])
async def test_dmarc_by_day_and_who_sends(site, span, language):
    take(site, "one.example")
    text = (await site.known(OWNER, language=language).get(f"/admin/reports/dmarc?span={span}")).text
    assert text.count('class="card figure"') == 2
    assert "192.0.2.77" in text
    assert "95%" in text
    assert ("Who sends in our name" if language == "en" else "Ai gửi thư mang tên ta") in text
    assert 'style="' not in text


async def test_tls_by_day_and_what_we_send(site):
    take_tls(site, "one.example")
    now = time.time()
    site.role.figures.opened().add(now - 1800, now - 1700, Gathered({"tls/sts/success": 4}), {}, 99)
    text = (await site.known(OWNER).get("/admin/reports/tls")).text
    assert text.count('class="card figure"') == 4
    assert "certificate-expired" in text
    assert "What we report to others of theirs" in text


async def test_one_sees_reports_on_ones_own_domains_alone(site):
    take(site, "one.example", source="192.0.2.11")
    take(site, "two.example", source="192.0.2.22")
    take_tls(site, "one.example", org="First reporter")
    take_tls(site, "two.example", org="Second reporter")
    browser = site.known(ADMIN)
    for path in ("/admin/reports/dmarc", "/admin/reports/dmarc.csv?chart=sources"):
        text = (await browser.get(path)).text
        assert "192.0.2.11" in text
        assert "192.0.2.22" not in text
        assert "two.example" not in text
    text = (await browser.get("/admin/reports/tls")).text
    assert "First reporter" in text
    assert "Second reporter" not in text
    assert "What we report to others of theirs" not in text
    for path in ("dmarc?domain=two.example", "tls?domain=two.example", "dmarc.csv?chart=sources&domain=two.example",
                 "tls.csv?chart=tls-received&domain=two.example"):  # fmt: skip
        assert (await browser.get(f"/admin/reports/{path}")).status_code == 404
    both = (await site.known(OWNER).get("/admin/reports/dmarc?domain=two.example")).text
    assert "192.0.2.22" in both
    assert "192.0.2.11" not in both


async def test_what_strangers_write_is_text(site):
    take(site, "one.example", org=EVIL)
    take_tls(site, "one.example", org="<script>alert(1)</script>", result="<b>", reason="<img src=x onerror=alert(1)>")
    for page in ("dmarc", "tls"):
        text = (await site.known(OWNER).get(f"/admin/reports/{page}")).text
        assert "<script>alert" not in text
        assert "<img" not in text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


async def test_files_for_spreadsheets(site):
    take(site, "one.example")
    browser = site.known(OWNER)
    rows = list(csv.reader(io.StringIO((await browser.get("/admin/reports/dmarc.csv?chart=sources")).text)))
    assert rows[0][:5] == ["domain", "source", "name", "messages", "passed"]
    assert rows[1][:5] == ["one.example", "192.0.2.77", "", "5", "0"]
    rows = list(csv.reader(io.StringIO((await browser.get("/admin/reports/dmarc.csv?chart=dmarc-results")).text)))
    assert rows[0] == ["day", "both", "dkim", "spf", "failed"]
    assert rows[-2] == [time.strftime("%Y-%m-%d", time.gmtime(YESTERDAY)), "95", "0", "0", "5"]
    assert (await browser.get("/admin/reports/dmarc.csv?chart=nothing")).status_code == 404
    take_tls(site, "one.example")
    rows = list(csv.reader(io.StringIO((await browser.get("/admin/reports/tls.csv?chart=tls-received")).text)))
    assert rows[0] == ["day", "success", "certificate-expired"]
    assert rows[-2][1:] == ["40", "3"]


@pytest.mark.parametrize("path", ["dmarc?span=day", "tls?span=century", "dmarc?domain=nowhere.example"])
async def test_what_is_not_there(site, path):
    assert (await site.known(OWNER).get(f"/admin/reports/{path}")).status_code == 404
