"""POP3 over the mailboxes: the driver that owns the socket, the deadline, the TLS and the lock on the mailbox."""

import contextlib
import logging
import math
import ssl
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

import trio

from engine.directory import Unavailable
from engine.login import Visitor, tried
from engine.mailbox.layout import INBOX
from engine.mailbox.locks import MailboxLocks, Refused
from engine.mailbox.reader import Entry, Mailboxes, MessageGone
from engine.net.connection import Connection, ConnectionLost
from engine.net.serving import to_its_end
from engine.protocols import pop3
from engine.protocols.asking import Closed, Login, StartTls
from engine.protocols.scram import Keys
from engine.protocols.surrogate import in_ascii
from engine.storage.environment import StorageError

log = logging.getLogger(__name__)

_REFUSALS = {Refused.IN_USE: pop3.Refusal.IN_USE, Refused.TOO_SOON: pop3.Refusal.TOO_SOON}

AHEAD = 256 * 1024
"""Octets of messages that are read in one turn in a thread, because the client will probably want them next."""

PIECES_AT_ONCE = 8
"""Pieces of 64 KiB of a message that one turn in a thread reads: nearly all mail needs one turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one connection may take. Times are seconds."""

    login: float = 90.0  # from the greeting to a successful login, all tries together
    idle: float = 600.0  # RFC 1939 section 3: at least ten minutes
    tries: int = 3  # failed logins
    mistakes: int = 20  # commands that make no sense, in a row
    between_logins: float = 0.0  # of one account, RFC 2449 section 6.5; 0: it may come at any time


class Pop3Server:
    """Serves POP3 connections; ``locks`` are those of all processes that serve the same mailboxes.

    ``visitor`` answers the logins of one peer. ``remove`` asks the owner of the mailboxes to remove messages. An
    exception of either is logged, and the client is told to come again.

    A password is taken in the clear from a loopback peer, which nobody can listen to, and from all when
    ``allow_plaintext`` is set; else only under TLS.
    """

    def __init__(
        self,
        mailboxes: Mailboxes,
        visitor: Callable[[str], Visitor],
        remove: Callable[[int, Collection[int]], Awaitable[object]],
        locks: MailboxLocks,
        *,
        hostname: str,
        tls: ssl.SSLContext | None = None,
        allow_plaintext: bool = False,
        limits: Limits = Limits(),
        expire: Callable[[str], str] = lambda _: pop3.NEVER,
    ) -> None:
        self.mailboxes = mailboxes
        self.visitor = visitor
        self.remove = remove
        self.hostname = hostname
        self.tls = tls  # may be replaced at any time: new connections take the new one
        self.allow_plaintext = allow_plaintext
        self.limits = limits
        self.expire = expire  # what EXPIRE says to the account of an address, and to whom nobody knows yet; the same
        self.locks = locks

    async def serve(self, connection: Connection, *, implicit_tls: bool = False) -> None:
        """Serve one connection to its end and close it. Never raises, but for cancellation."""
        with to_its_end(connection, "pop3"), closing(_Visit(self, connection)) as visit:
            await visit.run(implicit_tls)


