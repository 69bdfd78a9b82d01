"""One connection to the next server: the socket, the deadlines and the TLS around `SmtpClient`."""

import contextlib
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from operator import not_
from typing import Any, TypeVar

import trio

from engine.deadline import Deadline, Watch
from engine.history import history
from engine.message import Message
from engine.net.connection import EXHAUSTED, Connection, ConnectionLost
from engine.outbound.dialling import SourceFailed, dial
from engine.outbound.handshake import MANNERS, Contexts, Failed, Manner, Unanchored, always, shake
from engine.outbound.logins import log_in
from engine.outbound.noting import note
from engine.outbound.telling import Ends, domains_of, told
from engine.outbound.way import NEEDED, UNSUPPORTED, Demand, Login, Security, Source, Way
from engine.policies.published import Published
from engine.policies.results import ResultType, TlsResult
from engine.protocols.sasl_client import LoginError
from engine.protocols.smtp_client import (
    Awaits,
    Closing,
    ContentWanted,
    Event,
    Finished,
    LoginRefused,
    Ready,
    Refused,
    SmtpClient,
    TlsReady,
    TlsRefused,
)
from engine.protocols.smtp_heard import PeerError, Reply
from engine.protocols.smtp_limits import Allowance, Limits
from engine.protocols.smtp_transaction import Transaction
from engine.protocols.tlsa import end_entity
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


class Insecure(Trouble):
    """This server cannot be used for what wants this security; for what wants less it may do."""

    def __init__(self, text: str, code: str, result: ResultType = "", *, reply: str = "", remote: str = "") -> None:
        super().__init__(text, code, reply=reply, remote=remote)
        self.failed = Failed(result, text) if result else None


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
    contexts: Contexts
    timeouts: Timeouts
    watch: Watch
    lmtp: bool = False
    chunking: bool = True
    results: Callable[[TlsResult], None] | None = None  # who hears of each session
    source_failed: Callable[[Source, str], None] = lambda *_: None  # hears of one that is of no use


