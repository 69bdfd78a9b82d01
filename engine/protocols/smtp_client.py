"""The sending side of SMTP (RFC 5321) and LMTP (RFC 2033): replies in, events and commands out. No socket, no clock.

A driver sends what ``outgoing`` gives, feeds what arrives to ``receive`` and asks ``next_event`` what it means::

    client = SmtpClient("mx.example.org")      # waits for the greeting, then says EHLO
    Ready                                      # now `start_tls`, `begin` or `quit`
    client.begin(Transaction(...))
    ContentWanted                              # send `outgoing`, `content(piece)`…, `end_content()`
    Finished                                   # one reply for each recipient

With PIPELINING (RFC 2920) the commands of a transaction leave in one send. With CHUNKING (RFC 3030) too, the whole
content is one ``BDAT … LAST``; an ``inline`` transaction does not even wait for the replies before it. By LMTP there is
a reply to the content for each recipient that was accepted, and CHUNKING is not used.
"""

import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import idna

from engine.protocols.smtp_content import Breaks

REPLY_LINE = 4096
"""Octets of one reply line. RFC 5321 4.5.3.1.5 says 512; some servers put a whole explanation into one line."""

REPLY_TOTAL = 64 * 1024
"""Octets of one reply with all its lines. What is longer is no reply, and must not fill the memory."""

ORIGINAL_LIMIT = 500
"""Octets of the value of ORCPT (RFC 3461 4.2)."""

_REPLY_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)
_ENHANCED = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?:[ \t]+|$)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
# Looser than RFC 5321 4.1.2, which the server enforced at the door; exact about what could end the path or the line.
_ADDRESS = re.compile(r'(?:"(?:[^"\\\x00-\x1f\x7f]|\\[\x20-\x7e])*"|[^\x00-\x20\x7f<>"]+)(?:@[^\x00-\x20\x7f<>"@]+)?')
_NAME = re.compile(r"[!-~]{1,255}")
_NOTIFY = re.compile(r"NEVER|(?:SUCCESS|FAILURE|DELAY)(?:,(?:SUCCESS|FAILURE|DELAY)){0,2}")
_XTEXT = re.compile(rb"(?:[!-*,-<>-~]|\+[0-9A-F]{2})+")
_UNITEXT = re.compile(r"(?:[!-*,-<>-\[\]-~]|\\x\{[0-9A-F]{2,6}\})+")  # utf-8-addr-xtext, RFC 6533 3
_BREAKS = re.compile(rb"\r\n|\r|\n")
_DOT_LINE = re.compile(rb"\n\.")  # three times as fast as `b"\n." in data`


class PeerError(Exception):
    """The other side broke the protocol. The connection is of no use any more."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply. ``enhanced`` is the code of RFC 3463, or "". ``local``: we know the answer without asking."""

    code: int
    text: str = ""  # without the codes; lines joined by "\n", which is the only control character left
    enhanced: str = ""
    local: bool = False

    @property
    def positive(self) -> bool:
        return 200 <= self.code < 300

    @property
    def permanent(self) -> bool:
        return self.code >= 500

    @property
    def status(self) -> str:
        """The enhanced code where its class is the reply's, else one derived: "5.0.0" (RFC 3463 2)."""
        first = str(self.code)[0]
        return self.enhanced if self.enhanced.startswith(first) else f"{first}.0.0"

    def __str__(self) -> str:
        return " ".join([part for part in (str(self.code), self.enhanced, self.text.replace("\n", " ")) if part])


class To(NamedTuple):
    """A recipient, with what the sender asked for it (RFC 3461). ``original`` is ORCPT as given, in xtext."""

    address: str
    notify: str = ""
    original: str = ""


class Transaction(NamedTuple):
    """One message to the recipients of one host.

    ``size`` is exact, in octets. ``smtputf8``: the sender asked for RFC 6531; ``utf8_headers``: the header section
    does hold non-ASCII octets. ``strict_8bit``: the content holds octets above 127, and shall rather be refused than
    sent to a server that did not offer 8BITMIME. By default we "just send 8", as nearly everyone does: servers that
    break on it died out, and a conversion would break signatures (DKIM) over the content. ``envid`` is xtext, as its
    sender gave it.
    """

    sender: str
    recipients: tuple[To, ...]
    size: int
    body: str = "7BIT"
    smtputf8: bool = False
    utf8_headers: bool = False
    strict_8bit: bool = False
    ret: str = ""
    envid: str = ""