class _Visit:
    """One connection."""

    def __init__(self, server: Pop3Server, connection: Connection) -> None:
        self._server = server
        self._connection = connection
        self.peer = connection.peer
        self._visitor = server.visitor(self.peer)
        self.account = -1  # -1: nobody has logged in
        self._entries: Sequence[Entry] = ()
        self._ahead: dict[int, bytes] = {}  # small messages that have been read already, by UID
        self._scope = trio.CancelScope()
        self._session: pop3.Session

    async def run(self, implicit_tls: bool) -> None:
        # On the deadline the connection just ends: no reply, and nothing is deleted (RFC 1939 section 3).
        self._scope.deadline = trio.current_time() + self._server.limits.login
        with self._scope:
            if implicit_tls:
                await self._start_tls()
            self._session = self._new_session()
            await self._converse()
            await self._connection.close_gently()

    def close(self) -> None:
        """Let the mailbox go, if this connection holds one."""
        self._visitor.leave()
        self._server.locks.release(self.account)
        self.account = -1

    def _new_session(self) -> pop3.Session:
        server, limits = self._server, self._server.limits
        return pop3.Session(
            server.hostname,
            tls=bool(self._connection.tls),
            stls=server.tls is not None,
            plaintext=server.allow_plaintext or self._connection.is_loopback,
            tries=limits.tries,
            mistakes=limits.mistakes,
            auth=self._visitor.mechanisms,
            channel=self._connection.channel,
            login_delay=math.ceil(limits.between_logins),
            expire=server.expire(""),
        )

    async def _converse(self) -> None:
        while True:
            match self._session.next_event():
                case pop3.Signal.NEED_DATA:
                    await self._flush()
                    data = await self._connection.receive()
                    if not data:
                        return
                    self._extend()
                    self._session.receive(data)
                case pop3.Signal.SEND_FIRST:
                    await self._flush()
                case Login() as login:
                    await self._log_in(login)
                case StartTls():
                    await self._flush()
                    await self._start_tls()
                    self._session.tls_started(self._connection.channel)
                case pop3.Retrieve() as retrieve:
                    await self._retrieve(retrieve)
                case pop3.RetrieveSome(numbers):
                    await self._retrieve_some(numbers)
                case pop3.Remove(numbers):
                    await self._remove(numbers)
                case Closed():
                    self.close()  # before the last reply: the client may come back as soon as it has that
                    await self._flush()
                    return

    async def _flush(self) -> None:
        data = self._session.outgoing()
        if data:
            await self._connection.send(data)
            self._extend()

    def _extend(self) -> None:
        """The peer is alive. Before the login that earns it nothing."""
        if self.account >= 0:
            self._scope.deadline = trio.current_time() + self._server.limits.idle

    async def _start_tls(self) -> None:
        if self._server.tls is None:
            raise ConnectionLost("a TLS listener without a certificate")
        await self._connection.start_tls(self._server.tls, server_side=True)

    async def _log_in(self, login: Login) -> None:
        answer = await tried(self._visitor, login.question, protocol="pop3", peer=self.peer)
        if isinstance(answer, Unavailable):
            return self._session.refused(pop3.Refusal.TEMPORARY)
        if isinstance(answer, Keys):
            return self._session.take_keys(answer)
        if answer is None:
            return self._session.refused(pop3.Refusal.CREDENTIALS)
        refused = self._server.locks.take(answer.id, self._server.limits.between_logins)
        if refused is not None:
            return self._session.refused(_REFUSALS[refused])
        return await self._open(answer.id, answer.address)

    async def _open(self, account: int, address: str) -> None:
        self.account = account
        try:
            self._entries = await trio.to_thread.run_sync(self._server.mailboxes.messages, account)
        except StorageError as error:
            log.error("pop3 %s: %s", self.peer, error)
            self.close()
            return self._session.refused(pop3.Refusal.TEMPORARY)
        self._extend()
        # The connection just ends, as on the deadline: POP3 knows no word for it, and nothing is deleted.
        self._visitor.stay(lambda _why: self._scope.cancel())
        return self._session.logged_in(self._entries, expire=self._server.expire(address))

    async def _retrieve(self, retrieve: pop3.Retrieve) -> None:
        entry = self._entries[retrieve.number - 1]
        if retrieve.lines is None and entry.size <= pop3.SMALL:
            return await self._retrieve_small(retrieve.number, entry)
        return await self._retrieve_in_pieces(retrieve, entry.uid)

    async def _retrieve_small(self, number: int, entry: Entry) -> None:
        """Clients download one message after the other: some that follow are read in the same turn in a thread."""
        if entry.uid not in self._ahead:
            try:
                self._ahead = await trio.to_thread.run_sync(self._read_ahead, number)
            except StorageError as error:
                log.error("pop3 %s: %s", self.peer, error)
                return self._session.not_retrieved()
        octets = self._ahead.pop(entry.uid, None)
        if octets is None:
            return self._session.not_retrieved(gone=True)
        self._session.body_begins()
        self._session.body(self._shown(octets))
        if self._session.full:
            await self._flush()
        return self._session.body_ends()

    async def _retrieve_some(self, numbers: Sequence[int]) -> None:
        """Those that a client asks for together are read in one turn in a thread, and sent in one piece."""
        uids = [self._entries[number - 1].uid for number in numbers]
        small, account = self._server.mailboxes.small, self.account
        try:
            found = await trio.to_thread.run_sync(small, account, INBOX, uids)
        except StorageError as error:
            log.error("pop3 %s: %s", self.peer, error)
            return self._session.none_retrieved()
        messages = [self._shown(octets) if (octets := found.get(uid)) is not None else None for uid in uids]
        if data := self._session.some(messages):
            await self._connection.send(data)
            self._extend()
        return None

    def _shown(self, octets: bytes) -> bytes:
        """The message as the client can take it."""
        return octets if self._session.utf8 or octets.isascii() else b"".join(in_ascii(iter([octets])))

    def _read_ahead(self, number: int) -> dict[int, bytes]:
        """The message and those behind it, up to one that is not small; by UID."""
        uids: list[int] = []
        size = 0
        for index in range(number - 1, len(self._entries)):  # a slice would copy what may be 200,000 of them
            entry = self._entries[index]
            size += entry.size
            if entry.size > pop3.SMALL or (uids and size > AHEAD):
                break
            uids.append(entry.uid)
        return self._server.mailboxes.small(self.account, INBOX, uids)

    async def _retrieve_in_pieces(self, retrieve: pop3.Retrieve, uid: int) -> None:
        mailboxes = self._server.mailboxes
        with contextlib.closing(
            mailboxes.chunks(self.account, uid)
            if retrieve.lines is None
            else mailboxes.top(self.account, uid, retrieve.lines)
        ) as native:
            pieces = native if self._session.utf8 else in_ascii(native)
            try:
                some = await trio.to_thread.run_sync(_some, pieces)
            except MessageGone:
                return self._session.not_retrieved(gone=True)
            except StorageError as error:
                log.error("pop3 %s: %s", self.peer, error)
                return self._session.not_retrieved()
            self._session.body_begins()
            await self._send_body(some, pieces)
            return self._session.body_ends()

    async def _send_body(self, some: list[bytes], pieces: Iterator[bytes]) -> None:
        while some:
            for piece in some:
                self._session.body(piece)
            if self._session.full:
                await self._flush()
            # An error here ends the connection: the client must not take a part for the whole.
            some = await trio.to_thread.run_sync(_some, pieces) if len(some) == PIECES_AT_ONCE else []

    async def _remove(self, numbers: tuple[int, ...]) -> None:
        uids = [self._entries[number - 1].uid for number in numbers]
        try:
            await self._server.remove(self.account, uids)
        except Exception:
            log.exception("pop3 %s: messages of account %d not removed", self.peer, self.account)
            self._session.not_removed()
        else:
            self._session.removed()


def _some(pieces: Iterator[bytes]) -> list[bytes]:
    return list(islice(pieces, PIECES_AT_ONCE))
