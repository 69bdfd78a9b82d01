"""What a request may take, by where it goes, and how the server ends."""

import math

import trio
import trio.testing
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from web_client import get, said, served, visited

from engine.web.bounds import bounded, bounds_of
from engine.web.http import Bounds, Terms


@bounded(body=1_000_000, seconds=300)
async def take(request: Request) -> Response:
    size = 0
    async for piece in request.stream():
        size += len(piece)
    return PlainTextResponse(f"took {size}")


async def refuse(_: Request) -> Response:
    return PlainTextResponse("no", 401)


@bounded(body=10_000_000)
async def refuse_much(_: Request) -> Response:
    return PlainTextResponse("no", 401)


@bounded(seconds=math.inf)
async def go_on(_: Request) -> Response:
    async def beats():
        for number in range(10):
            yield f"{number} "
            await trio.sleep(60)

    return StreamingResponse(beats())


APP = Starlette(
    routes=[
        Route("/take", take, methods=["POST"]),
        Route("/take", refuse, methods=["GET"]),
        Route("/refuse", refuse_much, methods=["POST"]),
        Mount("/below", routes=[Route("/on", go_on)]),
        Route("/on", go_on),
    ]
)


def bounds(scope):
    return bounds_of(APP.routes, scope)


def asked(path: str, method: str = "GET") -> Bounds:
    return bounds({"type": "http", "path": path, "method": method, "root_path": "", "headers": []})


def test_the_endpoint_says_it():
    assert asked("/take", "POST") == Bounds(1_000_000, 300)
    assert asked("/take") == asked("/nowhere") == Bounds()
    assert asked("/below/on").seconds == math.inf


def post(path: str, body: bytes) -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


async def test_one_may_take_more_than_another():
    async with visited(APP, bounds=bounds) as client:
        await client.send_all(post("/take", b"x" * 500_000) + get("/nowhere"))
        response = await said(client)
    assert b"took 500000" in response
    assert b"HTTP/1.1 404" in response


async def test_what_is_announced_as_too_large_is_refused():
    async with visited(APP, bounds=bounds) as client:
        await client.send_all(b"POST /take HTTP/1.1\r\nHost: a\r\nContent-Length: 1000001\r\n\r\n")
        assert (await said(client)).startswith(b"HTTP/1.1 413")


async def test_a_large_body_that_nobody_wanted_is_not_read_to_its_end():
    async with visited(APP, bounds=bounds) as client:
        await client.send_all(b"POST /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n" + b"x" * 100_000)
        assert (await said(client)).startswith(b"HTTP/1.1 401")


async def test_what_goes_on_is_not_cut(autojump_clock):
    async with visited(APP, bounds=bounds) as client:
        await client.send_all(get("/on"))
        assert b"9 " in await said(client)
        assert trio.current_time() > 500


async def test_at_the_end_idle_ones_go_and_what_is_asked_is_answered(autojump_clock):
    async with served(APP, bounds=bounds) as (client, server):
        await client.send_all(get("/nowhere").replace(b"close", b"keep-alive"))
        assert (await client.receive_some()).startswith(b"HTTP/1.1 404")
        began = trio.current_time()
        await server.drain()
        assert trio.current_time() - began < Terms().head_time / 2
        assert await said(client) == b""


async def test_an_answer_that_is_being_made_at_the_end_is_the_last_one(autojump_clock):
    asked, go = trio.Event(), trio.Event()

    async def slow(scope, receive, send):
        asked.set()
        await go.wait()
        await PlainTextResponse("there it is")(scope, receive, send)

    async with served(slow) as (client, server), trio.open_nursery() as nursery:
        await client.send_all(get("/").replace(b"close", b"keep-alive"))
        await asked.wait()
        nursery.start_soon(server.drain)
        await trio.testing.wait_all_tasks_blocked()
        go.set()
        response = await said(client)
    assert response.endswith(b"there it is")
    assert b"connection: close" in response.lower()
