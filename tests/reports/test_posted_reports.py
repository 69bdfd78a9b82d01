"""Posting reports: to pages at public addresses, under TLS whatever the certificate is, for a bounded time."""

import pytest
import trio

from engine.net.dns import Resolver
from engine.net.targets import Network, ip_network
from engine.net.zone import Zone, serve_zone
from engine.reports import posting as posting_module
from engine.reports.posting import Posting
from tests.support.authorities import OTHER, PAST, Server
from tests.support.http_server import HttpServer

LOOPBACK: tuple[Network, ...] = (ip_network("127.0.0.0/8"),)
ZONE = Zone("example.com", {"reports": {"A": "127.0.0.1"}})
STRANGE = Server("nobody.invalid", by=OTHER, **PAST)


@pytest.fixture
async def resolver():
    async with trio.open_nursery() as nursery:
        yield Resolver([await nursery.start(serve_zone, ZONE)])
        nursery.cancel_scope.cancel()


@pytest.fixture
def page():
    with HttpServer(lambda _: b"thanks").serving(STRANGE.context) as server:
        yield server


async def test_a_report_is_posted_whoever_vouches_for_the_page(resolver: Resolver, page: HttpServer) -> None:
    posting = Posting(resolver, LOOPBACK)
    assert (
        await posting.post(f"https://reports.example.com:{page.port}/a/b?c=d", "application/tlsrpt+gzip", b"xyz") == ""
    )
    (asked,) = page.asked
    assert (asked.path, asked.body) == ("/a/b?c=d", b"xyz")
    assert asked.headers["Content-Type"] == "application/tlsrpt+gzip"
    assert asked.headers["Host"] == f"reports.example.com:{page.port}"
    assert asked.headers["Content-Length"] == "3"


async def test_what_a_page_answers_counts(resolver: Resolver, page: HttpServer) -> None:
    page.status = 503
    posting, url = Posting(resolver, LOOPBACK), f"https://reports.example.com:{page.port}/"
    assert await posting.post(url, "a/b", b"x") == "it answered 503"
    assert await posting.post(url, "a/b", b"x") == "it has just failed"
    assert len(page.asked) == 1


async def test_nothing_goes_inside(resolver: Resolver, page: HttpServer) -> None:
    trouble = await Posting(resolver).post(f"https://reports.example.com:{page.port}/", "a/b", b"x")
    assert trouble == "reports.example.com has no public address"
    assert page.connections == 0


@pytest.mark.parametrize(
    "url", ["https://u:p@reports.example.com/", "https:///x", "https://reports.example.com:x/", "https://[::1/"]
)
async def test_what_is_no_page(resolver: Resolver, url: str) -> None:
    assert await Posting(resolver, LOOPBACK).post(url, "a/b", b"x")


async def test_who_says_nothing_is_left(resolver: Resolver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting_module, "TIMEOUT", 0.2)
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, lambda _: trio.sleep_forever(), [listener])
        port = listener.socket.getsockname()[1]
        trouble = await Posting(resolver, LOOPBACK).post(f"https://reports.example.com:{port}/", "a/b", b"x")
        assert trouble == "it took longer than 0.2 s"
        nursery.cancel_scope.cancel()
