"""Connections to one scanner, kept for the next message."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

from engine.message import Content
from engine.net.connection import Connection, ConnectionLost
from engine.scanning.guard import Unreachable
from engine.scanning.where import Where

GATHER = 64 * 1024
"""Octets up to which a message goes in one send with what stands before and behind it."""

T = TypeVar("T")


class Reusable(Protocol):
    """The state of a protocol on a connection."""

    @property
    def reusable(self) -> bool:
        """Whether another message may follow."""
        ...


P = TypeVar("P", bound=Reusable)


class Connections(Generic[P]):
    """Those of one worker. ``protocol`` makes the state of a new one."""

    def __init__(self, where: Where, protocol: Callable[[], P]) -> None:
        self._where = where
        self._protocol = protocol
        self._idle: list[tuple[Connection, P]] = []

    def close(self) -> None:
        while self._idle:
            self._idle.pop()[0].close()

    async def run(self, work: Callable[[Connection, P], Awaitable[T]]) -> T:
        """What ``work`` finds by a connection; it may be done twice, for a kept one may have been closed long ago.

        Unreachable, where ``work`` raises ConnectionLost on a new one, or none can be had.
        """
        while self._idle:
            with suppress(ConnectionLost):
                return await self._done(*self._idle.pop(), work)
        try:
            return await self._done(await self._where.connected(), self._protocol(), work)
        except OSError as error:
            raise Unreachable(f"{self._where}: {error.strerror or error}") from error

    async def _done(self, connection: Connection, protocol: P, work: Callable[[Connection, P], Awaitable[T]]) -> T:
        try:
            found = await work(connection, protocol)
        except BaseException:
            connection.close()
            raise
        if protocol.reusable:
            self._idle.append((connection, protocol))
        else:
            connection.close()
        return found


async def send(connection: Connection, head: bytes, message: Content, tail: bytes = b"") -> None:
    """Send content with what the protocol wants around it; what is large as it lies, without copies. ConnectionLost."""
    if message.size <= GATHER:
        await connection.send(b"".join((head, *message.chunks(), tail)))
        return
    await connection.send(head)
    for chunk in message.chunks():
        await connection.send(chunk)
    if tail:
        await connection.send(tail)


async def received(connection: Connection) -> bytes:
    """The next octets. ConnectionLost, also when there are no more."""
    octets = await connection.receive()
    if not octets:
        raise ConnectionLost(0, "it closed the connection without an answer")
    return octets