class Job:
    """One transaction that waits for a connection and then for its replies.

    ``rest`` is a job of its own: recipients that a server did not take in the same transaction.
    """

    __slots__ = (
        "_settled",
        "abandoned",
        "begun",
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
        self.begun = 0.0  # when a server was first told of it, in Unix time
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
        self,
        connection: Connection,
        terms: Terms,
        host: str,
        address: str,
        *,
        hostname: str,
        security: Security,
        way: Way,
    ) -> None:
        self.host = host
        self.address = address
        self.security = security  # what it was opened for
        self.failed: Failed | None = None  # what of TLS has failed, where that did not matter
        self._demand = security.at(host)
        self._manner: Manner = "clear"
        self._told: set[tuple[str, Published]] = set()
        self._counted_for: tuple[Security | None, set[str]] = (None, set())  # the last job
        self.open: deque[Job] = deque()
        self.parted: list[Job] = []  # recipients that were too many for one transaction, and go in another one
        self.served = 0  # transactions that came to their end
        self.allowance = Allowance(Limits())
        self._connection = connection
        self._client = SmtpClient(hostname, lmtp=terms.lmtp, chunking=terms.chunking)
        self._terms = terms
        self._way = way
        self._login = login = way.login
        self._protection = ""  # once it was asked for
        self._contexts = terms.contexts if login is None or login.context is None else always(login.context)
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
        return wanted is self.security or wanted == self.security or self._satisfies(wanted.at(self.host))

    def _satisfies(self, demand: Demand) -> bool:
        if demand.refusal is not None or (demand.requiretls and not self._knows_requiretls):
            return False
        match demand.level:
            case "never":
                return True
            case "opportunistic":
                return bool(self._connection.tls) or self._demand.level != "never"
            case "require":
                return bool(self._connection.tls)
            case "testing":
                return self._manner == "verified" or self._demand.level == "testing"
            case "verify":
                return self._manner == "verified"
            case "dane":
                shown = self._connection.shown
                same = self._manner == "dane" and self._demand.tlsa == demand.tlsa
                return same or (bool(shown) and end_entity(demand.tlsa, shown[0]))

    @property
    def protection(self) -> str:
        """What it has, for people."""
        tls = self._connection.tls or "in the clear"
        said = {"verified": "verified for the host", "dane": "as a TLSA record says", "unverified": "unverified"}
        return ", ".join(filter(None, (tls, said.get(self._manner), str(self.failed or ""))))

    def note(self, job: Job, replies: Sequence[Reply | None] = (), trouble: Trouble | None = None) -> None:
        """Tell the history what became of a job here."""
        self._protection = self._protection or self.protection
        note(
            job.message,
            job.transaction,
            self._way,
            (self.host, self.address),
            began=job.begun,
            tls=self._protection,
            policy=self._demand.level,
            replies=replies,
            trouble=(trouble.text, trouble.reply) if trouble else ("", ""),
        )

    @property
    def _knows_requiretls(self) -> bool:
        return bool(self._connection.tls) and "REQUIRETLS" in self._client.extensions

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

    async def greet(self, manner: Manner, anchors: bytes = b"") -> None:
        """Greeting, EHLO, TLS and the login. Trouble when that does not lead to a session on our terms; Unanchored."""
        login = self._login
        if login is not None and login.implicit_tls:
            await self._shake_hands(manner, anchors)
            await self._ready()
        else:
            await self._ready()
            if manner != "clear":
                await self._start_tls(manner, anchors)
        if self._demand.requiretls and not self._knows_requiretls:
            text = "The server does not promise to pass it on under TLS alone (REQUIRETLS), and the sender requires it"
            raise Insecure(text, UNSUPPORTED, remote=self.host)
        if login is not None:
            await self._log_in(login)

    async def _log_in(self, login: Login) -> None:
        # Whoever is in between could read the password, or all of the mail.
        is_here = self.address.startswith("/") or self._connection.is_loopback
        is_safe = is_here if login.context is None else self._manner == "verified"
        if not is_safe:
            raise self._trouble("No login without TLS", code="4.7.0")
        try:
            match await log_in(self._client, login, self._connection.server_bindings, self._answer):
                case LoginRefused(reply=reply):
                    raise self._trouble("The server refuses our login", reply)
                case Closing(reply=reply):
                    raise self._trouble("The server closes the connection", reply)
        except LoginError as error:
            raise self._trouble(f"No login at {self.host}: {error}", code="4.7.0") from error

    async def _start_tls(self, manner: Manner, anchors: bytes) -> None:
        if "STARTTLS" not in self._client.extensions:
            self._goes_on_without("The server offers no TLS, and our side requires it")
            return
        self._client.start_tls()
        match await self._answer():
            case TlsReady():
                await self._handshake(manner, anchors)
                await self._ready()
            case TlsRefused(reply=reply):
                self._goes_on_without("The server refused TLS", str(reply))
            case Closing(reply=reply):
                raise self._trouble("The server closes the connection", reply)

    def _goes_on_without(self, text: str, reply: str = "") -> None:
        """Stay in the clear. Insecure, where that must not be."""
        if not self._demand.in_the_clear:
            code = NEEDED if self._demand.requiretls else "4.7.4"
            raise Insecure(text, code, "starttls-not-supported", reply=reply, remote=self.host)
        self.failed = self.failed or Failed("starttls-not-supported", text.partition(",")[0])

    async def _ready(self) -> None:
        match await self._answer():
            case Ready():
                self.allowance = Allowance(self._client.limits)
            case Refused(reply=reply):
                raise self._trouble("The server refuses our connection", reply)
            case Closing(reply=reply):
                raise self._trouble("The server closes the connection", reply)

    async def _handshake(self, manner: Manner, anchors: bytes) -> None:
        await self._shake_hands(manner, anchors)
        self._client.tls_started()

    async def _shake_hands(self, manner: Manner, anchors: bytes) -> None:
        code = NEEDED if self._demand.requiretls else "4.7.5"
        try:
            with trio.fail_after(self._terms.timeouts.command):
                await shake(self._connection, self._contexts, self._demand, self.host, manner=manner, anchors=anchors)
        except Failed as failed:
            raise Insecure(str(failed), code, failed.result, remote=self.host) from failed
        except trio.TooSlowError as slow:
            text = f"{self.host} did not finish the TLS handshake"
            raise Insecure(text, code, "validation-failure", remote=self.host) from slow
        self._manner = manner

    def _count(self, job: Job) -> None:
        """Say how this session counts for the domains of a job, once for each."""
        if self._terms.results is None or job.security.untold:
            return
        given = {to.address.rpartition("@")[2] for to in job.transaction.recipients}
        if job.security is self._counted_for[0] and given <= self._counted_for[1]:
            return  # as nearly always
        self._counted_for = job.security, given
        published = job.security.published
        for domain in sorted(domain for domain in domains_of(given) if (domain, published) not in self._told):
            self._told.add((domain, published))
            self._terms.results(told(job.security, domain, self._ends, self._counted(job.security.at(self.host))))

    @property
    def _ends(self) -> Ends:
        return Ends(self.host, self.address, self._connection.own_address, self._client.hello)

    def _counted(self, demand: Demand) -> Failed | None:
        """What reports say of a session that may be used."""
        if demand.note is not None:
            return Failed(demand.note.result, demand.note.text)
        return self.failed

    def _begin(self, job: Job, *, fresh: bool) -> None:
        try:
            self._client.begin(job.transaction, inline=fresh and job.transaction.size <= INLINE)
        except ValueError as error:
            reply = Reply(553, f"An address or parameter is not valid: {error}", "5.1.3", local=True)
            job.settle((reply,) * len(job.transaction.recipients), self.host)
        else:
            self.open.append(job)
            job.begun = time.time()
            self._count(job)

    def _settle(self, finished: Finished) -> None:
        # Not always the first: what the client refuses by itself overtakes what the server has yet to answer.
        job = self.open[0]
        if job.transaction is not finished.transaction:
            job = next(job for job in self.open if job.transaction is finished.transaction)
        self.open.remove(job)
        self.served += 1
        self._quick = self._terms.watch.now() - self._asked_at < QUICK
        job.tell = self._tell(job)
        if history.on:
            self.note(job, finished.replies)
        job.settle(self._parted(job, finished.replies), self.host)

    def _parted(self, job: Job, replies: tuple[Reply, ...]) -> tuple[Reply, ...]:
        """The replies that count, without those by which some recipients were one too many.

        RFC 5321 4.5.3.1.10: these are not put off, but go as soon as the others have gone.
        """
        if len(replies) == 1:
            return replies
        stay = [not reply.is_one_too_many for reply in replies]
        if all(stay) or not any(stay):
            return replies
        self.allowance.learn(sum(stay))
        self.parted.append(job.part(stay))
        return tuple(compress(replies, stay))

    def _tell(self, job: Job) -> Tell:
        """Who takes a message by LMTP has it delivered (RFC 2033 4.2); who knows DSN tells the sender."""
        if job.transaction.timing.by and not self._terms.lmtp and "DELIVERBY" not in self._client.extensions:
            return "untimed"  # RFC 2852 4.1.4.2; what had to be returned was not sent there
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
        self._asked_at = self._terms.watch.now()

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


