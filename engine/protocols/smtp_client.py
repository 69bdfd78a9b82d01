"""The sending side of SMTP (RFC 5321) and LMTP (RFC 2033): replies in, events and commands out. No socket, no clock.

A driver sends what ``outgoing`` gives, feeds what arrives to ``receive`` and asks ``next_event`` what it means::

    client = SmtpClient("mx.example.org")      # waits for the greeting, then says EHLO
    Ready                                      # now `start_tls`, `authenticate`, `begin` or `quit`
    client.begin(Transaction(...))
    ContentWanted                              # send `outgoing`, `content(piece)`…, `end_content()`
    Finished                                   # one reply for each recipient

With PIPELINING (RFC 2920) the commands of a transaction leave in one send. With CHUNKING (RFC 3030) too, the whole
content is one ``BDAT … LAST``; an ``inline`` transaction does not even wait for the replies before it. By LMTP there is
a reply to the content for each recipient that was accepted, and CHUNKING is not used; nor is it where it is not wanted.
"""

import re
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple, TypeAlias

from engine.protocols import sasl
from engine.protocols.smtp_content import DotStuffing
from engine.protocols.smtp_heard import PeerError, Replies, Reply
from engine.protocols.smtp_limits import Limits, parse_limits
from engine.protocols.smtp_transaction import (
    Extensions,
    Transaction,
    extensions,
    mail_command,
    objection,
    rcpt_command,
)
from engine.protocols.timing import UNTIMED
from engine.protocols.xforward import commands as forward_commands

_NAME = re.compile(r"[!-~]{1,255}")

_COMMAND_LINE = 512
"""Octets of a command with its line end (RFC 5321 4.5.3.1.4): a longer response to AUTH waits for its challenge."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The server has answered EHLO or HELO: ``extensions`` holds its keywords, in upper case, with their parameters."""

    extensions: Extensions


@dataclass(frozen=True, slots=True)
class Refused:
    """The server does not want us: its greeting or its answer to EHLO and HELO was negative."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class TlsReady:
    """STARTTLS was accepted: do the handshake, then call ``tls_started``."""


@dataclass(frozen=True, slots=True)
class TlsRefused:
    """STARTTLS was refused; the connection goes on in the clear, if the driver wants that."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class Challenged:
    """The login goes on: ``respond`` to these octets."""

    challenge: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """AUTH was accepted (RFC 4954)."""


@dataclass(frozen=True, slots=True)
class LoginRefused:
    """AUTH was refused, or given up by us."""

    reply: Reply


class ContentWanted(NamedTuple):
    """Send the content of this transaction now, and nothing else before its end."""

    transaction: Transaction


class Finished(NamedTuple):
    """A transaction is over. ``replies`` has, for each recipient, the reply that decided on it."""

    transaction: Transaction
    replies: tuple[Reply, ...]


