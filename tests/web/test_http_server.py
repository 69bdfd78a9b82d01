"""HTTP for the application: what is served, what is refused, and that no client keeps anything for long."""

import contextlib
import json

import pytest
import trio
from starlette.responses import PlainTextResponse, StreamingResponse
from web_client import answer, get, said, visited

from engine.web.http import Terms


async def echo(scope, receive, send):
    """Says what it was asked."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        more = message["more_body"]
    told = {name: scope[name] for name in ("method", "path", "http_version", "scheme")}
    told |= {"query": scope["query_string"].decode("utf-8", "replace"), "body": body.decode("utf-8", "replace")}
    await PlainTextResponse(json.dumps(told))(scope, receive, send)


async def deaf(scope, receive, send):
    """Answers without hearing what the client has to say."""
    await PlainTextResponse("enough")(scope, receive, send)


def body(response: bytes):
    return json.loads(response.partition(b"\r\n\r\n")[2])


async def test_a_request_and_its_response():
    response = await answer(echo, get("/a%20b?c=d%20e"))
    assert response.startswith(b"HTTP/1.1 200 \r\n")
    assert body(response) == {
        "method": "GET", "path": "/a b", "http_version": "1.1", "scheme": "http", "query": "c=d%20e", "body": "",
    }  # fmt: skip


async def test_octet_by_octet():
    async with visited(echo) as client:
        for octet in get("/slowly"):
            await client.send_all(bytes([octet]))
        assert body(await said(client))["path"] == "/slowly"


async def test_a_target_may_come_whole():
    assert body(await answer(echo, get("http://mx.test/a?b")))["path"] == "/a"
    assert body(await answer(echo, get("http://mx.test")))["path"] == "/"


async def test_several_requests_on_one_connection():
    one = b"POST / HTTP/1.1\r\nHost: mx.test\r\nContent-Length: 3\r\n\r\none"
    two = b"POST / HTTP/1.1\r\nHost: mx.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n"
    response = await answer(echo, one + two + get("/"))
    assert response.count(b"HTTP/1.1 200") == 3
    assert response.index(b'"one"') < response.index(b'"two"')


async def test_what_the_application_did_not_read_does_not_become_the_next_request():
    one = b"POST / HTTP/1.1\r\nHost: mx.test\r\nContent-Length: 26\r\n\r\nGET /evil HTTP/1.1\r\n\r\n\r\n\r\n"
    response = await answer(deaf, one + get("/"))
    assert response.count(b"HTTP/1.1 200") == 2


async def test_head_has_no_body():
    response = await answer(deaf, get("/").replace(b"GET", b"HEAD"))
    assert response.startswith(b"HTTP/1.1 200")
    assert b"content-length: 6\r\n" in response.lower()
    assert response.endswith(b"\r\n\r\n")


async def test_who_asks_whether_to_go_on_is_told_so():
    async with visited(echo) as client:
        await client.send_all(
            b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\n"
        )
        assert (await client.receive_some()).startswith(b"HTTP/1.1 100")
        await client.send_all(b"hi")
        assert body(await said(client))["body"] == "hi"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"EHLO client.test\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 400),
        (b"GET evil HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 70_000, 431),
        (b"x" * 70_000, 431),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + b"9" * 15 + b"\r\n\r\n", 413),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
            + (b"1000\r\n" + b"x" * 4096 + b"\r\n") * 20,
            413,
        ),
    ],
)
async def test_what_is_refused(request_, status):
    async with visited(echo) as client:
        with trio.move_on_after(30):  # it may stop reading before all was sent
            with contextlib.suppress(trio.BrokenResourceError):
                await client.send_all(request_)
            response = await said(client)
            assert response.startswith(f"HTTP/1.1 {status} ".encode()), response
            assert b"connection: close" in response.lower()


@pytest.mark.parametrize("upgrade", ["h2c", "websocket", "x" * 1000])
async def test_no_upgrade_is_made(upgrade):
    request = get("/", Upgrade=upgrade, HTTP2_Settings="AAMAAABkAAQAAP__").replace(b"close", b"Upgrade, close")
    response = await answer(echo, request + b"\x00\xffgarbage behind it" * 20)
    assert response.startswith(b"HTTP/1.1 200")
    assert response.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nHost:"])
async def test_who_does_not_say_all_of_it_is_sent_away(begun, autojump_clock):
    async with visited(echo) as client:
        began = trio.current_time()
        await client.send_all(begun)
        response = await said(client)
        assert trio.current_time() - began == pytest.approx(Terms().head_time, abs=2)
        assert response.startswith(b"HTTP/1.1 408") if begun else response == b""


async def test_who_says_a_little_now_and_then_is_sent_away_all_the_same(autojump_clock):
    async with visited(echo) as client:
        began = trio.current_time()

        async def dribble():
            for octet in get("/" + "x" * 1000):
                try:
                    await client.send_all(bytes([octet]))
                except trio.BrokenResourceError:
                    return
                await trio.sleep(1)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(dribble)
            assert (await said(client)).startswith(b"HTTP/1.1 408")
            nursery.cancel_scope.cancel()
        assert trio.current_time() - began < 2 * Terms().head_time


async def test_a_content_that_never_ends_is_given_up(autojump_clock):
    async with visited(echo) as client:
        await client.send_all(b"POST / HTTP/1.1\r\nHost: mx.test\r\nContent-Length: 100\r\n\r\nx")
        assert (await said(client)).startswith(b"HTTP/1.1 408")


async def test_who_takes_nothing_is_given_up(autojump_clock):
    ended = trio.Event()

    async def endless(scope, receive, send):
        async def chunks():
            while True:
                yield b"x" * 65_536

        try:
            await StreamingResponse(chunks())(scope, receive, send)
        finally:
            ended.set()

    async with visited(endless) as client:
        await client.send_all(get("/"))
        await ended.wait()


async def broken(scope, receive, send):
    raise RuntimeError("a fault of ours")


async def halting(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"he", "more_body": True})
    raise RuntimeError("a fault of ours, too late to say so")


async def test_a_fault_of_the_application_is_logged_and_ends_one_connection(capfd):
    assert (await answer(broken, get("/"))).startswith(b"HTTP/1.1 500")
    assert (await answer(halting, get("/"))).endswith(b"\r\n\r\nhe")
    assert capfd.readouterr().err.count('"event":"bug"') == 2


async def test_a_client_that_goes_away_is_no_fault(capfd):
    async with visited(echo) as client:
        await client.send_all(b"POST / HTTP/1.1\r\nHost: mx.test\r\nContent-Length: 100\r\n\r\nx")
    assert capfd.readouterr().err == ""


async def test_no_connection_lives_for_ever():
    terms = Terms(requests=3)
    response = await answer(deaf, b"GET / HTTP/1.1\r\nHost: mx.test\r\n\r\n" * 10, terms)
    assert response.count(b"HTTP/1.1 200") == 3