async def open_session(
    terms: Terms, way: Way, security: Security, host: str, address: str, *, to: Iterable[str] = ()
) -> Session:
    """Connect and greet, in one manner after the other as far as ``security`` allows for it. ``to``: for whose mail.

    Trouble when the server cannot be used, Exhausted when no server can, because of us.
    """
    demand = security.at(host)
    if demand.refusal is not None:
        refused = Insecure(demand.refusal.text, demand.refusal.code, demand.refusal.result, remote=host)
        _tell_failed(terms, security, Ends(host, address), refused.failed, to)
        raise refused
    before: Insecure | None = None
    for manner in MANNERS[demand.level]:
        try:
            session = await _attempt(terms, way, security, host, address, manner=manner)
        except Insecure as insecure:
            before = before or insecure
            last = insecure
        else:
            session.failed = before.failed if before else session.failed
            return session
    _tell_failed(terms, security, Ends(host, address), last.failed, to)
    raise last


def _tell_failed(terms: Terms, security: Security, ends: Ends, failed: Failed | None, to: Iterable[str]) -> None:
    if terms.results is not None and failed is not None and not security.untold:
        for domain in sorted(domains_of(to)):
            terms.results(told(security, domain, ends, failed))


async def _attempt(terms: Terms, way: Way, security: Security, host: str, address: str, *, manner: Manner) -> Session:
    """One way to begin. By DANE, with an authority that is new to us, it takes two connections."""
    if manner != "dane":
        return await _opened(terms, way, security, host, address, manner=manner)
    tlsa = security.at(host).tlsa
    if known := terms.contexts.anchors(tlsa):
        try:
            return await _opened(terms, way, security, host, address, manner=manner, anchors=known)
        except Insecure:  # it may have another authority by now, or a certificate that is named itself
            terms.contexts.learn(tlsa, b"")
    try:
        return await _opened(terms, way, security, host, address, manner=manner)
    except Unanchored as found:
        anchors = found.anchors
    session = await _opened(terms, way, security, host, address, manner=manner, anchors=anchors)
    terms.contexts.learn(tlsa, anchors)
    return session


async def _opened(
    terms: Terms, way: Way, security: Security, host: str, address: str, *, manner: Manner, anchors: bytes = b""
) -> Session:
    connection = await _connect(terms, way, host, address)
    hostname = way.source.hostname or terms.hostname
    session = Session(connection, terms, host, address, hostname=hostname, security=security, way=way)
    try:
        await session.greet(manner, anchors)
    except BaseException:
        session.close()
        raise
    return session


async def _connect(terms: Terms, way: Way, host: str, address: str) -> Connection:
    try:
        with trio.fail_after(terms.timeouts.connect):
            return await dial(way.source, address, way.port)
    except SourceFailed as failed:
        terms.source_failed(way.source, str(failed.strerror))
        raise Trouble(f"Cannot send from {way.source.name}: {failed.strerror}", "4.4.1") from failed
    except OSError as error:
        if error.errno in EXHAUSTED:
            raise Exhausted from error
        raise Trouble(f"No connection to {host} [{address}]: {error.strerror}", "4.4.1", remote=host) from error
    except trio.TooSlowError as slow:
        raise Trouble(f"{host} [{address}] does not answer", "4.4.1", remote=host) from slow


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
