"""What holds for all of the site: headers, errors, static files, and that each form proves where it comes from."""

import re
import types

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from engine.directory import Unavailable
from engine.links.request import Unanswered
from engine.storage.environment import StorageError
from engine.web.site import CSP
from engine.web.static_files import StaticFiles
from engine.web.troubles import Troubles
from tests.support.site import site_of

OWNER = "owner@example.org"
ERRORS = {"directory": Unavailable("secret"), "worker": Unanswered("secret"), "store": StorageError("secret")}


async def broken(request: Request) -> Response:
    raise ERRORS[request.path_params["what"]]


async def framed(_: Request) -> Response:
    return PlainTextResponse("a frame", headers={"content-security-policy": "sandbox", "cache-control": "max-age=1"})


@pytest.fixture
async def small(tmp_path):
    part = types.ModuleType("part")
    part.routes = lambda _: [Route("/broken/{what}", broken), Route("/framed", framed)]
    async with site_of(tmp_path, only=[part]) as found:
        yield found


@pytest.fixture
async def site(tmp_path):
    async with site_of(tmp_path) as found:
        found.account(OWNER, "owner", password=None)
        yield found


async def test_every_response_makes_a_browser_careful(site):
    browser = site.known(OWNER)
    for path in ("/sign-in", "/account", "/admin/accounts", "/nothing", site.app.state.static.address("base/page.js")):
        headers = (await browser.get(path)).headers
        assert headers["content-security-policy"] == CSP, path
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "same-origin"
        assert "strict-transport-security" not in headers
    assert "unsafe" not in CSP
    assert (await browser.get("/account")).headers["cache-control"] == "no-store"


async def test_a_response_may_have_another_policy(small):
    headers = (await small.browser().get("/framed")).headers
    assert headers.get_list("content-security-policy") == ["sandbox"]
    assert headers["cache-control"] == "max-age=1"


@pytest.mark.parametrize("what", list(ERRORS))
async def test_what_is_away_is_told_without_a_secret(small, what):
    browser = small.browser()
    page = await browser.get(f"/broken/{what}")
    assert page.status_code == 503
    assert "Try again in a moment" in page.text
    told = await browser.get(f"/broken/{what}", headers={"accept": "application/json"})
    assert told.json() == {"status": 503, "detail": "try again in a moment"}
    assert "secret" not in page.text


@pytest.mark.parametrize("what", list(ERRORS))
async def test_the_log_has_what_is_away_once_and_not_for_everybody(small, told, what):
    for _ in range(3):
        await small.browser().get(f"/broken/{what}")
    assert told == [("page-failed", {"path": f"/broken/{what}", "error": "secret"})]


def test_the_same_is_said_again_in_a_minute():
    now = [0.0]
    troubles = Troubles(lambda: now[0])
    full, away = StorageError("the disk is full"), Unavailable("no answer")
    assert [troubles.is_news(full), troubles.is_news(away), troubles.is_news(full)] == [True, True, False]
    now[0] = 61.0
    assert troubles.is_news(full)
    assert not any(troubles.is_news(error) for error in [full] * 50)
    assert all(troubles.is_news(Unavailable(str(number))) for number in range(1000))


async def test_an_error_is_a_page_in_the_language_of_the_reader(site):
    page = await site.browser(language="vi").get("/nothing")
    assert page.status_code == 404
    assert "Không có gì ở đây." in page.text
    assert '<html lang="vi">' in page.text
    assert (await site.browser().get("/nothing", headers={"accept": "*/*"})).json()["status"] == 404


async def test_static_files_are_kept_by_browsers_and_change_their_address(site, tmp_path):
    browser, static = site.browser(), site.app.state.static
    address = static.address("admin/overview.js")
    response = await browser.get(address)
    assert response.headers["content-type"] == "text/javascript; charset=utf-8"
    assert "immutable" in response.headers["cache-control"]
    assert (await browser.get(address.replace("/static/", "/static/x"))).status_code == 404
    for name in ("base/../site.py", "base/%2e%2e/site.py", "admin/templates/base.html", "base/", ""):
        assert (await browser.get(f"{address.removesuffix('admin/overview.js')}{name}")).status_code == 404
    (tmp_path / "one" / "static").mkdir(parents=True)
    (tmp_path / "one" / "static" / "a.js").write_text("1")
    before = StaticFiles(tmp_path).address("one/a.js")
    (tmp_path / "one" / "static" / "a.js").write_text("2")
    assert StaticFiles(tmp_path).address("one/a.js") != before


PAGES = ("/account", "/admin/overview", "/admin/pipeline", "/admin/queue", "/admin/message", "/admin/accounts",
         f"/admin/account?address={OWNER}", "/admin/domains")  # fmt: skip


@pytest.mark.parametrize("path", PAGES)
async def test_each_form_that_changes_something_has_the_token_and_nothing_is_inline(site, path):
    response = await site.known(OWNER).get(path)
    assert response.status_code == 200
    forms = re.findall(r'<form method="post".*?</form>', response.text, re.DOTALL)
    assert forms  # to sign out, at least
    for form in forms:
        assert re.search(r'<input type="hidden" name="csrf" value="[0-9a-f]{32}">', form), form
    assert not re.search(r"<[^>]+ (style|on\w+)=|<style|<script(?![^>]* src=)|javascript:", response.text)
