"""Connections to one milter: a message is told to it, and its decision heard; kept for the next message."""

import contextlib
import re
from collections.abc import Callable, Iterator

import trio

from engine.net.connection import Connection, ConnectionLost
from engine.protocols.milter import PROCEED, READY, Client, Decision, MilterClient, MilterError, Transaction
from engine.scanning.guard import Unreachable
from engine.scanning.where import Where

GATHER = 64 * 1024
"""Octets that are gathered before they are sent, where no answer is waited for: a usual message is sent at once."""

_SENDMAIL = re.compile(r"(\d+)@(.+)")


def where(text: str) -> Where:
    """Of ``"unix:/path"``, ``"host:port"``, ``"inet:host:port"`` (Postfix) or ``"inet:port@host"`` (Sendmail).

    ValueError for anything else.
    """
    rest = text.removeprefix("local:").removeprefix("inet:").removeprefix("inet6:")
    if turned := _SENDMAIL.fullmatch(rest):
        rest = f"[{turned[2]}]:{turned[1]}" if ":" in turned[2] else f"{turned[2]}:{turned[1]}"
    return Where.parse(rest)


class _Link:
    """A connection, and how far the milter has been told."""

    def __init__(self, connection: Connection, now: float) -> None:
        self.talk = MilterClient()
        self.heard = 0  # octets
        self.told = 0  # messages
        self.since = now
        self._connection = connection
        self._unsent: list[bytes] = []
        self._waiting = 0  # octets of these

    async def decision(self, transaction: Transaction, body: Iterator[bytes]) -> Decision:
        """Tell the message. ConnectionLost, MilterError."""
        talk = self.talk
        self.told += 1
        self.heard = 0
        talk.begin(transaction)
        decided = await self._answered()
        while decided is None and talk.wants_body and (piece := next(body, None)) is not None:
            talk.body(piece)
            decided = await self._answered()
        if decided is None:
            talk.end()
            decided = await self._answered()
        assert decided is not None
        return decided

    async def open(self) -> None:
        """Agree upon the terms."""
        while self.talk.next_event() is not READY:
            await self._hear()

    async def _answered(self) -> Decision | None:
        """The decision, or None when the milter owes no answer and is to be told more."""
        while (event := self.talk.next_event()) is None:
            await self._hear()
        if isinstance(event, Decision):
            return event
        assert event is PROCEED
        self._gather()
        if self._waiting > GATHER:
            await self._send()
        return None

    async def _hear(self) -> None:
        self._gather()
        await self._send()
        self._connection.acknowledge()  # of the answers to several steps, each may be a write of its own
        octets = await self._connection.receive()
        if not octets:
            raise ConnectionLost(0, "it has closed the connection")
        self.heard += len(octets)
        self.talk.receive(octets)

    def _gather(self) -> None:
        octets = self.talk.outgoing()
        self._unsent.append(octets)
        self._waiting += len(octets)

    async def _send(self) -> None:
        octets = b"".join(self._unsent)
        self._unsent.clear()
        self._waiting = 0
        if octets:
            await self._connection.send(octets)

    async def quit(self) -> None:
        """Say goodbye, and close."""
        try:
            self.talk.quit()
            self._gather()
            with contextlib.suppress(ConnectionLost):
                await self._send()
        finally:
            self.close()

    def close(self) -> None:
        self._connection.close()


class MilterConnections:
    """Those of one worker to one milter; each call of ``ask`` has one for itself."""

    def __init__(self, at: Where, *, idle: float, keep: int, messages_per_connection: int) -> None:
        """``idle``: seconds for which a connection is kept; ``keep``: how many are."""
        self._where = at
        self._keep = keep
        self._idle = idle
        self._most = messages_per_connection
        self._kept: list[_Link] = []

    async def ask(self, transaction: Transaction, body: Callable[[], Iterator[bytes]]) -> Decision:
        """What the milter says of a message. ``body`` gives its octets in pieces of CHUNK at most. Unreachable."""
        await self._end_idle()
        link = self._take(transaction.client)
        if link is not None:
            try:
                return await self._asked(link, transaction, body())
            except ConnectionLost as error:
                if link.heard:
                    raise Unreachable(_why(error)) from error
                # The milter may have closed it long ago, or been restarted.
        try:
            link = await self._opened()
            return await self._asked(link, transaction, body())
        except OSError as error:
            raise Unreachable(_why(error)) from error

    async def close(self) -> None:
        while self._kept:
            await self._kept.pop().quit()

    async def _asked(self, link: _Link, transaction: Transaction, body: Iterator[bytes]) -> Decision:
        try:
            return await link.decision(transaction, body)
        except MilterError as error:
            raise Unreachable(f"it broke the protocol: {error}") from error
        finally:
            if link.talk.is_settled:
                await self._put_back(link)
            else:
                link.close()

    async def _put_back(self, link: _Link) -> None:
        if link.told >= self._most:
            await link.quit()
            return
        link.since = trio.current_time()
        self._kept.append(link)
        if len(self._kept) > self._keep:
            await self._kept.pop(0).quit()

    async def _opened(self) -> _Link:
        link = _Link(await self._where.connected(), trio.current_time())
        try:
            await link.open()
        except BaseException as error:
            link.close()
            if isinstance(error, MilterError):
                raise Unreachable(f"it broke the protocol: {error}") from error
            raise
        return link

    def _take(self, client: Client) -> _Link | None:
        """A kept connection that can take a message of that client as its next one; the one last used, of several."""
        for place in range(len(self._kept) - 1, -1, -1):
            if self._kept[place].talk.can_follow(client):
                return self._kept.pop(place)
        return None

    async def _end_idle(self) -> None:
        before = trio.current_time() - self._idle
        while self._kept and self._kept[0].since < before:
            await self._kept.pop(0).quit()


def _why(error: OSError) -> str:
    cause: BaseException | None = error.__cause__
    if isinstance(cause, BaseExceptionGroup):  # one error for each address of a host
        cause = cause.exceptions[0]
    return error.strerror or (isinstance(cause, OSError) and cause.strerror) or str(error)
