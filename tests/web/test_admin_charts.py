"""The charts in the pages: who sees which, in whose words, as what they are, and that the numbers are those kept."""

import csv
import io
import re
import time

import pytest

from engine.web.admin.drawn import seconds
from tests.figures.figure_samples import filled, gathered
from tests.support.site import AUDITOR, BASIC, OWNER, site_of
from tests.web.hosting import ADMIN, BOTH, HELPER, hosting

SERVER = ["taken", "handed-on", "trouble", "spam", "viruses", "delay", "queue", "oldest", "logins"]


@pytest.fixture
async def site(tmp_path):
    async with hosting(tmp_path) as found:
        yield found


def names(text):
    return re.findall(r'<figure class="card figure" id="([^"]+)"', text)


@pytest.mark.parametrize("span", ["day", "week", "month", "year"])
@pytest.mark.parametrize("language", ["en", "vi"])
async def test_an_owner_sees_the_whole_server_over_each_span(site, span, language):
    filled(site.role.figures.opened(), time.time(), 3)
    response = await site.known(OWNER, language=language).get(f"/admin/charts?span={span}")
    assert response.status_code == 200
    assert names(response.text) == SERVER
    assert 'style="' not in response.text
    assert response.text.count('role="img"') == len(SERVER)
    assert ("Mail taken in, by lane" if language == "en" else "Thư đã nhận vào, theo tuyến") in response.text
    assert "None" not in re.sub(r"<[^>]+>", "", response.text)


async def test_where_nothing_was_measured_that_is_said(site):
    response = await site.known(OWNER).get("/admin/charts")
    assert names(response.text) == SERVER
    assert response.text.count("Nothing to show yet.") >= len(SERVER)


async def test_an_administrator_sees_ones_own_domains_alone(site):
    store, now = site.role.figures.opened(), time.time()
    counts = {
        "domain/one.example/received": 11_111,
        "domain/two.example/received": 22_222,
        "arrived/accepted/in": 33_333,
    }
    store.add(now - 1800, now - 1200, gathered(counts), {}, 99)
    text = (await site.known(ADMIN).get("/admin/charts")).text
    assert names(text) == ["received", "sent"]
    assert "11,111" in text
    assert "22,222" not in text
    assert "33,333" not in text
    assert "two.example" not in text
    both = (await site.known(BOTH).get("/admin/charts?domain=two.example")).text
    assert "22,222" in both


@pytest.mark.parametrize(
    ("who", "path", "status"),
    [
        (ADMIN, "/admin/charts?domain=two.example", 404),
        (ADMIN, "/admin/charts?domain=example.org", 404),
        (ADMIN, "/admin/charts.csv?chart=taken", 404),
        (ADMIN, "/admin/charts.csv?chart=tls-sent&part=tls", 404),
        (ADMIN, "/admin/charts.csv?chart=received&domain=two.example", 404),
        (ADMIN, "/admin/charts.csv?chart=received", 200),
        (OWNER, "/admin/charts.csv?chart=taken", 200),
        (OWNER, "/admin/charts.csv?chart=tls-sent&part=tls", 200),
        (OWNER, "/admin/charts.csv?chart=nothing", 404),
        (OWNER, "/admin/charts?span=century", 404),
        (OWNER, "/admin/charts?domain=nowhere.example", 404),
        (OWNER, "/admin/charts?domain=two.example", 200),
        (HELPER, "/admin/charts", 403),
        (HELPER, "/admin/charts.csv?chart=received", 403),
        (AUDITOR, "/admin/charts", 403),
        (HELPER, "/admin/reports/dmarc", 403),
        (HELPER, "/admin/reports/tls", 403),
        (AUDITOR, "/admin/reports/dmarc.csv?chart=sources", 403),
    ],
)
async def test_what_a_role_may_not_see(site, who, path, status):
    assert (await site.known(who).get(path)).status_code == status


async def test_the_links_are_in_the_navigation_of_those_who_may(site):
    for who, may in ((OWNER, True), (ADMIN, True), (HELPER, False)):
        assert ('href="/admin/charts"' in (await site.known(who).get("/admin/accounts")).text) is may


async def test_the_file_has_the_numbers_of_the_table(site):
    store, now = site.role.figures.opened(), time.time() // 600 * 600
    for number in range(6):
        begin = now - (number + 2) * 600
        store.add(begin, begin + 600, gathered({"arrived/accepted/in": 1000 + number}), {}, 99)
    browser = site.known(OWNER)
    response = await browser.get("/admin/charts.csv?chart=taken&span=day")
    assert response.headers["content-disposition"] == 'attachment; filename="taken-day.csv"'
    assert response.headers["content-type"].startswith("text/csv")
    rows = list(csv.reader(io.StringIO(response.text)))
    assert rows[0] == ["time", "in"]
    told = [int(float(value)) for _, value in rows[1:] if value]
    assert told[:6] == [1005, 1004, 1003, 1002, 1001, 1000]
    page = (await browser.get("/admin/charts")).text
    assert all(f'<td class="number">1,00{number}</td>' in page for number in range(6))


async def test_what_no_store_gives_is_not_ready(site):
    (site.role.data / "figures").write_text("no folder")
    assert (await site.known(OWNER).get("/admin/charts")).status_code == 503
    assert (await site.known(OWNER).get("/admin/overview")).status_code == 200


async def test_the_overview_has_the_day_in_small(site):
    filled(site.role.figures.opened(), time.time(), 1)
    text = (await site.known(OWNER).get("/admin/overview")).text
    assert text.count('class="spark"') == 6
    assert 'href="/admin/charts#delay"' in text


async def test_switched_off_that_is_said(tmp_path):
    async with site_of(tmp_path, f"{BASIC}\n[figures]\nkeep = 0\n") as found:
        found.account(OWNER, "owner", password=None)
        assert "[figures] keep is 0" in (await found.known(OWNER).get("/admin/charts")).text


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0 sec"),
        (0.04, "0.04 sec"),
        (3.25, "3.2 sec"),
        (90, "1.5 min"),
        (300, "5 min"),
        (7200, "2 hr"),
        (200_000, "2.3 days"),
    ],
)
def test_times_are_told_as_people_say_them(value, said):
    assert seconds(value, "en") == said
    assert seconds(7200, "vi") == "2 tiếng"


@pytest.mark.parametrize(("zone", "offset"), [("Asia/Ho_Chi_Minh", "+07:00"), ("America/New_York", "-05:00")])
async def test_days_begin_at_midnight_where_the_server_is(site, zone, offset, monkeypatch):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        response = await site.known(OWNER).get("/admin/charts.csv?chart=viruses&span=year")
        begins = [row[0] for row in list(csv.reader(io.StringIO(response.text)))[1:]]
        assert all("T00:00" in begin for begin in begins)
        assert any(begin.endswith(offset) for begin in begins)
    finally:
        monkeypatch.undo()
        time.tzset()
