"""HTTP for the application: whatever octets come, in whatever pieces, nothing is raised and every response is one."""

import contextlib

import h11
import trio
from hypothesis import example, given
from hypothesis import strategies as st
from test_http_server import echo
from trio.testing import MockClock
from web_client import said, visited

WORDS = st.sampled_from(
    [
        b"GET / HTTP/1.1\r\n", b"POST /a?b HTTP/1.1\r\n", b"GET / HTTP/1.0\r\n", b"HEAD * HTTP/1.1\r\n", b"Host: a\r\n",
        b"Content-Length: 3\r\n", b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n",
        b"Connection: keep-alive, Upgrade\r\n", b"Upgrade: h2c\r\n", b"Expect: 100-continue\r\n", b"\r\n", b"abc",
        b"3\r\nabc\r\n", b"0\r\n\r\n", b"0\r\nTrailer: x\r\n\r\n", b" folded\r\n", b"\n", b"\x00",
    ]
)  # fmt: skip
PIECES = st.lists(st.one_of(WORDS, WORDS, st.binary(max_size=40)), max_size=12)


def responses(octets: bytes) -> list[int]:
    """The status of each response, as a client reads them. RemoteProtocolError where something is no response."""
    found = []
    while octets:
        client = h11.Connection(h11.CLIENT)
        client.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
        client.send(h11.EndOfMessage())
        client.receive_data(octets)
        client.receive_data(b"")
        while not isinstance(event := client.next_event(), h11.EndOfMessage | h11.ConnectionClosed):
            if isinstance(event, h11.Response | h11.InformationalResponse):
                found.append(event.status_code)
        octets = client.trailing_data[0]
    return found


@given(PIECES)
@example([b"GET / HTTP/1.1\r\n", b"Host: a\r\n", b"Content-Length: 3\r\n", b"\n", b"\x80", b"GET / HTTP/1.1\r\n"])
def test_whatever_comes(pieces: list[bytes]) -> None:
    async def visit() -> bytes:
        async with visited(echo) as client:
            for piece in pieces:
                try:
                    await client.send_all(piece)
                except trio.BrokenResourceError:
                    break
            with contextlib.suppress(trio.BrokenResourceError, OSError):
                await client.send_eof()
            return await said(client)

    if any(piece.startswith(b"HEAD") for piece in pieces):  # whose responses have lengths of what does not come
        trio.run(visit, clock=MockClock(autojump_threshold=0))
    else:
        found = responses(trio.run(visit, clock=MockClock(autojump_threshold=0)))
        assert set(found) <= {100, 200, 400, 408, 413, 431, 501, 503}
