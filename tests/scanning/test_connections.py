"""Connections to a scanner: kept, renewed when the other side has closed them, and under TLS."""

import json
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trio
import trio.testing

from engine.scanning import Unreachable
from engine.scanning.rspamd import Rspamd, RspamdSettings
from engine.scanning.where import Where
from tests.support.messages import message
from tests.support.programs import Certificates
from tests.support.server import free_port

ANSWER = b'{"action":"no action","score":1.5}'


def response(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


class Server:
    """Answers requests as a server does that keeps connections; after ``most`` of them it closes, without a word."""

    def __init__(self, most: int, answer: bytes = response(ANSWER)) -> None:
        self.connections = 0
        self.requests = 0
        self._most = most
        self._answer = answer

    async def __call__(self, stream: trio.abc.Stream) -> None:
        self.connections += 1
        held = b""
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            for _ in range(self._most):
                while not held.endswith(b"hello\r\n"):
                    octets = await stream.receive_some()
                    if not octets:
                        return
                    held += octets
                held = b""
                self.requests += 1
                await stream.send_all(self._answer)
            await stream.aclose()


@asynccontextmanager
async def serving(server: Server, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """The port on which it serves meanwhile."""
    async with trio.open_nursery() as nursery:
        if context is None:
            listeners = await nursery.start(trio.serve_tcp, server, 0)
        else:
            listeners = await nursery.start(trio.serve_ssl_over_tcp, server, 0, context)
        listener = listeners[0].transport_listener if context else listeners[0]
        yield listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


def saying(**more: object) -> bytes:
    """A response with which a message may go on, and more in it."""
    return response(json.dumps({"action": "no action", **more}).encode())


async def test_connections_are_kept() -> None:
    server = Server(most=100)
    async with serving(server) as port, Rspamd(RspamdSettings(url=f"http://127.0.0.1:{port}"), "mx") as rspamd:
        for _ in range(5):
            assert (await rspamd.scan(message())).score == 1.5
    assert (server.connections, server.requests) == (1, 5)


async def test_a_kept_one_that_was_closed_is_renewed() -> None:
    server = Server(most=2)
    async with serving(server) as port, Rspamd(RspamdSettings(url=f"http://127.0.0.1:{port}"), "mx") as rspamd:
        for _ in range(5):
            assert (await rspamd.scan(message())).score == 1.5
            await trio.testing.wait_all_tasks_blocked()
    assert (server.connections, server.requests) == (3, 5)


async def test_one_that_never_answers_is_asked_once() -> None:
    server = Server(most=0)
    async with serving(server) as port, Rspamd(RspamdSettings(url=f"http://127.0.0.1:{port}"), "mx") as rspamd:
        with pytest.raises(Unreachable, match=f"127.0.0.1:{port}: "):
            await rspamd.scan(message())
    assert server.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"220 smtp.example.org ESMTP\r\n\r\n",
        response(b'{"action":[]}'),
        response(b'{"score":1}'),
        response(b"{"),
        response(b'{"action":"no action","symbols":{"A":{"score":' + b"[" * 100_000),
        response(b'{"action":"no action","messages":' + b'{"a":' * 100_000),
        saying(symbols={f"S{number}": {} for number in range(1001)}),
        saying(milter={"add_headers": {"X-A": ["1"] * 1001}}),
        saying(milter={"add_headers": {"X-A": "1 " * 200_000}}),
        response(b'{"action":"no action","milter":{"change_from":"jane"}}'),
        response('{"action":"no action","milter":{"change_from":"jürgen@sender.test"}}'.encode()),
        response(b'{"action":"no action","milter":{"change_from":"%b@sender.test"}}' % (b"x" * 300)),
    ],
    ids=[
        "SMTP",
        "a list",
        "no action",
        "cut off",
        "lists without an end",
        "tables without an end",
        "many symbols",
        "many fields",
        "a large field",
        "no sender",
        "a sender of another kind of mail",
        "a long sender",
    ],
)
async def test_what_is_no_answer(answer: bytes) -> None:
    async with (
        serving(Server(most=9, answer=answer)) as port,
        Rspamd(RspamdSettings(url=f"http://127.0.0.1:{port}"), "mx") as rspamd,
    ):
        with pytest.raises(Unreachable):
            await rspamd.scan(message())


async def test_texts_of_old_releases_are_nothing_to_say() -> None:
    answer = response(b'{"action":"soft reject","messages":["later"]}')
    async with (
        serving(Server(most=9, answer=answer)) as port,
        Rspamd(RspamdSettings(url=f"http://127.0.0.1:{port}"), "mx") as rspamd,
    ):
        found = await rspamd.scan(message())
    assert (found.action, found.text) == ("defer", "Please send this message again later")


async def test_under_tls(tmp_path: Path) -> None:
    ours = Certificates(tmp_path / "ours", "localhost")
    theirs = Certificates(tmp_path / "theirs", "localhost")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(ours.certificate, ours.key)
    async with serving(Server(most=9), context) as port:
        url = f"https://localhost:{port}"
        async with Rspamd(RspamdSettings(url=url, trust=ours.authority), "mx") as rspamd:
            assert (await rspamd.scan(message())).score == 1.5
            assert (await rspamd.scan(message())).score == 1.5
        other = f"https://127.0.0.1:{port}"  # for which the certificate is not
        for where, trust in ((url, theirs.authority), (url, None), (other, ours.authority)):
            async with Rspamd(RspamdSettings(url=where, trust=trust), "mx") as rspamd:
                with pytest.raises(Unreachable, match="TLS failed"):
                    await rspamd.scan(message())


async def test_a_host_without_an_address() -> None:
    with pytest.raises(OSError, match=r"."):
        await Where.parse("nowhere.invalid:1").connected()


async def test_the_next_address_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(most=1)
    async with serving(server) as port:
        found = [(socket.AF_INET, 0, 0, "", ("127.0.0.1", one)) for one in (free_port(), port)]

        async def addresses(*_: object, **__: object) -> object:
            return found

        monkeypatch.setattr(trio.socket, "getaddrinfo", addresses)
        (await Where.parse("scanner.example:1").connected()).close()


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("/run/clamd.ctl", "/run/clamd.ctl"),
        ("unix:/run/clamd.ctl", "/run/clamd.ctl"),
        ("[::1]:3310", "[::1]:3310"),
        ("scanner.example:3310", "scanner.example:3310"),
    ],
)
def test_where_a_scanner_listens(text: str, written: str) -> None:
    assert str(Where.parse(text)) == written
