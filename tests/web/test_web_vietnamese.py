"""Every page in Vietnamese: nothing of ours in it is in English, whoever has said it."""

import re
from contextlib import asynccontextmanager

import pytest
import trio
from starlette.routing import Route

from tests.support.parked import parked
from tests.support.site import AUDITOR, OWNER, csrf, posted, site_of
from tests.support.vietnamese import english, left_in_english, spoken
from tests.web.test_admin_editing import TEXT, write

ANN = "ann@example.org"
ELSEWHERE = re.compile(r"^/(api|static|\.well-known|tls-rpt|unsubscribe)|live$|/news$|export|\.vcf$")
"""What is for programs, or goes on."""


@asynccontextmanager
async def filled(folder):
    """A site with something of everything that pages say of themselves."""
    write(folder)
    async with site_of(folder, TEXT) as site:
        site.staff()
        site.account(ANN, password=None)
        for number, reason in enumerate(("the account sends unlike itself", "found by rspamd"), 1):
            parked(site.role.data, number, ANN, reason=reason)
        yield site


def paths(site) -> list[str]:
    pages = (one for one in site.app.routes if isinstance(one, Route) and "GET" in (one.methods or ()))
    return sorted({one.path for one in pages if "{" not in one.path and not ELSEWHERE.search(one.path)})


def test_english_is_found():
    page = '<p aria-label="The server is ready for mail.">x</p><code>Try again in a moment.</code>'
    assert "The server is ready for mail." in english()
    assert left_in_english(page) == ["The server is ready for mail."]
    assert spoken(page).split() == ["The", "server", "is", "ready", "for", "mail.", "x"]


@pytest.mark.parametrize("who", [OWNER, AUDITOR, ANN])
async def test_no_page_has_english_in_it(tmp_path, who):
    async with filled(tmp_path) as site:
        browser = site.known(who, language="vi")
        seen, found = 0, {}
        for path in paths(site):
            with trio.fail_after(60):  # what goes on for ever is to be in ELSEWHERE
                page = await browser.get(path)
            if "text/html" in page.headers.get("content-type", ""):
                assert 'lang="vi"' in page.text or "<html" not in page.text, path
                seen += page.status_code == 200
                found[path] = left_in_english(page.text)
        assert {path: texts for path, texts in found.items() if texts} == {}
        assert seen > (10 if who != ANN else 4), seen


async def test_what_a_check_says_of_a_wrong_configuration(tmp_path):
    async with filled(tmp_path) as site:
        browser = site.known(OWNER, language="vi")
        token = csrf(await browser.get("/admin/configuration"))
        text = TEXT.replace(
            "[domains]", '[domains]\nlokal = 3\n[queue]\nretry = []\nin_flight = -1\n[bogus]\n[log]\nfiles = "x"\n'
        )
        said = await browser.post(
            "/admin/configuration/check", json={"name": "pipeline.toml", "text": text}, headers={"x-csrf-token": token}
        )  # fmt: skip
        html = said.json()["html"]
        assert left_in_english(html) == []
        for wanted in ("khóa lạ", "phải nêu ít nhất một khoảng nghỉ", "không được âm", "bảng lạ", "Cần `int`"):
            assert wanted in html.replace("&#39;", "'"), wanted


async def test_mistakes_in_forms(tmp_path):
    async with filled(tmp_path) as site:
        owner = site.known(OWNER, language="vi")
        for path, values in (
            ("/admin/suppression", {"entries": "a@@b", "class": "unknown"}),
            ("/admin/suppression/import", {"text": "entry,wrong\na@b.example,x\n"}),
            ("/admin/moving", {"address": ANN, "server": "http://x", "password": "p"}),
            ("/admin/moving/many", {"csv": "address,password\nnobody@nowhere.example,x\n"}),
        ):
            page = await posted(owner, path, **values)
            assert page.status_code in (409, 422), (path, page.status_code)
            assert left_in_english(page.text) == [], path
        page = await owner.get("/admin/queue", params={"which": "sender == "})
        assert page.status_code == 422
        assert left_in_english(page.text) == []
        assert "phải là tên, số hoặc văn bản" in page.text


async def test_why_mail_is_parked(tmp_path):
    async with filled(tmp_path) as site:
        page = await site.known(OWNER, language="vi").get("/admin/quarantine")
        assert "tài khoản gửi thư khác thường" in page.text
        assert "do rspamd phát hiện" in page.text
        page = await site.known(OWNER).get("/admin/quarantine")
        assert "the account sends unlike itself" in page.text