@dataclass(frozen=True, slots=True)
class Ready:
    """The server has answered EHLO or HELO: ``extensions`` holds its keywords, in upper case, with their parameters."""

    extensions: Mapping[str, str]


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


Event: TypeAlias = Ready | Refused | TlsReady | TlsRefused | ContentWanted | Finished | Closing | Quit


class Awaits(Enum):
    """What the next reply will be an answer to. The driver takes its timeout from this (RFC 5321 4.5.3.2)."""

    GREETING = "greeting"
    EHLO = "EHLO"
    HELO = "HELO"
    TLS = "STARTTLS"
    RESET = "RSET"
    MAIL = "MAIL"
    RECIPIENT = "RCPT"
    DATA = "DATA"
    FINAL = "the content"
    EMPTY = "an empty content"
    QUIT = "QUIT"
    NOTHING = "nothing"

    # Every reply is looked up by what awaits it, and the hash of `Enum` is a function in Python.
    __hash__ = object.__hash__


class Replies:
    """Cuts octets into replies. Memory is bounded by REPLY_TOTAL, whatever arrives."""

    def __init__(self) -> None:
        self._buffer = b""
        self._code = 0
        self._lines: list[bytes] = []
        self._size = 0

    @property
    def pending(self) -> bool:
        """Whether octets are left that make no whole reply."""
        return bool(self._buffer or self._lines)

    def feed(self, data: bytes) -> Iterator[Reply]:
        """The replies that ``data`` completes. PeerError for what is no reply, behind those that came before it."""
        *lines, self._buffer = (self._buffer + data if self._buffer else data).split(b"\n")
        for line in lines:
            reply = self._line(line)
            if reply is not None:
                yield reply
        if len(self._buffer) > REPLY_LINE:
            raise PeerError("a reply line has no end")

    def _line(self, line: bytes) -> Reply | None:
        if not self._lines and line[3:4] == b" " and len(line) <= _COMMON:
            return _one_line_reply(line)
        match = _REPLY_LINE.fullmatch(line.removesuffix(b"\r"))
        if not match or len(line) > REPLY_LINE:
            raise _no_reply(line)
        code = int(match[1])
        if self._lines and code != self._code:
            raise PeerError(f"a reply that began with {self._code} goes on with {code}")
        self._code = code
        self._size += len(line)
        if self._size > REPLY_TOTAL:
            raise PeerError("a reply has no end")
        self._lines.append(match[3] or b"")
        if match[2] == b"-":
            return None
        reply = _reply(code, self._lines)
        self._lines, self._size = [], 0
        return reply


_COMMON = 80  # octets


@lru_cache(256)
def _one_line_reply(line: bytes) -> Reply:
    """A server says the same few lines again and again."""
    match = _REPLY_LINE.fullmatch(line.removesuffix(b"\r"))
    if not match:
        raise _no_reply(line)
    return _reply(int(match[1]), [match[3]])


def _no_reply(line: bytes) -> PeerError:
    return PeerError(f"no SMTP reply: {_clean(line[:80])!r}")


def _reply(code: int, lines: list[bytes]) -> Reply:
    texts = [_clean(line) for line in lines]
    found = _ENHANCED.match(texts[0])
    if not found:
        return Reply(code, "\n".join(texts) if len(texts) > 1 else texts[0])
    # RFC 2034 repeats the enhanced code on each line; once is enough for a reader.
    texts = [text[match.end() :] if (match := _ENHANCED.match(text)) else text for text in texts]
    return Reply(code, "\n".join(texts) if len(texts) > 1 else texts[0], found[1])


def _clean(line: bytes) -> str:
    text = line.decode("utf-8", "replace")
    return text.strip() if text.isprintable() else _CONTROL.sub(" ", text).strip()


