"""One connection to the next server: the socket, the deadlines and the TLS around `SmtpClient`."""

import contextlib
import socket
import ssl
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from operator import not_
from typing import Any, TypeVar

import trio

from engine.deadline import Deadline, Watch
from engine.message import Message
from engine.net.connection import EXHAUSTED, Connection, ConnectionLost
from engine.outbound.way import Security, Source, Way
from engine.protocols.smtp_client import (
    Awaits,
    Closing,
    ContentWanted,
    Event,
    Finished,
    Ready,
    Refused,
    SmtpClient,
    TlsReady,
    TlsRefused,
)
from engine.protocols.smtp_heard import PeerError, Reply
from engine.protocols.smtp_limits import Allowance, Limits
from engine.protocols.smtp_transaction import Transaction
from engine.verdict import Tell
from engine.wakeup import Wakeup

T = TypeVar("T")

GATHER = 64 * 1024
"""Octets of content that are gathered before a send."""

BLOCK = 256 * 1024
"""Octets of one send at most: the deadline of a content block stands for this much."""

INLINE = 64 * 1024
"""Content up to this size goes in one send with its commands, where the server offers CHUNKING."""

LAST_WORDS = 5.0
"""Seconds to wait for the reply that explains why a server broke off in the middle of the content."""

QUICK = 0.1
"""Seconds within which a server takes a content to count as quick: then nothing waits long behind another message."""

_BIND_ADDRESS_NO_PORT = 24
"""From linux/in.h: a port is picked when we connect, so that it can be used for each destination again."""

FAREWELL = 2.0
"""Seconds to wait for the reply to QUIT; nothing depends on it."""


