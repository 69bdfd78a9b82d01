"""Moving in, on the page: who may begin what, what is shown of it, and that passwords go when they are not needed."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from engine.web import moves
from engine.web.moves import Moves
from tests.support.imap_source import Box, Source, serving
from tests.support.site import OWNER, posted
from tests.web.hosting import ADMIN, ANN, BOB, HELPER, hosting

SECRET = "wonderland of old"


@pytest.fixture
async def site(tmp_path, told):
    async with hosting(tmp_path) as found:
        for address in (ANN, BOB):
            found.account(address, password=None)
        yield found


def state_of(text: str) -> str:
    """The state of which the page is, by the words of a stream that it listens to."""
    ((place, news, state),) = re.findall(r'data-live="([^"]+)" data-news="([^"]+)" data-state="(\w+)"', text)
    assert news == f"{place}/live"
    return str(state)


def moves_of(site) -> Moves:
    (found,) = [task.__self__ for task in site.context.tasks if isinstance(getattr(task, "__self__", None), Moves)]
    return found


@asynccontextmanager
async def working(site) -> AsyncIterator[Moves]:
    """The part that does what is begun."""
    found = moves_of(site)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(found.run)
        yield found
        nursery.cancel_scope.cancel()


async def sent(browser, path="/admin/moving", **values):
    return await posted(browser, path, **values)


async def until(holds):
    with trio.fail_after(60):
        while not holds():
            await trio.sleep(0.01)


def a_source(count=3, **settings):
    return Source({"INBOX": Box().put(*(b"Subject: %d\r\n\r\n" % number for number in range(count)))}, **settings)


async def test_mail_comes_and_the_page_shows_it(site, told):
    browser = site.known(OWNER)
    async with serving(a_source(nil={2})) as source, working(site) as known:
        place = f"imap://127.0.0.1:{source.port}"
        begun = await sent(browser, address=BOB, server=place, user="robert", password=SECRET)
        assert (begun.status_code, begun.headers["location"]) == (303, "/admin/moving?begun=1")
        (move,) = known.all()
        await until(lambda: not move.is_going)
        assert (move.state, move.done.taken, move.task.login.secret()) == ("done", 2, "")
        shown = (await browser.get("/admin/moving?begun=1")).text
    assert "1 account has begun." in shown
    assert re.search(r"from imap://127.0.0.1:\d+, as robert", shown)
    assert "INBOX, UID 2, 14 B: the source gives nothing of it" in shown
    assert "INBOX → INBOX" in shown
    assert SECRET not in shown
    assert SECRET not in repr(told)
    assert [(name, values["by"]) for name, values in told if name.startswith("migration")] == [
        ("migration-begun", OWNER), ("migration-ended", OWNER),
    ]  # fmt: skip
    assert site.context.mailboxes().usage(site.directory.account(BOB).id).messages == 2


async def test_who_looks_on_is_told_that_it_has_come_further(site):
    mine, others, owns = site.known(OWNER), site.known(OWNER), site.known(BOB)
    place, own = ("/admin/moving", "/account/moving")
    states = [state_of((await mine.get(place)).text), state_of((await owns.get(own)).text)]
    assert state_of((await site.known(ANN).get(own)).text) == states[1]
    async with serving(a_source()) as source, working(site) as known:
        await sent(others, address=BOB, server=f"imap://127.0.0.1:{source.port}", user="robert", password=SECRET)
        (move,) = known.all()
        await until(lambda: not move.is_going)
        steps = move.steps
        assert steps > 2  # it runs, has taken something, and has ended
        now = [state_of((await mine.get(place)).text), state_of((await owns.get(own)).text)]
        assert not set(now) & set(states)
        assert state_of((await site.known(ANN).get(own)).text) == states[1], "what others move is nothing to her"
        await sent(others, f"{place}/change", id=move.id, what="forget")
        assert state_of((await mine.get(place)).text) == states[0]


async def test_it_is_paused_goes_on_and_is_forgotten(site):
    browser = site.known(OWNER)
    source = a_source(sign_in=[b"NO [LIMIT] later"] * 3)
    async with serving(source), working(site) as known:
        await sent(browser, address=BOB, server=f"imap://127.0.0.1:{source.port}", password=SECRET)
        (move,) = known.all()
        await until(lambda: move.state == "waiting")
        assert "waits for the other server" in (await browser.get("/admin/moving")).text
        again = await sent(browser, address=BOB, server=f"imap://127.0.0.1:{source.port}", password=SECRET)
        assert "This mail is being taken already." in again.text
        await sent(browser, "/admin/moving/change", id=move.id, what="pause")
        assert (move.state, move.task.login.secret()) == ("paused", SECRET)
        source.sign_in.clear()
        await trio.sleep(0.05)  # the record is free again
        await sent(browser, "/admin/moving/change", id=move.id, what="resume")
        await until(lambda: move.state == "done")
        await sent(browser, "/admin/moving/change", id=move.id, what="forget")
        assert known.all() == []


async def test_a_server_that_cannot_be_reached_is_waited_for(site):
    async with working(site) as known:
        await posted(site.known(OWNER), "/admin/moving", address=BOB, server="imap://127.0.0.1:9", password=SECRET)
        (move,) = known.all()
        await until(lambda: move.state == "waiting")
        assert move.done.why == "127.0.0.1 cannot be reached: Connection refused"


async def test_what_was_paused_long_ago_is_forgotten_with_its_password(site, monkeypatch):
    browser = site.known(OWNER)
    await sent(browser, address=BOB, server="imap://127.0.0.1:9", password=SECRET)
    (move,) = moves_of(site).all()
    await sent(browser, "/admin/moving/change", id=move.id, what="pause")
    monkeypatch.setattr(moves, "KEPT", -1.0)
    assert moves_of(site).all() == []


async def test_each_role_moves_into_accounts_of_its_own(site):
    admin, helper, ann = site.known(ADMIN), site.known(HELPER), site.known(ANN)
    place = {"server": "imaps://imap.example.com", "password": SECRET}
    assert (await helper.get("/admin/moving")).status_code == 403
    assert (await ann.get("/admin/moving")).status_code == 403
    assert (await sent(helper, address=ANN, **place)).status_code == 403
    for other in (BOB, OWNER, "nobody@two.example"):
        refused = await sent(admin, address=other, **place)
        assert refused.status_code == 422
        assert f"{other} is in no domain that {ADMIN} may touch" in refused.text
    assert moves_of(site).all() == []
    assert (await sent(admin, address=ANN, **place)).status_code == 303
    assert (await sent(site.known(OWNER), address=BOB, **place)).status_code == 303
    (hidden, shown) = moves_of(site).all()
    page = (await admin.get("/admin/moving")).text
    assert (shown.id in page, hidden.id in page) == (True, False)
    assert (await sent(admin, "/admin/moving/change", id=hidden.id, what="pause")).status_code == 404
    assert hidden.state == "queued"


async def test_who_has_some_domains_reaches_nothing_behind_our_walls(site):
    browser = site.known(ADMIN)
    async with serving(a_source()) as source, working(site) as known:
        await sent(browser, address=ANN, server=f"imap://127.0.0.1:{source.port}", password=SECRET)
        (move,) = known.all()
        await until(lambda: not move.is_going)
        assert (move.state, move.done.why) == ("refused", "127.0.0.1 is at no public address")
    assert source.asked == []


async def test_many_begin_together_or_none_does(site):
    browser = site.known(OWNER)
    wrong = f"address,password\n{BOB},x\nnobody@one.example,y\n"
    refused = await sent(browser, "/admin/moving/many", csv=wrong, server="imap.example.com")
    assert refused.status_code == 422
    assert "Line 3: there is no account nobody@one.example" in refused.text
    assert moves_of(site).all() == []
    right = f"address,password,password_file\n{BOB},x,\n{ANN},y,\n"
    begun = await sent(browser, "/admin/moving/many", csv=right, server="imap.example.com", flags="1", folders="INBOX")
    assert begun.headers["location"] == "/admin/moving?begun=2"
    found = {move.account.address: move for move in moves_of(site).all()}
    assert found[ANN].task.login.secret() == "y"
    assert (found[BOB].wishes.flags, found[BOB].wishes.choice.only) == (True, ("INBOX",))
    file = await sent(
        browser, "/admin/moving/many", csv=f"address,password_file\n{BOB},/etc/passwd\n", server="a.example"
    )
    assert "password_file is for the command alone" in file.text


@pytest.mark.parametrize("server", ["", "http://x", "imaps://ann:secret@x", "a b"])
async def test_what_is_no_server_is_said_so(site, server):
    refused = await sent(site.known(OWNER), address=BOB, server=server, password=SECRET)
    assert refused.status_code == 422
    assert "This is no server:" in refused.text


async def test_one_moves_ones_own_mail_from_public_addresses(site, told):
    ann, bob = site.known(ANN), site.known(BOB)
    place = {"server": "imap://127.0.0.1:143", "password": SECRET}
    odd = await sent(ann, "/account/moving", server="imaps://imap.example.com:8993", password=SECRET)
    assert (odd.status_code, "Only the usual ports of IMAP" in odd.text) == (422, True)
    async with working(site) as known:
        assert (await sent(ann, "/account/moving", address=BOB, user="annie", **place)).status_code == 303
        (move,) = known.all()
        await until(lambda: not move.is_going)
        assert (move.account.address, move.task.login.user) == (ANN, "annie")
        assert (move.state, move.done.why) == ("refused", "127.0.0.1 is at no public address")
        assert move.id in (await ann.get("/account/moving")).text
        assert move.id not in (await bob.get("/account/moving")).text
        assert (await sent(bob, "/account/moving/change", id=move.id, what="forget")).status_code == 404
        assert (await sent(ann, "/account/moving/change", id=move.id, what="frobnicate")).status_code == 422
        assert (await sent(ann, "/account/moving/change", id=move.id, what="forget")).status_code == 303
        assert known.all() == []
    assert SECRET not in repr(told)


async def test_one_does_not_begin_again_and_again(site):
    ann = site.known(ANN)
    codes = []
    for number in range(21):
        place = {"server": "imaps://imap.example.com", "user": f"guess{number}", "password": SECRET}
        codes.append((await sent(ann, "/account/moving", **place)).status_code)
    assert codes == [303] + [409] * 19 + [429]