class DotStuffing:
    """Content in DATA mode, piece by piece (RFC 5321 4.5.2).

    Every line break that leaves is CRLF, also where a lone CR or LF came in: two servers that disagree on what ends a
    line would disagree on where the message ends (SMTP smuggling). The last line always ends before the dot.
    """

    __slots__ = ("_at_line_start", "_held_cr")

    def __init__(self) -> None:
        self._held_cr = False  # a CR at the end of a piece: the LF may open the next one
        self._at_line_start = True

    def feed(self, data: bytes) -> bytes:
        if self._held_cr:
            data = b"\r" + data
        self._held_cr = data.endswith(b"\r")
        if self._held_cr:
            data = data[:-1]
        if not data:
            return b""
        breaks = Breaks()
        breaks.add(data, final=True)
        if not breaks.clean:
            data = _BREAKS.sub(b"\r\n", data)
        starts_with_dot = self._at_line_start and data.startswith(b".")
        self._at_line_start = data.endswith(b"\n")
        if _DOT_LINE.search(data):
            data = data.replace(b"\n.", b"\n..")
        return b"." + data if starts_with_dot else data

    def end(self) -> bytes:
        """What ends the content: the dot, after a line break if there was none."""
        if self._held_cr or not self._at_line_start:
            return b"\r\n.\r\n"
        return b".\r\n"


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

    def __init__(self, hostname: str, *, lmtp: bool = False) -> None:
        if not _NAME.fullmatch(hostname):
            raise ValueError(f"{hostname!r} is no host name")
        self.extensions: Mapping[str, str] = {}
        self.pipelining = False
        self._chunking = False
        self.replies = 0  # whole replies so far: progress, for the driver's deadline
        self._hostname = hostname
        self._lmtp = lmtp
        self._parser = Replies()
        self._expected: deque[_Step] = deque([(Awaits.GREETING, None, 0)])
        self._waiting: deque[tuple[bytes, _Step]] = deque()  # commands held back, for want of PIPELINING
        self._outgoing: list[bytes] = []
        self._events: deque[Event] = deque()
        self._sending: _Running | None = None
        self._unclean = False  # a transaction was left open: RSET goes before the next

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

    def quit(self) -> None:
        self._command(b"QUIT\r\n", (Awaits.QUIT, None, 0))

    def begin(self, transaction: Transaction, *, inline: bool = False) -> None:
        """Start a transaction. ``inline``: with CHUNKING, send the content at once, in the same send as the commands.

        Inline is for small content on a fresh connection: if the connection then breaks, nobody can tell whether the
        message was taken. ValueError, with nothing sent, for an address or parameter that would break the dialogue.
        """
        if not transaction.recipients:
            raise ValueError("a transaction needs a recipient")
        objection = self._objection(transaction)
        if objection:
            self._events.append(Finished(transaction, (objection,) * len(transaction.recipients)))
            return
        mail, *recipients = [self._mail(transaction), *[self._recipient(to) for to in transaction.recipients]]
        running = _Running(transaction, chunking=self._chunking, inline=inline and self._chunking)
        if self._unclean:
            self._unclean = False
            self._command(b"RSET\r\n", (Awaits.RESET, None, 0))
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

    def _objection(self, transaction: Transaction) -> Reply | None:
        """Why this server cannot take the message, by what it offers."""
        offers = self.extensions
        if "SMTPUTF8" not in offers and _needs_smtputf8(transaction):
            # RFC 6531 3.5
            return Reply(553, "The next server does not take internationalized mail", "5.6.7", local=True)
        if transaction.body == "BINARYMIME" and not ("BINARYMIME" in offers and self._chunking):
            return Reply(554, "The next server does not take binary content", "5.6.3", local=True)  # RFC 3030 3
        if transaction.strict_8bit and "8BITMIME" not in offers:
            return Reply(554, "The next server does not take 8-bit content", "5.6.3", local=True)  # RFC 6152 3
        limit = offers.get("SIZE", "")
        if limit.isdecimal() and 0 < int(limit[:19]) < transaction.size:
            return Reply(
                552, f"The next server takes at most {int(limit[:19])} octets", "5.3.4", local=True
            )  # RFC 1870
        return None

    def _mail(self, transaction: Transaction) -> bytes:
        offers = self.extensions
        parts = [b"MAIL FROM:<" + (self._path(transaction.sender) if transaction.sender else b"") + b">"]
        if "SIZE" in offers:
            parts.append(b"SIZE=%d" % transaction.size)
        if transaction.body == "BINARYMIME" or (transaction.body == "8BITMIME" and "8BITMIME" in offers):
            parts.append(b"BODY=" + transaction.body.encode())
        if "SMTPUTF8" in offers and (transaction.smtputf8 or not _ascii_only(transaction)):
            parts.append(b"SMTPUTF8")
        if "DSN" in offers:
            if transaction.ret in ("FULL", "HDRS"):
                parts.append(b"RET=" + transaction.ret.encode())
            if transaction.envid:
                parts.append(b"ENVID=" + _xtext(transaction.envid))
        return b" ".join(parts) + b"\r\n"

    def _recipient(self, to: To) -> bytes:
        parts = [b"RCPT TO:<" + self._path(to.address) + b">"]
        if "DSN" in self.extensions:
            if to.notify:
                if not _NOTIFY.fullmatch(to.notify):
                    raise ValueError(f"{to.notify!r} is no NOTIFY parameter")
                parts.append(b"NOTIFY=" + to.notify.encode())
            # One that grows too long by its escapes is left out: a server refuses the recipient for it.
            if to.original and len(original := _original(to.original)) <= ORIGINAL_LIMIT:
                parts.append(b"ORCPT=" + original)
        return b" ".join(parts) + b"\r\n"

    def _path(self, address: str) -> bytes:
        if not _ADDRESS.fullmatch(address):
            raise ValueError(f"{address!r} cannot stand in an SMTP command")
        if address.isascii():
            return address.encode("ascii")
        if "SMTPUTF8" in self.extensions:
            return address.encode()
        return _with_a_label(address).encode("ascii")

    def _learn(self, extensions: Mapping[str, str]) -> None:
        self.extensions = extensions
        self.pipelining = "PIPELINING" in extensions
        self._chunking = self.pipelining and "CHUNKING" in extensions and not self._lmtp

    def _on_greeting(self, reply: Reply, _running: _Running | None, _index: int) -> None:
        if not reply.positive:
            self._events.append(Refused(reply))
        else:
            self._say_hello()

    def _on_ehlo(self, reply: Reply, _running: _Running | None, _index: int) -> None:
        if reply.positive:
            self._learn(_extensions(reply))
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

    def _on_reset(self, reply: Reply, _running: _Running | None, _index: int) -> None:
        if not reply.positive:
            raise PeerError(f"RSET was refused: {reply}")

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
    Awaits.RESET: SmtpClient._on_reset,
    Awaits.MAIL: SmtpClient._on_mail,
    Awaits.RECIPIENT: SmtpClient._on_recipient,
    Awaits.DATA: SmtpClient._on_data,
    Awaits.FINAL: SmtpClient._on_final,
    Awaits.EMPTY: SmtpClient._on_empty,
    Awaits.QUIT: SmtpClient._on_quit,
}


