"""Handing mail in from another process of ours: the dialogue of submission (RFC 6409), without a network in between.

What somebody writes in the browser is submitted by the same stage, in the same session, as what a mail program sends:
so every rule holds for both – in whose name somebody may write, how much, how large – and none is written down twice.
Only the login is not asked for again: the process that asks has seen it. The dialogue runs over a pair of sockets
within the worker that has the stage.
"""

import socket
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import trio

from engine.links.request import Function, answer_requests
from engine.net.connection import Connection, ConnectionLost
from engine.observe.events import event
from engine.protocols.smtp_client import Closing, ContentWanted, Finished, Ready, Refused, SmtpClient
from engine.protocols.smtp_heard import PeerError, Reply
from engine.protocols.smtp_transaction import To, Transaction
from engine.protocols.timing import UNTIMED, Timing
from engine.runtime.places import between
from engine.runtime.revision import Here
from engine.runtime.services import SUBMIT_SERVICE

Serve: TypeAlias = Callable[[str, Connection], Awaitable[None]]
"""Serves a connection to the listener of that name."""

Told: TypeAlias = tuple[int, str, str]
"""What became of a recipient: code, enhanced code, text."""

PATIENCE = 300.0
"""Seconds of a dialogue: the scanners of a lane may take theirs."""

_PIECE = 64 * 1024

_NOT_LATER = Reply(553, "Mail is not held for later here", "5.7.1", local=True)


class Handing:
    """Takes what other processes hand in. ``serve`` is as ``Role.serve``."""

    def __init__(self, here: Here, serve: Serve) -> None:
        self._here = here
        self._serve = serve

    async def run(self) -> None:
        """Answer until cancelled."""
        here = self._here
        endpoint = between(here.folder, here.process.name, here.life, SUBMIT_SERVICE)
        answers: dict[str, Function] = {"submit": self._submit}
        await answer_requests(here.context, endpoint, answers)

    async def _submit(self, who: tuple[str, str, str], to: list[str], release: float, content: bytes) -> list[Told]:
        """What became of each recipient. ``who``: the listener whose rules hold, the account, and its IP address.

        The first of ``to`` is the sender. ``release``: Unix time up to which it is to be held; 0: it is not.
        """
        (listener, login, peer), (sender, *recipients) = who, to
        ours, theirs = map(Connection, socket.socketpair())
        theirs.speaks_for(peer)
        theirs.login = login
        transaction = Transaction(
            sender,
            tuple(map(To, recipients)),
            len(content),
            body="7BIT" if content.isascii() else "8BITMIME",
            utf8_headers=not content.partition(b"\r\n\r\n")[0].isascii(),
            timing=Timing(release=release) if release else UNTIMED,
        )
        found: list[Told] = []
        try:
            with trio.fail_after(PATIENCE):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._serve_one, listener, theirs)
                    found = list(map(_told, await _Dialogue(ours).send(transaction, content)))
                    ours.close()
        finally:
            ours.close()
            theirs.close()
        return found

    async def _serve_one(self, listener: str, connection: Connection) -> None:
        try:
            await self._serve(listener, connection)
        except ConnectionLost:
            pass
        except Exception as error:
            event.bug("submission", error)
        finally:
            connection.close()


def _told(reply: Reply) -> Told:
    return reply.code, reply.status, reply.text.replace("\n", " ")


class _Dialogue:
    """The client's side of one message."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._client = SmtpClient("webmail.localhost", chunking=False)

    async def send(self, transaction: Transaction, content: bytes) -> tuple[Reply, ...]:
        """The reply for each recipient, whatever happens."""
        try:
            while True:
                said: Any = await self._next()
                if isinstance(said, Ready):
                    if transaction.timing.release and "FUTURERELEASE" not in said.extensions:
                        return (_NOT_LATER,) * len(transaction.recipients)
                    self._client.begin(transaction)
                elif isinstance(said, ContentWanted):
                    await self._send_content(content)
                elif isinstance(said, Finished):
                    return said.replies
                elif isinstance(said, Refused | Closing):
                    return (said.reply,) * len(transaction.recipients)
        except (ConnectionLost, PeerError) as error:
            return (Reply(451, str(error), "4.3.0", local=True),) * len(transaction.recipients)
        except ValueError as error:  # an address that would break the dialogue
            return (Reply(553, str(error), "5.1.3", local=True),) * len(transaction.recipients)

    async def _next(self) -> Any:
        while (said := self._client.next_event()) is None:
            if octets := self._client.outgoing():
                await self._connection.send(octets)
            octets = await self._connection.receive()
            if not octets:
                raise ConnectionLost("the dialogue was broken off")
            self._client.receive(octets)
        return said

    async def _send_content(self, content: bytes) -> None:
        if octets := self._client.outgoing():
            await self._connection.send(octets)
        for start in range(0, len(content), _PIECE):
            await self._connection.send(self._client.content(content[start : start + _PIECE]))
        await self._connection.send(self._client.end_content())
