"""Connections to milters that do not keep to the protocol, or to the connection."""

import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from engine.protocols.milter import Client, Decision, Path, Transaction
from engine.scanning import Unreachable
from engine.scanning.milter_connections import MilterConnections, where
from tests.support.server import PATIENCE

Serve = Callable[[trio.SocketStream], Awaitable[None]]

SILENT = 0xDF080


def packet(code: bytes, data: bytes = b"") -> bytes:
    return struct.pack("!I", 1 + len(data)) + code + data


TERMS = packet(b"O", struct.pack("!III", 6, 0x1FF, SILENT))
END = packet(b"E")


def letter(client: str = "192.0.2.1") -> Transaction:
    return Transaction(Client("client.test", client, "helo"), Path("a@b.test"), [Path("c@d.test")], [(b"From", b" a")])


def body() -> Iterator[bytes]:
    yield b"hello\r\n"


async def heard(stream: trio.SocketStream, end: bytes = END) -> bytes:
    """What comes up to ``end``, or all up to the end of the connection."""
    octets = b""
    while not octets.endswith(end) and (some := await stream.receive_some()):
        octets += some
    return octets


class Milter:
    """Answers each message by what ``answers`` has in turn; None: it closes instead. ``told``: what came."""

    def __init__(self, *answers: bytes | None) -> None:
        self.answers = list(answers)
        self.connections = 0
        self.told: list[bytes] = []

    async def __call__(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        await stream.receive_some(17)
        await stream.send_all(TERMS)
        while self.answers and (told := await heard(stream)):
            self.told.append(told)
            if (answer := self.answers.pop(0)) is None:
                break
            await stream.send_all(answer)
        await stream.aclose()


@asynccontextmanager
async def connected(serve: Serve, **given: float) -> AsyncIterator[MilterConnections]:
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, serve, 0)
        port = listeners[0].socket.getsockname()[1]
        settings = {"idle": 30, "keep": 2, "messages_per_connection": 100, **given}
        connections = MilterConnections(where(f"127.0.0.1:{port}"), **settings)  # type: ignore[arg-type]
        yield connections
        await connections.close()
        nursery.cancel_scope.cancel()


async def test_a_message_whose_steps_have_no_answers_comes_in_one_piece() -> None:
    pieces = []

    async def serve(stream: trio.SocketStream) -> None:
        await stream.receive_some(17)
        await stream.send_all(TERMS)
        pieces.append(await stream.receive_some())
        await stream.send_all(packet(b"c"))

    async with connected(serve) as connections:
        assert await connections.ask(letter(), body) == Decision("pass")
    (piece,) = pieces
    assert piece.endswith(packet(b"B", b"hello\r\n") + END)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "broke the protocol: an answer of 1213486160 octets"),
        (packet(b"?"), r"broke the protocol: the answer b'\?' to the step END"),
        (packet(b"h", b"no end"), "broke the protocol: a header field does not end"),
        (packet(b"c")[:3], "it has closed the connection"),
        (None, "it has closed the connection"),
    ],
)
async def test_nonsense_is_one_clear_error_and_no_connection_is_kept(answer: bytes | None, why: str) -> None:
    milter = Milter(answer)
    async with connected(milter) as connections:
        with pytest.raises(Unreachable, match=why):
            await connections.ask(letter(), body)
        milter.answers = [packet(b"c")]
        assert await connections.ask(letter(), body) == Decision("pass")
    assert milter.connections == 2


async def test_a_connection_that_is_of_no_more_use_is_closed() -> None:
    closed = trio.Event()

    async def serve(stream: trio.SocketStream) -> None:
        await stream.receive_some(17)
        await stream.send_all(TERMS)
        await heard(stream)
        await stream.send_all(packet(b"?"))
        await heard(stream, b"never")
        closed.set()

    async with connected(serve) as connections:
        with pytest.raises(Unreachable):
            await connections.ask(letter(), body)
        with trio.fail_after(PATIENCE):
            await closed.wait()


async def test_terms_that_make_no_sense() -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await stream.send_all(packet(b"O", struct.pack("!III", 9, 0, 0)))
        await heard(stream)

    async with connected(serve) as connections:
        with pytest.raises(Unreachable, match="broke the protocol: it speaks version 9"):
            await connections.ask(letter(), body)


async def test_a_kept_connection_that_was_closed_meanwhile_is_no_trouble() -> None:
    milter = Milter(packet(b"c"), None, packet(b"r"))
    async with connected(milter) as connections:
        assert await connections.ask(letter(), body) == Decision("pass")
        refused = await connections.ask(letter(), body)
        assert refused.outcome == "refuse"
    assert milter.connections == 2
    first, again, anew = milter.told
    assert packet(b"K") not in first + again
    assert anew == first


async def test_one_that_breaks_off_within_an_answer_is_not_asked_twice() -> None:
    milter = Milter(packet(b"c"), packet(b"p"))
    async with connected(milter) as connections:
        await connections.ask(letter(), body)
        with pytest.raises(Unreachable, match="it has closed the connection"):
            await connections.ask(letter(), body)
    assert milter.connections == 1


async def test_no_more_connections_are_kept_than_there_may_be() -> None:
    milter = Milter(*[packet(b"a")] * 6)
    async with connected(milter, keep=1) as connections:
        for client in ("192.0.2.1", "192.0.2.2", "192.0.2.2", "192.0.2.1"):
            await connections.ask(letter(client), body)
    assert milter.connections == 3


async def test_a_connection_is_kept_for_so_long() -> None:
    milter = Milter(*[packet(b"c")] * 3)
    async with connected(milter, idle=0) as connections:
        await connections.ask(letter(), body)
        await trio.sleep(0.01)
        await connections.ask(letter(), body)
    assert milter.connections == 2


async def test_a_call_that_is_cancelled_leaves_no_connection() -> None:
    milter = Milter(b"", packet(b"c"))
    async with connected(milter) as connections:
        with trio.move_on_after(0.1):
            await connections.ask(letter(), body)
        assert await connections.ask(letter(), body) == Decision("pass")
    assert milter.connections == 2


def test_a_free_port_is_nobody() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        connections = MilterConnections(
            where(f"127.0.0.1:{probe.getsockname()[1]}"), idle=1, keep=1, messages_per_connection=1
        )
        with pytest.raises(Unreachable, match="refused"):
            trio.run(connections.ask, letter(), body)
