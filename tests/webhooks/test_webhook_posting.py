"""Webhooks at a real HTTP server: what is signed, what is posted again, and what is given up."""

import hashlib
import hmac
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from engine.bounces.journal import Entry
from engine.config import Webhook
from engine.units import Duration
from engine.webhooks.outbox import Outbox, State
from engine.webhooks.posting import DELIVERY, SIGNATURE, Poster, Posters, signature
from tests.support.http_server import Asked, HttpServer
from tests.support.programs import Certificates

SECRET = b"a secret"


def entry(number: int) -> Entry:
    return Entry(time=float(number), event="failed", to=f"{number}@example.net", which="policy")


@pytest.fixture
def server() -> Iterator[HttpServer]:
    with HttpServer(lambda asked: b"ok").serving() as serving:
        yield serving


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with Outbox.open(tmp_path) as opened:
        yield opened


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_bytes(SECRET + b"\n")
    return path


def webhook(secret: Path, port: int, **settings: Any) -> Webhook:
    url = f"http://127.0.0.1:{port}/hook?a=b"
    values = {"name": "crm", "url": url, "secret_file": secret, "retry": (Duration("10ms"),), **settings}
    return Webhook(**values)


@asynccontextmanager
async def posting(one: Webhook, outbox: Outbox, clock: Callable[[], float] = time.time) -> AsyncIterator[Poster]:
    poster = Poster(one, outbox, clock)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(poster.run)
        yield poster
        nursery.cancel_scope.cancel()


async def until(holds: Callable[[], object]) -> None:
    with trio.fail_after(60):
        while not holds():
            await trio.sleep(0.01)


def posted(asked: list[Asked]) -> list[str]:
    return [event["to"] for one in asked for event in json.loads(one.body)["events"]]


def is_signed(asked: Asked, secret: bytes) -> bool:
    """As a receiver would look, with the standard library alone."""
    parts = [part.split("=", 1) for part in asked.headers[SIGNATURE].split(",")]
    now = next(value for name, value in parts if name == "t")
    wanted = hmac.new(secret, now.encode() + b"." + asked.body, hashlib.sha256).hexdigest()
    return any(hmac.compare_digest(wanted, value) for name, value in parts if name == "v1")


async def test_all_is_posted_in_order_and_signed(server: HttpServer, outbox: Outbox, secret: Path) -> None:
    one = webhook(secret, server.port, batch=2)
    outbox.put([one], [entry(number) for number in range(5)])
    async with posting(one, outbox):
        await until(lambda: outbox.state("crm") == State(0, 0))
    assert [len(json.loads(asked.body)["events"]) for asked in server.asked] == [2, 2, 1]
    assert posted(server.asked) == [f"{number}@example.net" for number in range(5)]
    for asked in server.asked:
        assert asked.path == "/hook?a=b"
        assert asked.headers["Content-Type"] == "application/json"
        assert is_signed(asked, SECRET)
        assert not is_signed(asked, b"another")
    assert len({asked.headers[DELIVERY] for asked in server.asked}) == 3
    assert server.connections == 1


async def test_a_secret_is_changed_while_it_runs(server: HttpServer, outbox: Outbox, secret: Path) -> None:
    one = webhook(secret, server.port)
    async with posting(one, outbox):
        outbox.put([one], [entry(1)])
        await until(lambda: outbox.state("crm") == State(0, 0))
        secret.write_bytes(b"a new one\n" + SECRET)
        outbox.put([one], [entry(2)])
        await until(lambda: outbox.state("crm") == State(0, 0))
    assert not is_signed(server.asked[0], b"a new one")
    assert is_signed(server.asked[1], b"a new one")
    assert is_signed(server.asked[1], SECRET)


