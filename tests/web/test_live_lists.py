"""Lists that several people work at: each says by which state it was made, and another one is told when it is stale."""

import html
import re
from contextlib import AsyncExitStack

import pytest

from engine.operations import suppressions
from tests.support.site import AUDITOR, BASIC, OWNER, posted, site_of
from tests.web.mail.mail_site import ANN

OTHER = "other@example.org"

LISTS = {
    "/admin/bans": ("/admin/bans", {"who": "203.0.113.9", "lasts": "3600"}, "203.0.113.9"),
    "/admin/suppression": (
        "/admin/suppression", {"entries": "x@elsewhere.test", "class": "unknown", "lasts": ""}, "x@elsewhere.test",
    ),
    "/admin/shaping": ("/admin/shaping/suspend", {"site": "mx.elsewhere.test", "lasts": "900"}, "mx.elsewhere.test"),
    "/admin/holds": ("/admin/holds", {"addresses": ANN, "reason": "a case"}, "a case"),
    "/admin/audit": ("/admin/holds", {"addresses": ANN, "reason": "a case"}, "A hold began"),
    "/admin/dns?domain=example.org": ("/admin/domains", {"name": "second.test"}, "<option>second.test"),
    "/admin/changes": ("/admin/bans", {"who": "203.0.113.9", "lasts": "3600"}, "Kept out"),
}  # fmt: skip
"""By page: what another owner does, and what stands there then."""


@pytest.fixture
async def site(tmp_path):
    async with AsyncExitStack() as stack:
        found = await stack.enter_async_context(site_of(tmp_path, BASIC))
        found.staff()
        found.account(OTHER, "owner", password=None)
        found.account(ANN, password=None)
        yield found


def live(text: str) -> list[tuple[str, str, str]]:
    """Of each part that is live: where it is asked for anew, of which state it is, and what stands in it and behind."""
    return [
        (html.unescape(a), b, c)
        for a, b, c in re.findall(r'data-live="([^"]*)" data-news="[^"]*" data-state="([^"]*)"(.*)', text, re.S)
    ]


@pytest.mark.parametrize("path", LISTS)
async def test_what_one_does_another_is_shown(site, path):
    mine, others = site.known(OWNER), site.known(OTHER)
    place, values, shown = LISTS[path]
    ((again, state, before),) = live((await mine.get(path)).text)[:1]
    assert shown not in before
    assert again.partition("?")[0] == path.partition("?")[0]
    assert (await posted(others, place, **values)).status_code == 303
    assert site.context.changed != state  # of which /admin/changes/live tells
    ((_, renewed, after),) = live((await mine.get(again, headers={"x-live": "1"})).text)[:1]
    assert shown in after
    assert renewed == site.context.changed


async def test_a_grant_that_is_asked_for_is_shown_to_who_may_consent(site):
    owner, auditor = site.known(OWNER), site.known(AUDITOR)
    ((again, _, before),) = live((await owner.get("/admin/oversight")).text)
    assert "Grant 1" not in before
    asked = await posted(auditor, "/admin/oversight", addresses=ANN, reason="a leak", lasts="1d")
    assert asked.status_code == 303
    assert "Grant 1" in live((await owner.get(again)).text)[0][2]


@pytest.mark.parametrize("path", ["/admin/queue?by=size", "/admin/quarantine", "/admin/configuration"])
async def test_what_others_order_is_asked_for_anew(site, path):
    ((again, state, _),) = live((await site.known(OWNER).get(path)).text)
    assert (await site.known(OWNER).get(again)).status_code == 200
    site.context.note("queue-ordered", by=OTHER, order="hold", messages=1)
    assert live((await site.known(OWNER).get(again)).text)[0][1] != state


async def test_a_page_is_of_the_state_in_which_it_was_begun(site, monkeypatch):
    """What is changed while a page is made is perhaps not in it: it must count as stale."""
    before, list_of = site.context.changed, suppressions.some

    def slow(*arguments, **options):
        found = list_of(*arguments, **options)
        site.context.note("ban-set", by=OTHER, who="203.0.113.9")
        return found

    monkeypatch.setattr(suppressions, "some", slow)
    assert live((await site.known(OWNER).get("/admin/suppression")).text)[0][1] == before
    assert site.context.changed != before


async def test_one_s_own_account_is_stale_when_somebody_has_changed_it(site):
    mine, owner = site.known(ANN), site.known(OWNER)
    seen = []

    async def is_new() -> bool:
        page = (await mine.get("/account")).text
        (state,) = set(re.findall(r'data-live="/account" data-news="/account/live" data-state="(\w+)"', page))
        seen.append(state)
        return state not in seen[:-1]

    assert await is_new()
    assert not await is_new()
    phone = site.known(ANN)
    assert await is_new()
    await posted(owner, "/admin/account/app-passwords", address=ANN, name="desk", services="imap")
    assert await is_new()
    await posted(phone, "/account/look", theme="dark", language="")
    assert await is_new()
    await posted(owner, "/admin/account/app-passwords", address=OTHER, name="desk", services="imap")
    assert not await is_new()  # what becomes of others is nothing to her