def _xtext(text: str) -> bytes:
    """A parameter of RFC 3461 4 as given, or encoded where it is no xtext. ValueError for what is not ASCII."""
    given = text.encode("ascii")
    return given if _XTEXT.fullmatch(given) else re.sub(rb"[^!-*,-<>-~]", lambda match: b"+%02X" % ord(match[0]), given)


def _original(original: str) -> bytes:
    """ORCPT: "rfc822;…" as xtext, "utf-8;…" as utf-8-addr-xtext (RFC 6533 3), right with and without SMTPUTF8."""
    kind, separator, address = original.partition(";")
    if not separator:
        kind, address = ("rfc822" if original.isascii() else "utf-8"), original
    if not re.fullmatch(r"[A-Za-z0-9-]+", kind):
        raise ValueError(f"{original!r} is no ORCPT parameter")
    if address.isascii() and (kind.lower() != "utf-8" or _UNITEXT.fullmatch(address)):
        return kind.encode() + b";" + (_xtext(address) if kind.lower() != "utf-8" else address.encode())
    escaped = "".join(
        character if "!" <= character <= "~" and character not in "+=\\" else f"\\x{{{ord(character):X}}}"
        for character in address
    )
    return b"utf-8;" + escaped.encode("ascii")


def _decides(reply: Reply) -> bool:
    """Whether the reply is a yes. PeerError when it is neither yes nor no: then the dialogue is out of step."""
    code = reply.code
    if 300 <= code < 400:
        raise PeerError(f"out of step: {reply}")
    return code < 300


def _extensions(reply: Reply) -> dict[str, str]:
    keywords: dict[str, str] = {}
    for line in reply.text.split("\n")[1:]:  # the first line greets
        keyword, _, parameters = line.partition(" ")
        keywords[keyword.upper()] = parameters.strip()
    return keywords


def _ascii_only(transaction: Transaction) -> bool:
    return transaction.sender.isascii() and all(map(str.isascii, [to.address for to in transaction.recipients]))


def _needs_smtputf8(transaction: Transaction) -> bool:
    """Whether a server without SMTPUTF8 cannot take it: a domain alone can be written as an A-label (RFC 6531 3.2)."""
    if transaction.utf8_headers or _ascii_only(transaction):
        return transaction.utf8_headers
    addresses = (transaction.sender, *(to.address for to in transaction.recipients))
    return any(not address.isascii() and not _with_a_label(address).isascii() for address in addresses)


def _with_a_label(address: str) -> str:
    local, _, domain = address.rpartition("@")
    try:
        return f"{local}@{idna.encode(domain, uts46=True).decode()}"
    except idna.IDNAError:
        return address