@dataclass(frozen=True, slots=True)
class Closing:
    """421: the server closes the connection. No transaction that is not yet finished was accepted."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class Quit:
    """QUIT was answered."""


Event: TypeAlias = (
    Ready | Refused | TlsReady | TlsRefused | Challenged | LoggedIn | LoginRefused | ContentWanted | Finished | Closing
    | Quit
)  # fmt: skip


class Awaits(Enum):
    """What the next reply will be an answer to. The driver takes its timeout from this (RFC 5321 4.5.3.2)."""

    GREETING = "greeting"
    EHLO = "EHLO"
    HELO = "HELO"
    TLS = "STARTTLS"
    AUTH = "AUTH"
    RESET = "RSET"
    FORWARD = "XFORWARD"
    MAIL = "MAIL"
    RECIPIENT = "RCPT"
    DATA = "DATA"
    FINAL = "the content"
    EMPTY = "an empty content"
    QUIT = "QUIT"
    NOTHING = "nothing"

    # Every reply is looked up by what awaits it, and the hash of `Enum` is a function in Python.
    __hash__ = object.__hash__


class _Running:
    """A transaction between MAIL and its last reply."""

    __slots__ = ("accepted", "chunking", "done", "inline", "replies", "sent", "stuffing", "transaction", "wanted")

    def __init__(self, transaction: Transaction, *, chunking: bool, inline: bool) -> None:
        self.transaction = transaction
        self.replies: list[Reply | None] = [None] * len(transaction.recipients)
        self.accepted = 0
        self.done: set[int] = set()  # LMTP: recipients for whom the content was answered
        self.chunking = chunking
        self.inline = inline
        self.stuffing = DotStuffing()
        self.wanted = 0  # octets that BDAT has announced and that are still to come
        self.sent = False


_Step: TypeAlias = "tuple[Awaits, _Running | None, int]"


class SmtpClient:
    """One connection's dialogue. ``PeerError`` out of ``receive`` ends it; ValueError means a caller's mistake."""

    def __init__(
        self, hostname: str, *, lmtp: bool = False, chunking: bool = True, clock: Callable[[], float] = time.time
    ) -> None:
        """``clock`` says the Unix time, for messages that are to be delivered by a certain one."""
        if not _NAME.fullmatch(hostname):
            raise ValueError(f"{hostname!r} is no host name")
        self.extensions: Extensions = {}
        self.hello = ""  # what the server calls itself
        self.limits = Limits()
        self.pipelining = False
        self._chunking = False
        self.replies = 0  # whole replies so far: progress, for the driver's deadline
        self._clock = clock
        self._hostname = hostname
        self._lmtp = lmtp
        self._may_chunk = chunking and not lmtp
        self._parser = Replies()
        self._expected: deque[_Step] = deque([(Awaits.GREETING, None, 0)])
        self._waiting: deque[tuple[bytes, _Step]] = deque()  # commands held back, for want of PIPELINING
        self._outgoing: list[bytes] = []
        self._events: deque[Event] = deque()
        self._sending: _Running | None = None
        self._unclean = False  # a transaction was left open: RSET goes before the next
        self._initial: bytes | None = None  # of a login, where it was too long for the command

    @property
    def awaits(self) -> Awaits:
        return self._expected[0][0] if self._expected else Awaits.NOTHING

    @property
    def can_follow(self) -> bool:
        """Whether the next transaction may ``begin`` behind the content of this one, before its reply (RFC 2920 3.1).

        Only after DATA: when BDAT fails the server wants RSET (RFC 3030 2), so its reply must be seen first.
        """
        return (
            self.pipelining
            and not self._chunking
            and self._sending is None
            and bool(self._expected)
            and all(awaits is Awaits.FINAL for awaits, _, _ in self._expected)
        )

    def receive(self, data: bytes) -> None:
        """Take octets from the server. PeerError when they make no sense; there may be events of what came before."""
        for reply in self._parser.feed(data):
            self.replies += 1
            if not self._expected:
                if reply.code != 421:
                    raise PeerError(f"a reply that nothing asked for: {reply}")
                self._events.append(Closing(reply))
                continue
            awaits, running, index = self._expected.popleft()
            if reply.code == 421 and awaits not in _OPENING:
                if running is not None and running.done:  # LMTP: the others were not accepted, and some were
                    self._settle(running, reply)
                self._events.append(Closing(reply))
                continue
            _ON_REPLY[awaits](self, reply, running, index)
            if self._waiting:
                self._send_waiting()

    def next_event(self) -> Event | None:
        return self._events.popleft() if self._events else None

    def outgoing(self) -> bytes:
        """The commands to send now; b"" when there are none."""
        if not self._outgoing:
            return b""
        data = b"".join(self._outgoing)
        self._outgoing.clear()
        return data

    def start_tls(self) -> None:
        """Ask for TLS (RFC 3207). ``TlsReady`` or ``TlsRefused`` follows."""
        self._command(b"STARTTLS\r\n", (Awaits.TLS, None, 0))

    def tls_started(self) -> None:
        """The handshake is done: forget what the server said before it, and say EHLO anew (RFC 3207 4.2)."""
        self._learn({})
        self._say_hello()

    def authenticate(self, mechanism: str, initial: bytes | None) -> None:
        """Log in (RFC 4954). ``Challenged`` may follow, then ``LoggedIn`` or ``LoginRefused``."""
        line = b"AUTH " + mechanism.encode()
        if initial is not None:
            whole = line + b" " + (_base64(initial) or b"=")
            self._initial = None if len(whole) + 2 <= _COMMAND_LINE else initial
            line = line if self._initial is not None else whole
        self._command(line + b"\r\n", (Awaits.AUTH, None, 0))

    def respond(self, response: bytes | None) -> None:
        """The response to a challenge; None gives the login up."""
        self._command((b"*" if response is None else _base64(response)) + b"\r\n", (Awaits.AUTH, None, 0))

    def quit(self) -> None:
        self._command(b"QUIT\r\n", (Awaits.QUIT, None, 0))

    def begin(self, transaction: Transaction, *, inline: bool = False) -> None:
        """Start a transaction. ``inline``: with CHUNKING, send the content at once, in the same send as the commands.

        Inline is for small content on a fresh connection: if the connection then breaks, nobody can tell whether the
        message was taken. ValueError, with nothing sent, for an address or parameter that would break the dialogue.
        """
        if not transaction.recipients:
            raise ValueError("a transaction needs a recipient")
        now = 0.0 if transaction.timing is UNTIMED else self._clock()
        refusal = objection(transaction, self.extensions, chunking=self._chunking, is_final=self._lmtp, now=now)
        if refusal:
            self._events.append(Finished(transaction, (refusal,) * len(transaction.recipients)))
            return
        offers = self.extensions
        mail, *recipients = [
            mail_command(transaction, offers, now),
            *[rcpt_command(to, offers) for to in transaction.recipients],
        ]
        running = _Running(transaction, chunking=self._chunking, inline=inline and self._chunking)
        if self._unclean:
            self._unclean = False
            self._command(b"RSET\r\n", (Awaits.RESET, None, 0))
        if transaction.forward:
            for command in forward_commands(transaction.forward, offers.get("XFORWARD", "")):
                self._command(command, (Awaits.FORWARD, None, 0))
        self._command(mail, (Awaits.MAIL, running, 0))
        for index, command in enumerate(recipients):
            self._command(command, (Awaits.RECIPIENT, running, index))
        if running.inline:
            self._want_content(running)
        elif not running.chunking:
            self._command(b"DATA\r\n", (Awaits.DATA, running, 0))

    def content(self, data: bytes) -> bytes:
        """The next piece of the wanted content, as it goes onto the wire."""
        running = self._sending_now()
        if not running.chunking:
            return running.stuffing.feed(data)
        running.wanted -= len(data)
        if running.wanted < 0:
            raise ValueError("the content is longer than its transaction said")
        return data

    def end_content(self) -> bytes:
        """What follows the last piece. The next event is about the reply to it."""
        running = self._sending_now()
        if running.wanted:
            raise ValueError("the content is shorter than its transaction said")
        running.sent = True
        self._sending = None
        return b"" if running.chunking else running.stuffing.end()

    def content_sent(self, transaction: Transaction) -> bool:
        """Whether the whole content has gone out and its reply is still owed: if the connection breaks, who knows."""
        return any(
            running is not None and running.transaction is transaction and running.sent
            for _, running, _ in self._expected
        )

    def decided(self, transaction: Transaction) -> tuple[Reply | None, ...]:
        """The replies that have decided on recipients of a transaction under way; None: the server has yet to say."""
        running = next(one for _, one, _ in self._expected if one is not None and one.transaction is transaction)
        return tuple(
            None if reply is None or (reply.positive and index not in running.done) else reply
            for index, reply in enumerate(running.replies)
        )

    def _sending_now(self) -> _Running:
        if self._sending is None:
            raise ValueError("no content is wanted")
        return self._sending

    def _command(self, line: bytes, step: _Step) -> None:
        if self.pipelining or not (self._expected or self._waiting):
            self._outgoing.append(line)
            self._expected.append(step)
        else:
            self._waiting.append((line, step))

    def _send_waiting(self) -> None:
        if not self._expected:
            line, step = self._waiting.popleft()
            self._outgoing.append(line)
            self._expected.append(step)

    def _greet(self, verb: bytes, awaits: Awaits) -> None:
        self._command(verb + self._hostname.encode() + b"\r\n", (awaits, None, 0))

    def _say_hello(self) -> None:
        self._greet(b"LHLO " if self._lmtp else b"EHLO ", Awaits.EHLO)

    def _want_content(self, running: _Running) -> None:
        if running.chunking:
            running.wanted = running.transaction.size
            self._outgoing.append(b"BDAT %d LAST\r\n" % running.wanted)
        self._sending = running
        if self._lmtp:
            accepted = [index for index, reply in enumerate(running.replies) if reply and reply.positive]
            self._expected += [(Awaits.FINAL, running, index) for index in accepted]
        else:
            self._expected.append((Awaits.FINAL, running, 0))
        self._events.append(ContentWanted(running.transaction))

    def _learn(self, extensions: Extensions) -> None:
        self.extensions = extensions
        self.limits = parse_limits(extensions.get("LIMITS", ""))
        self.pipelining = "PIPELINING" in extensions
        self._chunking = self.pipelining and "CHUNKING" in extensions and self._may_chunk

    def _on_greeting(self, reply: Reply, _running: _Running | None, _index: int) -> None:
        if not reply.positive:
            self._events.append(Refused(reply))
        else:
            self._say_hello()

    def _on_ehlo(self, reply: Reply, _running: _Running | None, _index: int) -> None:
        if reply.positive:
            self.hello = reply.text.partition("\n")[0].partition(" ")[0]
            self._learn(extensions(reply))
            self._events.append(Ready(self.extensions))
        elif reply.permanent and not self._lmtp:
            self._greet(b"HELO ", Awaits.HELO)  # RFC 5321 3.2: an old server
        else:
            self._events.append(Refused(reply))

    def _on_helo(self, reply: Reply, _running: _Running | None, _index: int) -> None:
        self._events.append(Ready({}) if reply.positive else Refused(reply))

    def _on_tls(self, reply: Reply, _running: _Running | None, _index: int) -> None:
        if not reply.positive:
            self._events.append(TlsRefused(reply))
        elif self._parser.pending:
            # Octets after the reply came in the clear, yet would be read as if TLS had protected them.
            raise PeerError("clear text behind the reply to STARTTLS")
        else:
            self._events.append(TlsReady())

    def _on_auth(self, reply: Reply, _running: _Running | None, _index: int) -> None:
        if reply.positive:
            self._events.append(LoggedIn())
        elif reply.code != 334:
            self._events.append(LoginRefused(reply))
        elif (challenge := sasl.decode(reply.text.encode())) is None:
            raise PeerError("a challenge that is no base64")
        elif self._initial is not None and not challenge:
            response, self._initial = self._initial, None
            self.respond(response)
        else:
            self._events.append(Challenged(challenge))

    def _on_reset(self, reply: Reply, _running: _Running | None, _index: int) -> None:
        if not reply.positive:
            raise PeerError(f"RSET was refused: {reply}")

    def _on_forward(self, _reply: Reply, _running: _Running | None, _index: int) -> None:
        """The message goes on without it, too."""

    def _on_mail(self, reply: Reply, running: _Running | None, _index: int) -> None:
        assert running
        if not _decides(reply):
            running.replies = [reply] * len(running.replies)
            if not self.pipelining:
                self._waiting.clear()
                self._finish(running)

    def _on_recipient(self, reply: Reply, running: _Running | None, index: int) -> None:
        assert running
        positive = _decides(reply)
        if running.replies[index] is None:  # else MAIL was refused, and this is only its echo
            running.replies[index] = reply
            running.accepted += positive
        if index + 1 == len(running.replies) and not running.inline:
            self._after_last_recipient(running)

    def _after_last_recipient(self, running: _Running) -> None:
        if running.accepted:
            if running.chunking:
                self._want_content(running)
        elif running.chunking or not self.pipelining:
            self._waiting.clear()
            self._unclean = True
            self._finish(running)

    def _on_data(self, reply: Reply, running: _Running | None, _index: int) -> None:
        assert running
        if reply.positive:
            raise PeerError(f"DATA was answered by {reply}")
        if 300 <= reply.code < 400:
            if running.accepted:
                self._want_content(running)
            else:
                # RFC 2920 3.1: DATA may be taken although every recipient was refused; then a lone dot ends it.
                self._outgoing.append(b".\r\n")
                self._expected.append((Awaits.EMPTY, running, 0))
            return
        self._unclean = True
        self._settle(running, reply)

    def _on_final(self, reply: Reply, running: _Running | None, index: int) -> None:
        assert running
        if _decides(reply):
            if not running.sent:
                raise PeerError(f"the content was accepted before its end: {reply}")
        elif running.chunking:
            self._unclean = True  # RFC 3030 2: the state after a failed BDAT is indeterminate until RSET
        if not self._lmtp:
            self._settle(running, reply)
            return
        running.replies[index] = reply
        running.done.add(index)
        if len(running.done) == running.accepted:
            self._finish(running)

    def _on_empty(self, _reply: Reply, running: _Running | None, _index: int) -> None:
        assert running
        self._finish(running)

    def _on_quit(self, _reply: Reply, _running: _Running | None, _index: int) -> None:
        self._events.append(Quit())

    def _settle(self, running: _Running, reply: Reply) -> None:
        """One reply for all recipients that have only been accepted so far."""
        for index, before in enumerate(running.replies):
            if before and before.positive and index not in running.done:
                running.replies[index] = reply
        self._finish(running)

    def _finish(self, running: _Running) -> None:
        replies = tuple([reply for reply in running.replies if reply])
        self._events.append(Finished(running.transaction, replies))


_OPENING = frozenset({Awaits.GREETING, Awaits.EHLO, Awaits.HELO, Awaits.QUIT})
"""Where 421 is an answer like another."""

_ON_REPLY: Mapping[Awaits, Callable[[SmtpClient, Reply, _Running | None, int], None]] = {
    Awaits.GREETING: SmtpClient._on_greeting,
    Awaits.EHLO: SmtpClient._on_ehlo,
    Awaits.HELO: SmtpClient._on_helo,
    Awaits.TLS: SmtpClient._on_tls,
    Awaits.AUTH: SmtpClient._on_auth,
    Awaits.RESET: SmtpClient._on_reset,
    Awaits.FORWARD: SmtpClient._on_forward,
    Awaits.MAIL: SmtpClient._on_mail,
    Awaits.RECIPIENT: SmtpClient._on_recipient,
    Awaits.DATA: SmtpClient._on_data,
    Awaits.FINAL: SmtpClient._on_final,
    Awaits.EMPTY: SmtpClient._on_empty,
    Awaits.QUIT: SmtpClient._on_quit,
}


def _base64(octets: bytes) -> bytes:
    return sasl.encode(sasl.Challenge(octets))


def _decides(reply: Reply) -> bool:
    """Whether the reply is a yes. PeerError when it is neither yes nor no: then the dialogue is out of step."""
    code = reply.code
    if 300 <= code < 400:
        raise PeerError(f"out of step: {reply}")
    return code < 300
