"""The queue in the pages: what is found, and that nothing is done before it was said to how many."""

import re

import pytest

from engine.operations.shards import counted
from tests.support.queued import fill
from tests.support.site import ADMIN, BASIC, OWNER, posted, site_of

COUNT = 300


@pytest.fixture
async def site(tmp_path):
    async with site_of(tmp_path, BASIC) as found:
        fill(found.role.data, COUNT, shards=2)
        found.staff()
        yield found


async def ordered(browser, **values):
    return await posted(browser, "/admin/queue/order", **values)


def told(response) -> int:
    """How many messages a page speaks of."""
    found = re.search(r"(\d+) messages?", response.text)
    assert found, response.text
    return int(found[1])


def ids(response) -> list[str]:
    return re.findall(r'name="id" value="(\w{26})"', response.text)


async def test_all_and_some_of_them(site):
    browser = site.known(OWNER)
    everything = await browser.get("/admin/queue")
    assert told(everything) == COUNT
    assert "The first 200 messages are shown." in everything.text
    some = await browser.get("/admin/queue", params={"which": 'domain == "d0001.test" and attempts > 4', "by": "size"})
    assert 0 < told(some) < COUNT
    held = await browser.get("/admin/queue", params={"state": "held"})
    assert told(held) == len(ids(held))


@pytest.mark.parametrize("which", ["domain =", "nonsense = 1", "<script>", "(" * 500, "age > never"])
async def test_a_mistake_in_a_condition_is_told(site, which):
    response = await site.known(OWNER).get("/admin/queue", params={"which": which})
    assert response.status_code == 422
    assert 'role="alert"' in response.text
    assert "<script>" not in response.text


async def test_first_it_says_how_many_then_it_is_done(site):
    browser = site.known(OWNER)
    which = 'domain == "d0001.test" and state == "waiting"'
    wanted = told(await browser.get("/admin/queue", params={"which": which}))
    asked = await ordered(browser, order="hold", which=which)
    assert told(asked) == wanted
    assert told(await browser.get("/admin/queue", params={"which": which})) == wanted
    done = await ordered(browser, order="hold", which=which, sure="1")
    assert done.headers["location"] == f"/admin/queue?done={wanted}"
    assert f"It was done to {wanted} message" in (await browser.get(done.headers["location"])).text
    assert told(await browser.get("/admin/queue", params={"which": which})) == 0


async def test_those_that_are_chosen_and_no_others(site, capfd):
    browser = site.known(OWNER)
    chosen = ids(await browser.get("/admin/queue", params={"state": "waiting"}))[:3]
    assert told(await ordered(browser, order="delete", id=chosen)) == 3
    assert counted(site.context.config) == COUNT
    await ordered(browser, order="delete", id=chosen, sure="1")
    assert counted(site.context.config) == COUNT - 3
    said = [line for line in capfd.readouterr().err.splitlines() if '"event":"ordered"' in line]
    assert len(said) == 3
    assert all(f'"by":"{OWNER}"' in line for line in said)


async def test_only_what_can_be_done_is_counted(site):
    browser = site.known(OWNER)
    held = told(await browser.get("/admin/queue", params={"state": "held"}))
    parked = told(await browser.get("/admin/queue", params={"state": "quarantined"}))
    assert told(await ordered(browser, order="release")) == held + parked


@pytest.mark.parametrize("values", [{}, {"order": "expire"}, {"order": "hold", "which": "domain ="}])
async def test_what_is_no_order(site, values):
    assert (await ordered(site.known(OWNER), **values)).status_code == 400


async def test_an_administrator_of_a_domain_sees_and_acts_on_mail_for_it_alone(site):
    site.directory.add_domain("d0001.test")
    site.account("boss@d0001.test", "administrator@d0001.test", password=None)
    mine = told(await site.known(OWNER).get("/admin/queue", params={"which": 'domain == "d0001.test"'}))
    foreign = ids(await site.known(OWNER).get("/admin/queue", params={"which": 'domain != "d0001.test"'}))[0]
    browser = site.known("boss@d0001.test")
    assert told(await browser.get("/admin/queue")) == mine
    assert told(await ordered(browser, order="delete")) == mine
    assert told(await ordered(browser, order="delete", id=foreign)) == 0
    await ordered(browser, order="delete", id=foreign, sure="1")
    assert counted(site.context.config) == COUNT
    await ordered(browser, order="delete", sure="1")
    assert counted(site.context.config) == COUNT - mine
    assert told(await site.known(ADMIN).get("/admin/queue")) == 0


async def test_the_helpdesk_has_no_say_over_it(site):
    site.directory.set_roles(ADMIN, ["helpdesk@example.org"], ["administrator@example.org"])
    browser = site.known(ADMIN)
    assert (await browser.get("/admin/queue")).status_code == 403
    assert (await ordered(browser, order="delete", sure="1")).status_code == 403
    assert counted(site.context.config) == COUNT
