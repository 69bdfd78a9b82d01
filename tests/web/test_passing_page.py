"""Who may look on as mail passes, at what, and how much of it they are shown."""

import pytest

from engine.operations.reach import Reach
from engine.runtime.taps import DOMAINS
from engine.watching.tapped import Told
from engine.web.admin import passing
from tests.support.site import ADMIN, BASIC, HELPER, OWNER, site_of

LOCAL = {"one.example", "two.example"}
ANN = Reach({"one.example"}, LOCAL.__contains__)


@pytest.fixture
async def site(tmp_path):
    async with site_of(tmp_path, BASIC) as found:
        found.staff()
        yield found


async def looked(site, who=OWNER, **query):
    return await site.known(who).get("/admin/pipeline/link", params=query)


async def test_one_chooses_a_link_and_a_condition(site):
    everything = (await looked(site)).text
    assert "<option>inbound/route</option>" in everything
    assert 'id="messages"' not in everything
    chosen = (await looked(site, name="inbound/route", when="size > 5", sample="100")).text
    assert 'id="messages"' in chosen
    assert 'value="size &gt; 5"' in chosen
    assert '<option value="100" selected>' in chosen


@pytest.mark.parametrize(
    "query",
    [
        {"name": "inbound/nothing"},
        {"name": "inbound/route", "when": "1 +"},
        {"name": "inbound/route", "when": "1" * 1001},
    ],
)
async def test_what_cannot_be_is_said(site, query):
    response = await looked(site, **query)
    assert response.status_code == 422
    assert 'role="alert"' in response.text
    assert 'id="messages"' not in response.text
    live = await site.known(OWNER).get("/admin/pipeline/link/live", params=query)
    assert live.status_code == 400


async def test_who_may(site):
    assert (await looked(site, ADMIN, name="inbound/route")).status_code == 200
    assert "You see mail of your domains alone." in (await looked(site, ADMIN)).text
    assert "You see mail of your domains alone." not in (await looked(site)).text
    for path in ("/admin/pipeline/link", "/admin/pipeline/link/live?name=inbound/route"):
        assert (await site.known(HELPER).get(path)).status_code == 403


async def test_without_a_server_it_ends_and_is_in_the_log(site, capfd):
    response = await site.known(OWNER).get("/admin/pipeline/link/live", params={"name": "inbound/route"})
    assert "event: ended" in response.text
    said = [line for line in capfd.readouterr().err.splitlines() if '"event":"web-tap-' in line]
    assert len(said) == 2
    assert all(f'"by":"{OWNER}"' in line and '"link":"inbound/route"' in line for line in said)


@pytest.mark.parametrize(
    ("login", "domains", "may"),
    [
        ("", ["one.example"], True),
        ("", ["one.example", "two.example"], False),
        ("", ["two.example"], False),
        ("", ["elsewhere.test"], False),
        ("ann@one.example", ["elsewhere.test"], True),
        ("ann@one.example", ["elsewhere.test", "two.example"], False),
        ("ann@two.example", ["elsewhere.test"], False),
        ("", [], False),
        ("ann@one.example", [f"d{number}.test" for number in range(DOMAINS + 1)], False),
    ],
)
def test_whose_mail_an_administrator_of_a_domain_sees(login, domains, may):
    assert passing._is_within(ANN, {"login": login, "domains": domains}) is may


def test_so_many_a_second_are_shown_and_the_others_counted():
    shown = passing.Shown()
    assert [shown.take(100.0) for _ in range(passing.SHOWN + 5)].count(True) == passing.SHOWN
    assert shown.take(101.0)
    assert (shown.messages, shown.skipped) == (passing.SHOWN + 1, 5)


def test_what_strangers_wrote_is_made_visible():
    passed = {"id": "X", "time": 1.0, "from": "a\x1b@b", "to": ["c\n@d"], "recipients": 3, "size": 5}
    answer = {"verdict": "reject: \u202eno", "ms": 1.5, "way": [["one", "pass", 1]], "facts": {"x": "\x07"}}
    row = passing._row(Told("mail-0", passed, answer), str)
    assert not any(sign in str(row) for sign in ("\x1b", "\u202e", "\x07"))
    assert "\n" not in row["to"][0]
    assert (row["more"], row["verdict"].startswith("reject")) == (2, True)
    assert passing._row(Told("mail-0", passed), str)["verdict"] == ""
