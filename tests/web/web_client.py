"""An ASGI application behind our HTTP, and a client of it that says exactly what it is told to."""

import contextlib
import socket
from collections.abc import AsyncIterator

import trio

from engine.net.connection import Connection
from engine.web.http import Http, Terms, same

TERMS = Terms()


@contextlib.asynccontextmanager
async def served(app, terms: Terms = TERMS, bounds=same) -> AsyncIterator[tuple[trio.SocketStream, Http]]:
    """A client's end of a connection, and the server that serves it meanwhile; at the end that is done with it too."""
    ours, theirs = socket.socketpair()
    client, server = trio.SocketStream(trio.socket.from_stdlib_socket(ours)), Http(app, terms, bounds)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.serve, Connection(theirs))
        async with client:
            yield client, server


@contextlib.asynccontextmanager
async def visited(app, terms: Terms = TERMS, bounds=same) -> AsyncIterator[trio.SocketStream]:
    """The client's end alone."""
    async with served(app, terms, bounds) as (client, _):
        yield client


async def said(client: trio.SocketStream) -> bytes:
    """All that the server says until it closes."""
    return b"".join([octets async for octets in client])


async def answer(app, request: bytes, terms: Terms = TERMS) -> bytes:
    """What the server says to a client that sends this and nothing more, but waits."""
    async with visited(app, terms) as client:
        await client.send_all(request)
        return await said(client)


def get(path: str, **headers: str) -> bytes:
    """A request after which the connection is closed."""
    lines = [f"GET {path} HTTP/1.1", "Host: mx.test", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode()
