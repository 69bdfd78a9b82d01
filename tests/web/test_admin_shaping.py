"""Shaping in the pages: what holds for a domain and which rule says so, what is in force, and how sites do."""

import re

import pytest

from engine.net.zone import Zone, serve_zone
from engine.operations.shaping import suspension
from engine.runtime.services import MEASURES_SERVICE
from engine.shaping.actions import Action
from engine.web.admin import standing
from tests.support.site import ADMIN, BASIC, OWNER, PEER, posted, site_of

EVIL = "421 4.7.0 <b>slow</b> down\r\n\x1b[31m"


@pytest.fixture
async def site(tmp_path, nursery):
    zone = Zone("com", {"example": {"MX": "10 mx.example.net."}, "none": {"MX": "0 ."}})
    address = await nursery.start(serve_zone, zone)
    async with site_of(
        tmp_path, BASIC + '\n[lane.remote]\nstages = ["resolve", "relay"]\n' + f'\n[dns]\nservers = ["{address}"]\n'
    ) as found:
        found.staff()
        yield found


async def sent(browser, path, **values):
    return await posted(browser, f"/admin/shaping{path}", **values)


async def test_each_value_is_told_with_the_rule_that_gives_it(site):
    text = (await site.known(OWNER).get("/admin/shaping?domain=Example.com")).text
    assert "mx.example.net" in text
    assert re.search(r"connections</th>\s*<td[^>]*>\d+</td>", text)
    assert re.search(r"connect_timeout</th>\s*<td[^>]*>\d+[smhd]</td>", text)


async def test_a_site_is_explained_by_its_hosts_where_the_dns_is_not_asked(site):
    params = {"domain": "nobody.com", "mx": "MX1.far.test, mx2.far.test"}
    page = await site.known(OWNER).get("/admin/shaping", params=params)
    assert page.status_code == 200
    assert "mx1.far.test, mx2.far.test" in page.text


@pytest.mark.parametrize("domain", ["nobody.com", "none.com", "\N{SNOWMAN}.com"])
async def test_what_nobody_can_explain(site, domain):
    page = await site.known(OWNER).get("/admin/shaping", params={"domain": domain})
    assert page.status_code == 422
    assert 'role="alert"' in page.text


async def test_what_is_in_force_is_told_with_what_led_to_it_and_ended_by_hand(site, told):
    store = site.role.actions
    store.put(Action.new("too-fast", "slow", "mx.far.test", 1.8e9, 1e9, rate=0.5, reply=EVIL))
    browser = site.known(OWNER)
    text = (await browser.get("/admin/shaping")).text
    assert "too-fast" in text
    assert "&lt;b&gt;slow" in text
    assert "\x1b" not in text
    assert "50%" in text
    (action,) = store.all()
    done = await sent(browser, "/lift", id=action.id)
    assert done.headers["location"] == "/admin/shaping?done=lifted"
    assert store.all() == []
    assert told == [("shaping-action-lifted", {"peer": PEER, "by": OWNER, "id": action.id, "site": "mx.far.test"})]
    assert (await sent(browser, "/lift", id=action.id)).headers["location"] == "/admin/shaping?done=over"
    assert (await sent(browser, "/lift", id="../x")).status_code == 400


async def test_a_site_is_left_alone_by_hand(site, told):
    browser = site.known(OWNER)
    done = await sent(browser, "/suspend", site="*.Far.test", lasts="3600")
    assert done.headers["location"] == "/admin/shaping?done=suspended"
    (action,) = site.role.actions.all()
    assert (action.act, action.site, round(action.until - action.since)) == ("suspend", "*.far.test", 3600)
    assert [(name, values["by"], values["site"]) for name, values in told] == [("site-suspended", OWNER, "*.far.test")]
    assert (await sent(browser, "/suspend", site="****", lasts="3600")).status_code == 422
    assert (await sent(browser, "/suspend", site="x.test", lasts="1e99")).status_code == 400
    assert len(site.role.actions.all()) == 1


async def test_sites_are_those_that_workers_tell_of_the_busiest_first(site, monkeypatch):
    """The same table stands on the page of the pipeline."""
    monkeypatch.setattr(standing, "FRESH", 0.0)

    def sites(_worker):
        return [
            {"site": name, "source": None, "connections": 1, "limit": 5, "waiting": waiting, "paused_until": 0.0,
             "last_reply": EVIL}
            for name, waiting in (("a.test", 1), ("b.test", 9))
        ]  # fmt: skip

    browser = site.known(OWNER)
    assert "No mail is on its way" in (await browser.get("/admin/shaping/sites")).text
    site.answers.known[MEASURES_SERVICE, "sites"] = sites
    for path in ("", "/sites"):
        text = (await browser.get(f"/admin/shaping{path}")).text
        assert text.index("b.test") < text.index("a.test")
        assert "<b>slow" not in text
    piece = (await browser.get("/admin/shaping/sites")).text
    assert "<html" not in piece
    assert piece.strip().partition("<table")[2] in (await browser.get("/admin/pipeline")).text


async def test_it_is_for_owners_alone(site):
    site.role.actions.put(suspension("a.test", 60))
    browser = site.known(ADMIN)
    for path in ("", "/sites"):
        assert (await browser.get(f"/admin/shaping{path}")).status_code == 403
    (action,) = site.role.actions.all()
    assert (await sent(browser, "/lift", id=action.id)).status_code == 403
    assert (await sent(browser, "/suspend", site="b.test", lasts="900")).status_code == 403
    assert site.role.actions.all() == [action]
