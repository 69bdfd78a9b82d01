"""The suppression list in the pages: part by part, found, put on, taken off; into files and out of them."""

import csv
import io
import re

import pytest

from engine.suppression import Row
from tests.support.site import ADMIN, BASIC, OWNER, PEER, csrf, posted, site_of


@pytest.fixture
async def site(tmp_path):
    async with site_of(tmp_path, BASIC) as found:
        found.staff()
        yield found


async def sent(browser, path="", **values):
    return await posted(browser, f"/admin/suppression{path}", **values)


def entries(page) -> list[str]:
    assert page.status_code == 200, page.text
    return re.findall(r'name="entry" value="([^"]+)"', page.text)


def following(page) -> str:
    found = re.search(r'href="(/admin/suppression\?[^"]*behind=[^"]*)"', page.text)
    return found[1].replace("&amp;", "&") if found else ""


async def test_a_long_list_is_shown_part_by_part(site):
    names = [f"u{number:03}@example.net" for number in range(250)]
    site.role.suppressions.put([Row(name, "invalid-recipient") for name in names])
    site.role.suppressions.put([Row("other@example.net", "complaint", tenant="t1")])
    browser, found, address = site.known(OWNER), [], "/admin/suppression"
    while address:
        page = await browser.get(address)
        found += entries(page)
        address = following(page)
    assert found == names
    assert entries(await browser.get("/admin/suppression?tenant=t1")) == ["other@example.net"]
    assert entries(await browser.get("/admin/suppression?class=complaint")) == []


async def test_a_rare_class_is_looked_for_bit_by_bit(site, monkeypatch):
    monkeypatch.setattr("engine.operations.suppressions.LOOKED_AT", 10)
    site.role.suppressions.put([Row(f"u{number:03}@example.net", "unknown") for number in range(15)])
    site.role.suppressions.put([Row("zoe@example.net", "complaint")])
    browser = site.known(OWNER)
    page = await browser.get("/admin/suppression?class=complaint")
    assert entries(page) == []
    assert entries(await browser.get(following(page))) == ["zoe@example.net"]


async def test_it_says_who_is_on_it_by_an_address_or_by_a_domain(site):
    gone = Row("gone.example", "invalid-domain", note="550 <b>no</b>")
    site.role.suppressions.put([gone, Row("x@a.example", "spam-content")])
    browser = site.known(OWNER)
    page = (await browser.get("/admin/suppression?q=anybody@gone.example")).text
    assert "is kept away by the entry gone.example" in page
    assert "550 &lt;b&gt;no&lt;/b&gt;" in page
    assert "is kept away" in (await browser.get("/admin/suppression?q=gone.example")).text
    assert "y@a.example is not on it." in (await browser.get("/admin/suppression?q=y@a.example")).text


async def test_somebody_is_put_on_and_taken_off(site, told):
    browser = site.known(OWNER)
    done = await sent(
        browser, entries="A@Example.net\n b.example", lasts="30", note="asked for it", **{"class": "complaint"}
    )
    assert done.headers["location"] == "/admin/suppression?added=2"
    assert "2 entries were put onto the list." in (await browser.get(done.headers["location"])).text
    rows = list(site.role.suppressions.rows())
    assert [(row.entry, row.which, row.note) for row in rows] == [
        ("a@example.net", "complaint", "asked for it"), ("b.example", "complaint", "asked for it"),
    ]  # fmt: skip
    assert all(29 * 86_400 < row.until - row.since < 31 * 86_400 for row in rows)
    done = await sent(browser, "/remove", entry=["a@example.net", "nobody@example.net"])
    assert done.headers["location"] == "/admin/suppression?removed=1"
    assert [row.entry for row in site.role.suppressions.rows()] == ["b.example"]
    assert told == [
        ("suppression-added", {"peer": PEER, "by": OWNER, "entries": ["a@example.net", "b.example"], "tenant": None}),
        ("suppression-removed", {"peer": PEER, "by": OWNER, "entries": ["a@example.net"], "tenant": None}),
    ]


async def test_what_is_no_entry_changes_nothing(site):
    browser = site.known(OWNER)
    for values in ({"entries": "good@example.net not an@@entry"}, {"entries": "a@b.example", "class": "nonsense"}):
        page = await sent(browser, **values)
        assert page.status_code == 422
        assert 'role="alert"' in page.text
    assert list(site.role.suppressions.rows()) == []


async def test_a_file_goes_in_by_a_form_and_as_it_is(site):
    browser = site.known(OWNER)
    done = await sent(browser, "/import", text="entry,class\na@example.net,complaint\n")
    assert done.headers["location"] == "/admin/suppression?added=1"
    token = csrf(await browser.get("/account"))
    lines = "".join(f"u{number}@example.net\n" for number in range(20_000))
    headers = {"x-csrf-token": token, "content-type": "text/plain"}
    taken = await browser.post("/admin/suppression/import", content=lines.encode(), headers=headers)
    assert taken.json() == {"count": 20_000}
    wrong = await browser.post("/admin/suppression/import", content=b"x@example.net\nx@@\n", headers=headers)
    assert wrong.status_code == 422
    assert "line 2" in wrong.json()["detail"]
    assert (await browser.post("/admin/suppression/import", content=b"y@example.net\n")).status_code == 403
    assert len(list(site.role.suppressions.rows())) == 20_002


async def test_all_of_it_comes_out_as_it_goes_in(site):
    put = [Row(f"u{number}@example.net", "complaint", "t" * (number % 2)) for number in range(2500)]
    site.role.suppressions.put(put)
    answer = await site.known(OWNER).get("/admin/suppression/export")
    assert answer.headers["content-disposition"] == "attachment; filename=suppression.csv"
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == 2500
    assert {row["class"] for row in rows} == {"complaint"}
    for row in site.role.suppressions.rows():
        site.role.suppressions.remove(row.entry, row.tenant)
    await sent(site.known(OWNER), "/import", text="\n".join(answer.text.splitlines()[:101]))
    assert [row["entry"] for row in rows[:100]] == [row.entry for row in site.role.suppressions.rows()]


async def test_it_is_for_owners_alone(site):
    browser = site.known(ADMIN)
    for path in ("", "/export"):
        assert (await browser.get(f"/admin/suppression{path}")).status_code == 403
    for path in ("", "/remove", "/import"):
        assert (await sent(browser, path, entries="a@example.net", text="a@example.net")).status_code == 403
    assert list(site.role.suppressions.rows()) == []