class Trouble(Exception):
    """This server, or this connection, cannot be used now; another may do. ``code`` is an enhanced code (RFC 3463)."""

    def __init__(self, text: str, code: str = "4.4.2", *, reply: str = "", remote: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.code = code
        self.reply = reply
        self.remote = remote


class NoTurn(Trouble):
    """It would have had to wait for long until it may leave. ``wait``: seconds; ``line``: what it waits for."""

    def __init__(self, line: str, wait: float) -> None:
        super().__init__("Enough mail leaves for this site now", "4.4.5")
        self.line = line
        self.wait = wait


class Exhausted(Exception):
    """There is no socket left here, which says nothing of the server."""


class _TlsFailed(Trouble):
    """No TLS with this server."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds (RFC 5321 4.5.3.2)."""

    connect: float = 30
    greeting: float = 300
    command: float = 300
    data: float = 120
    block: float = 180
    final: float = 600

    def of(self, awaits: Awaits) -> float:
        seconds: float = getattr(self, _PHASES.get(awaits, "command"))
        return seconds


_PHASES: Mapping[Awaits, str] = {
    Awaits.GREETING: "greeting",
    Awaits.DATA: "data",
    Awaits.FINAL: "final",
    Awaits.EMPTY: "final",
}


@dataclass(frozen=True, slots=True)
class Terms:
    """How to talk to other servers."""

    hostname: str
    contexts: Callable[[bool], ssl.SSLContext]  # whether one that verifies is wanted
    timeouts: Timeouts
    watch: Watch
    lmtp: bool = False
    chunking: bool = True


class Job:
    """One transaction that waits for a connection and then for its replies.

    ``rest`` is a job of its own: recipients that a server did not take in the same transaction.
    """

    __slots__ = (
        "_settled",
        "abandoned",
        "failed",
        "heard",
        "message",
        "remote",
        "replies",
        "rest",
        "returned",
        "security",
        "sent",
        "since",
        "targets",
        "tell",
        "transaction",
        "trouble",
        "unreached",
    )

    def __init__(
        self, message: Message, transaction: Transaction, targets: Sequence[tuple[str, str]], security: Security
    ) -> None:
        self.message = message
        self.transaction = transaction
        self.targets = targets  # (host, address or path of a socket), in the order to try
        self.security = security
        self.failed: frozenset[str] = frozenset()  # addresses that are not to be tried again in this attempt
        self.returned = False
        self.unreached = False  # no server could be spoken to, so it was never begun
        self.abandoned = False
        self._settled = Wakeup()
        self.replies: tuple[Reply | None, ...] = ()  # None: `trouble` stands for it
        self.remote = ""
        self.tell: Tell = ""  # see Delivered
        self.trouble: Trouble | None = None
        self.rest: Job | None = None
        self.since = self.sent = 0.0  # when it came, and when it was last sent, by the loop's clock
        self.heard: Callable[[Job], None] | None = None  # who is told as soon as it has replies

    def all(self) -> Iterator["Job"]:
        """This job and what was parted from it, also what is while the others are looked at."""
        job: Job | None = self
        while job is not None:
            yield job
            job = job.rest

    async def wait(self) -> None:
        """Until it is settled or has failed, and the rest of it too."""
        try:
            for job in self.all():
                await job._settled.wait()
        except trio.Cancelled:
            for job in self.all():
                job.abandoned = True
            raise

    def part(self, stay: Sequence[bool]) -> "Job":
        """Keep the recipients that ``stay`` says, in their order; the job for the others."""
        recipients = self.transaction.recipients
        others = tuple(compress(recipients, map(not_, stay)))
        rest = Job(self.message, self.transaction._replace(recipients=others), self.targets, self.security)
        rest.failed, rest.returned, rest.trouble, rest.rest = self.failed, self.returned, self.trouble, self.rest
        rest.since, rest.heard = self.since, self.heard
        self.transaction = self.transaction._replace(recipients=tuple(compress(recipients, stay)))
        self.rest = rest
        return rest

    def settle(self, replies: tuple[Reply, ...], remote: str) -> None:
        self.replies, self.remote, self.trouble = replies, remote, None
        if self.heard is not None:
            self.heard(self)
        self._settled.wake()

    def fail(self, trouble: Trouble, replies: tuple[Reply | None, ...] = ()) -> None:
        """``replies``: what was decided on its recipients all the same."""
        self.replies = replies or (None,) * len(self.transaction.recipients)
        self.remote, self.trouble = trouble.remote, trouble
        self._settled.wake()


class Session:
    """An open connection that is ready for transactions. ``open`` holds the jobs that it has not settled."""

    def __init__(
        self, connection: Connection, terms: Terms, host: str, address: str, *, hostname: str, security: Security
    ) -> None:
        self.host = host
        self.address = address
        self.security = security
        self.open: deque[Job] = deque()
        self.served = 0  # transactions that came to their end
        self.allowance = Allowance(Limits())
        self._connection = connection
        self._client = SmtpClient(hostname, lmtp=terms.lmtp, chunking=terms.chunking)
        self._terms = terms
        self._deadline = Deadline(terms.watch)
        self._sending = False  # what was sent last has not gone out yet
        self._asked_at = 0.0  # when the last content had gone out
        self._quick = False

    async def deliver(self, job: Job, following: Callable[[bool], Job | None], *, fresh: bool) -> None:
        """Settle ``job``, and those that ``following`` gives to ride behind its content.

        ``following`` is told whether the server is quick.
        ``fresh``: the server was heard from a moment ago, so it can hardly have closed the connection meanwhile.
        Trouble: the connection is of no use any more; what it leaves in ``open`` has no answer.
        """
        self._begin(job, fresh=fresh)
        try:
            await self._in_time(self._settle_all(following))
        except Trouble:
            if self._sending:
                await self._hear_last_words()
            self._settle_heard()
            raise

    async def _settle_all(self, following: Callable[[bool], Job | None]) -> None:
        while self.open:
            event = await self._next_event()
            if isinstance(event, Finished):
                self._settle(event)
            elif isinstance(event, ContentWanted):
                await self._send_content(self.open[-1], following)
            elif isinstance(event, Closing):
                raise self._trouble("The server closes the connection", event.reply)

    def keep_to(self, terms: Terms) -> None:
        """Other terms hold from now on."""
        self._terms = terms

    def serves(self, job: Job) -> bool:
        """Whether the job may be tried here."""
        return self.address not in job.failed and self.meets(job.security)

    def meets(self, wanted: Security) -> bool:
        """Whether the connection is as safe as a message wants it."""
        return wanted == self.security

    def unsure(self, job: Job) -> bool:
        """Whether the server may have taken the message although we have no reply."""
        return self._client.content_sent(job.transaction)

    def decided(self, job: Job) -> tuple[Reply | None, ...]:
        """What the server has said of the recipients of a job that is under way."""
        return self._client.decided(job.transaction)

    async def quit(self) -> None:
        """Say goodbye and close."""
        with contextlib.suppress(Trouble), trio.move_on_after(FAREWELL):
            self._client.quit()
            await self._answer()
        self.close()

    def close(self) -> None:
        self._connection.close()

    async def greet(self, *, with_tls: bool) -> None:
        """Greeting, EHLO and TLS. Trouble when that does not lead to a session on our terms."""
        await self._ready()
        if not with_tls:
            return
        required = self.security.required
        if "STARTTLS" not in self._client.extensions:
            if required:
                raise _TlsFailed("The server offers no TLS, and our side requires it", "4.7.4", remote=self.host)
            return
        self._client.start_tls()
        match await self._answer():
            case TlsReady():
                await self._handshake()
                await self._ready()
            case TlsRefused(reply=reply) if required:
                raise _TlsFailed("The server refused TLS", "4.7.4", reply=str(reply), remote=self.host)
            case Closing(reply=reply):
                raise self._trouble("The server closes the connection", reply)

    async def _ready(self) -> None:
        match await self._answer():
            case Ready():
                self.allowance = Allowance(self._client.limits)
            case Refused(reply=reply):
                raise self._trouble("The server refuses our connection", reply)
            case Closing(reply=reply):
                raise self._trouble("The server closes the connection", reply)

    async def _handshake(self) -> None:
        try:
            with trio.fail_after(self._terms.timeouts.command):
                await self._connection.start_tls(
                    self._terms.contexts(self.security.verified),
                    server_side=False,
                    hostname=self.host.strip("[].") or None,
                )
        except ConnectionLost as lost:
            raise _TlsFailed(f"No TLS with {self.host}: {lost.strerror}", "4.7.5", remote=self.host) from lost
        except trio.TooSlowError as slow:
            raise _TlsFailed(f"{self.host} did not finish the TLS handshake", "4.7.5", remote=self.host) from slow
        except ValueError as error:  # the ssl module refuses the name of the host
            raise _TlsFailed(f"No TLS with a host of this name: {error}", "4.7.5", remote=self.host) from error
        self._client.tls_started()

    def _begin(self, job: Job, *, fresh: bool) -> None:
        try:
            self._client.begin(job.transaction, inline=fresh and job.transaction.size <= INLINE)
        except ValueError as error:
            reply = Reply(553, f"An address or parameter is not valid: {error}", "5.1.3", local=True)
            job.settle((reply,) * len(job.transaction.recipients), self.host)
        else:
            self.open.append(job)

    def _settle(self, finished: Finished) -> None:
        # Not always the first: what the client refuses by itself overtakes what the server has yet to answer.
        job = self.open[0]
        if job.transaction is not finished.transaction:
            job = next(job for job in self.open if job.transaction is finished.transaction)
        self.open.remove(job)
        self.served += 1
        self._quick = trio.current_time() - self._asked_at < QUICK
        job.tell = self._tell
        job.settle(finished.replies, self.host)

    @property
    def _tell(self) -> Tell:
        """Who takes a message by LMTP has it delivered (RFC 2033 4.2); who knows DSN tells the sender."""
        if "DSN" in self._client.extensions:
            return "nothing"
        return "delivered" if self._terms.lmtp else "relayed"

    async def _send_content(self, job: Job, following: Callable[[bool], Job | None]) -> None:
        client = self._client
        gathered = [client.outgoing()]
        size = 0
        for piece in _pieces(job.message):
            gathered.append(client.content(piece))
            size += len(piece)
            if size >= GATHER:
                await self._send(b"".join(gathered), self._terms.timeouts.block)
                gathered.clear()
                size = 0
        gathered.append(client.end_content())
        if client.can_follow and (next_job := following(self._quick)):
            self._begin(next_job, fresh=True)
            gathered.append(client.outgoing())
        await self._send(b"".join(gathered), self._terms.timeouts.block)
        self._hear()
        self._asked_at = trio.current_time()

    async def _hear_last_words(self) -> None:
        """A server that breaks off in the middle of the content has often said why."""
        with contextlib.suppress(ConnectionLost, PeerError), trio.move_on_after(LAST_WORDS):
            while data := await self._connection.receive():
                self._client.receive(data)

    def _settle_heard(self) -> None:
        """What the server had said before it broke off, or before it said nonsense, counts."""
        while event := self._client.next_event():
            if isinstance(event, Finished):
                self._settle(event)

    async def _answer(self) -> Event:
        return await self._in_time(self._next_event())

    async def _in_time(self, dialogue: Coroutine[Any, Any, T]) -> T:
        """Lead a part of the dialogue to its end. Trouble when the server does not go along, or not in time."""
        try:
            with self._deadline:
                self._hear()
                return await dialogue
        except ConnectionLost as lost:
            raise self._trouble(f"The connection broke: {lost.strerror}") from lost
        except PeerError as error:
            raise self._trouble(f"The server does not speak SMTP as it should: {error}", code="4.5.0") from error
        if self._sending:
            raise self._trouble("The server stopped reading")
        raise self._trouble(f"The server gave no answer to {self._client.awaits.value} in time")

    async def _next_event(self) -> Event:
        """What the client makes of the replies. The deadline is moved on by each whole reply, never by an octet."""
        client = self._client
        while (event := client.next_event()) is None:
            if outgoing := client.outgoing():
                await self._send(outgoing, self._terms.timeouts.command)
                self._hear()
            data = await self._connection.receive()
            if not data:
                raise self._trouble(f"The server broke off when asked for {client.awaits.value}")
            heard = client.replies
            client.receive(data)
            if client.replies != heard:
                self._hear()
        return event

    def _hear(self) -> None:
        """Give the server its time for the next reply (RFC 5321 4.5.3.2)."""
        self._deadline.allow(self._terms.timeouts.of(self._client.awaits))

    async def _send(self, data: bytes, seconds: float) -> None:
        self._deadline.allow(seconds)
        self._sending = True
        await self._connection.send(data)
        self._sending = False

    def _trouble(self, text: str, reply: Reply | None = None, *, code: str = "4.4.2") -> Trouble:
        if reply is None:
            return Trouble(text, code, remote=self.host)
        # Another host or another day may do better, so even a 5xx to our mere presence is no final word.
        return Trouble(text, "4" + reply.status[1:], reply=str(reply), remote=self.host)


async def open_session(terms: Terms, way: Way, security: Security, host: str, address: str) -> Session:
    """Connect and greet. In opportunistic TLS a failed handshake is followed by a new connection in the clear.

    Trouble when the server cannot be used, Exhausted when no server can, because of us.
    """
    if security.level != "never":
        try:
            return await _attempt(terms, way, security, host, address, with_tls=True)
        except _TlsFailed:
            if security.required:
                raise
    return await _attempt(terms, way, security, host, address, with_tls=False)


async def _attempt(terms: Terms, way: Way, security: Security, host: str, address: str, *, with_tls: bool) -> Session:
    connection = await _connect(terms, way, host, address)
    hostname = way.source.hostname or terms.hostname
    session = Session(connection, terms, host, address, hostname=hostname, security=security)
    try:
        await session.greet(with_tls=with_tls)
    except BaseException:
        session.close()
        raise
    return session


async def _connect(terms: Terms, way: Way, host: str, address: str) -> Connection:
    try:
        local = address.startswith("/")
        family = socket.AF_UNIX if local else socket.AF_INET6 if ":" in address else socket.AF_INET
        sock = trio.socket.socket(family, socket.SOCK_STREAM)
        try:
            await _bind(sock, way.source)
            with trio.fail_after(terms.timeouts.connect):
                await sock.connect(address if local else (address, way.port))
            return Connection.of(sock)
        except BaseException:
            sock.close()
            raise
    except OSError as error:
        if error.errno in EXHAUSTED:
            raise Exhausted from error
        raise Trouble(f"No connection to {host} [{address}]: {error.strerror}", "4.4.1", remote=host) from error
    except trio.TooSlowError as slow:
        raise Trouble(f"{host} [{address}] does not answer", "4.4.1", remote=host) from slow


async def _bind(sock: trio.socket.SocketType, source: Source) -> None:
    """Connect from the address of the source, where it has one of the family. OSError."""
    address = {socket.AF_INET: source.ipv4, socket.AF_INET6: source.ipv6}.get(sock.family, "")
    if address:
        sock.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
        await sock.bind((address, 0))


def _pieces(message: Message) -> Iterator[bytes]:
    """The content in pieces of at most BLOCK octets; a small one in one piece."""
    if message.size <= GATHER:
        yield b"".join(message.chunks())
        return
    for chunk in message.chunks():
        if len(chunk) <= BLOCK:
            yield chunk
        else:
            for start in range(0, len(chunk), BLOCK):
                yield chunk[start : start + BLOCK]
