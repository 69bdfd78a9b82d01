"""What one web process alone has: another one hands on what it is asked, and gives back what is answered."""

import httpx2
import pytest
from starlette.responses import PlainTextResponse

from engine.links import wire
from engine.links.request import Unanswered
from engine.web.forwarding import Forwarding, answered
from tests.support.site import BASIC, OWNER, csrf, site_of

PLACES = ("/admin/moving", "/account/moving")


@pytest.fixture
async def site(tmp_path):
    async with site_of(tmp_path, BASIC) as found:
        found.staff()
        yield found


def other(site, hand_on) -> httpx2.AsyncClient:
    """A browser of the owner at another process, which has nothing but this."""
    app = Forwarding(PlainTextResponse("of the other process"), hand_on, PLACES)
    known = site.known(OWNER)
    transport = httpx2.ASGITransport(app, client=("198.51.100.9", 5))
    return httpx2.AsyncClient(transport=transport, base_url=known.base_url, headers=known.headers)


async def test_pages_are_shown_and_forms_are_taken_as_if_they_had_come_to_the_first(site):
    async def hand_on(what, *said):
        assert what == "answer"
        said = wire.unpack(wire.pack(said))  # as it travels
        return wire.unpack(wire.pack(await answered(site.app, *said)))

    browser = other(site, hand_on)
    page = await browser.get("/admin/moving?begun=2")
    assert page.status_code == 200
    assert "2 accounts have begun." in page.text
    assert "script-src 'self'" in page.headers["content-security-policy"]
    values = {"csrf": csrf(page), "address": OWNER, "server": "imap://127.0.0.1:9", "password": "of old"}
    begun = await browser.post("/admin/moving", data=values)
    assert (begun.status_code, begun.headers["location"]) == (303, "/admin/moving?begun=1")
    assert "127.0.0.1:9" in (await site.known(OWNER).get("/admin/moving")).text
    refused = await browser.post("/admin/moving", data={**values, "csrf": "0" * 32})
    assert refused.status_code == 403
    assert (await browser.get("/admin/bans")).text == "of the other process"
    assert (await browser.get("/admin/moving/live")).text == "of the other process"


async def test_where_the_first_process_does_not_answer_one_is_asked_to_try_again(site):
    async def hand_on(*_):
        raise Unanswered("there is no worker web now")

    assert (await other(site, hand_on).get("/account/moving")).status_code == 503