async def test_it_is_posted_again_until_it_is_taken(
    server: HttpServer, outbox: Outbox, secret: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    server.status = 503
    one = webhook(secret, server.port)
    outbox.put([one], [entry(1)])
    async with posting(one, outbox):
        await until(lambda: len(server.asked) >= 3)
        outbox.put([one], [entry(2)])
        assert outbox.state("crm").waiting == 2
        server.status = 204
        await until(lambda: outbox.state("crm") == State(0, 0))
    assert set(posted(server.asked)) == {"1@example.net", "2@example.net"}
    assert (
        server.asked[0].headers[DELIVERY] == server.asked[1].headers[DELIVERY]
    )  # whoever has seen it may leave it out
    told = capfd.readouterr().err
    assert told.count('"webhook-failed"') == 1
    assert "it answered 503" in told
    assert told.count('"webhook-answers"') == 1


async def test_nobody_is_there(outbox: Outbox, secret: Path) -> None:
    with HttpServer(lambda asked: b"").serving() as gone:
        port = gone.port
    one = webhook(secret, port)
    outbox.put([one], [entry(1)])
    async with posting(one, outbox) as poster:
        await until(lambda: poster._failed > 2)
        with HttpServer(lambda asked: b"").serving(port=port) as back:
            await until(lambda: outbox.state("crm").waiting == 0)
            assert posted(back.asked) == ["1@example.net"]


async def test_a_server_that_says_nothing(outbox: Outbox, secret: Path, capfd: pytest.CaptureFixture[str]) -> None:
    hanging = trio.Event()
    stop = hanging.is_set

    def hang(asked: Asked) -> bytes:
        while not stop():
            time.sleep(0.01)
        return b""

    with HttpServer(hang).serving() as silent:
        one = webhook(secret, silent.port, timeout=Duration("50ms"))
        outbox.put([one], [entry(1)])
        async with posting(one, outbox) as poster:
            await until(lambda: poster._failed)
        hanging.set()
    assert "no answer within 0.05 s" in capfd.readouterr().err


async def test_what_waits_too_long_is_dropped(server: HttpServer, outbox: Outbox, secret: Path) -> None:
    server.status = 500
    one = webhook(secret, server.port, keep=Duration("1h"))
    outbox.put([one], [entry(1)])
    async with posting(one, outbox, lambda: time.time() + 4000):
        await until(lambda: outbox.state("crm") == State(0, 1))


async def test_under_tls_the_server_is_who_it_says(outbox: Outbox, secret: Path, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path / "tls")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.certificate, certificates.key)
    with HttpServer(lambda asked: b"").serving(context) as serving:
        url = f"https://localhost:{serving.port}/"
        stranger = webhook(secret, 0, url=url)
        outbox.put([stranger], [entry(1)])
        async with posting(stranger, outbox) as poster:
            await until(lambda: poster._failed)
        assert serving.asked == []
        async with posting(webhook(secret, 0, url=url, trust=certificates.authority), outbox):
            await until(lambda: outbox.state("crm").waiting == 0)
        assert posted(serving.asked) == ["1@example.net"]


async def test_webhooks_come_and_go_with_the_configuration(server: HttpServer, outbox: Outbox, secret: Path) -> None:
    first = webhook(secret, server.port)
    second = webhook(secret, server.port, name="two")
    webhooks = [first]
    outbox.put([first, second], [entry(1)])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Posters(lambda: webhooks, lambda: outbox).run)
        await until(lambda: outbox.state("crm").waiting == 0)
        assert outbox.state("two").waiting == 1
        webhooks[:] = [second]
        await until(lambda: outbox.state("two").waiting == 0)
        outbox.put([first, second], [entry(2)])
        await until(lambda: outbox.state("two").waiting == 0)
        assert outbox.state("crm").waiting == 1
        nursery.cancel_scope.cancel()


def test_each_secret_signs_so_that_they_can_be_changed() -> None:
    value = signature([b"new", b"old"], 1_790_000_000, b"{}")
    assert value.startswith("t=1790000000,v1=")
    for secret in (b"new", b"old"):
        assert hmac.new(secret, b"1790000000.{}", hashlib.sha256).hexdigest() in value
