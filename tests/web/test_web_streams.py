"""Server-sent events: they go on while somebody is signed in, and end with the process, the session and the reader."""

import contextlib
import json
import types

import pytest
import trio
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.web.admin.watch import Watch
from engine.web.collecting import Collected
from engine.web.sessions import require
from engine.web.streams import MOST, Emit, EventStream
from tests.support.site import BASIC, site_of

ANN, BOB = "ann@example.org", "bob@example.org"


def part(produce) -> types.ModuleType:
    """A part of the site with one stream."""

    @require()
    async def live(request: Request) -> Response:
        return EventStream(request, produce)

    found = types.ModuleType("part")
    found.routes = lambda _: [Route("/live", live)]
    return found


@contextlib.asynccontextmanager
async def reader(site, cookie: str):
    """Somebody who reads the stream of ``/live``: what has come so far, and whether it has ended."""
    heard, ended, gone = bytearray(), trio.Event(), False
    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.4"}, "http_version": "1.1", "method": "GET",
        "scheme": "http", "path": "/live", "raw_path": b"/live", "query_string": b"", "root_path": "",
        "headers": [(b"host", b"localhost"), (b"cookie", cookie.encode())], "client": ("192.0.2.1", 1),
        "server": ("localhost", 80), "extensions": {},
    }  # fmt: skip

    async def receive():
        await trio.sleep_forever()

    async def send(message):
        if gone:
            raise OSError("nobody there")
        heard.extend(message.get("body", b""))

    async def run():
        await site.app(scope, receive, send)
        ended.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)

        def leave():
            nonlocal gone
            gone = True

        yield heard, ended, leave
        nursery.cancel_scope.cancel()


async def endless(emit: Emit) -> None:
    number = 0
    while True:
        await emit("count", {"number": number})
        number += 1
        await trio.sleep(10)


@pytest.fixture
async def site(tmp_path):
    async with site_of(tmp_path, BASIC, [part(endless)]) as found:
        found.account(ANN, password=None)
        yield found


def cookie(site) -> str:
    return site.known(ANN).headers["cookie"]


async def test_events_and_signs_of_life(site, autojump_clock):
    async with reader(site, cookie(site)) as (heard, ended, _):
        while b"beat" not in heard or b"1}" not in heard:
            await trio.sleep(1)  # the clock jumps over what threads do
        lines = heard.decode().split("\n\n")
        assert lines[0] == "retry: 2000"
        assert 'event: count\ndata: {"number":0}' in lines
        assert 'event: count\ndata: {"number":1}' in lines
        assert ": beat" in lines
        assert not ended.is_set()


async def test_it_ends_with_the_process(site, autojump_clock):
    async with reader(site, cookie(site)) as (_, ended, _leave):
        await trio.sleep(1)
        site.context.ending.set()
        await ended.wait()


async def test_it_ends_soon_after_the_session(site, autojump_clock):
    async with reader(site, cookie(site)) as (_, ended, _leave):
        await trio.sleep(1)
        site.context.sessions.end_others(site.directory.account(ANN).id)
        await ended.wait()


async def test_it_ends_soon_after_a_role_is_taken(site, autojump_clock):
    site.directory.set_roles(ANN, ["owner", "auditor"])
    async with reader(site, cookie(site)) as (_, ended, _leave):
        await trio.sleep(1)
        site.directory.set_roles(ANN, (), ["owner"])
        await ended.wait()


async def test_one_account_has_so_many_and_leaves_places_for_others(site, autojump_clock):
    site.account(BOB, password=None)
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(MOST):
            heard, _, _ = await stack.enter_async_context(reader(site, cookie(site)))
            while not heard:
                await trio.sleep(1)
        assert (await site.known(ANN).get("/live")).status_code == 429
        heard, _, _ = await stack.enter_async_context(reader(site, site.known(BOB).headers["cookie"]))
        while not heard:
            await trio.sleep(1)
        await stack.aclose()
    async with reader(site, cookie(site)) as (heard, _, _):
        while not heard:
            await trio.sleep(1)


async def test_a_page_that_lies_open_does_not_use_its_session(site, autojump_clock):
    async with reader(site, cookie(site)) as (heard, _ended, _leave):
        while b"beat" not in heard:
            await trio.sleep(1)
        before = site.context.sessions.changes
        while heard.count(b"beat") < 20:
            await trio.sleep(1)
        assert site.context.sessions.changes == before


async def test_it_ends_when_the_reader_has_gone(site, autojump_clock):
    async with reader(site, cookie(site)) as (heard, ended, leave):
        while not heard:
            await trio.sleep(1)
        leave()
        await ended.wait()


async def test_nobody_else_gets_any(site):
    async with reader(site, "session=x") as (heard, ended, _):
        await ended.wait()
        assert json.loads(heard)["status"] == 401


# What the server does now


def collected(count: int) -> Collected:
    link, stage = (("link", "inbound/queue"),), (("stage", "enqueue"), ("verdict", "delivered"))
    samples = [
        ("postroad_link_messages_total", link, count),
        ("postroad_stage_messages_total", stage, count),
        ("postroad_revision", (), 1),
    ]
    return Collected(["mail-0"], {"mail-0": samples}, {})


async def test_what_is_watched_is_looked_at_more_often(site, autojump_clock):
    watch, looks = Watch(site.context), []

    async def look() -> Collected:
        looks.append(trio.current_time())
        return collected(len(looks) * 100)

    site.context.collected = look
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.run)
        await trio.sleep(100)
        idle = len(looks)
        with watch.watching():
            await watch.next()
            await trio.sleep(100)
            assert len(looks) - idle > 2 * idle
        nursery.cancel_scope.cancel()
    assert watch.reading is not None
    assert watch.reading.arriving > 0
    assert watch.reading.leaving > 0
    assert watch.answering == (1, 1)
    assert watch.reasons == []
    assert len(watch.points) == len(looks) - 1


async def test_a_worker_that_does_not_answer_is_named(site):
    watch = Watch(site.context)
    watch.take(Collected(["mail-0", "mail-1"], {"mail-0": [("postroad_revision", (), 1)]}, {}))
    assert watch.reasons == ["mail-1 does not answer"]
    assert watch.answering == (1, 2)
