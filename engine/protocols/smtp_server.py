"""The server's side of SMTP: octets in, events out, replies queued; the driver owns the socket, the clock and the TLS.

A driver reads the protocol like this::

    smtp = SmtpServer(hostname="mx.example.org", size_limit=25_000_000, recipients_limit=1000)
    smtp.greet()
    while True:
        match smtp.next_event():
            case NeedData():
                await send(smtp.outgoing())
                smtp.receive(await read())      # b"" at end of file
            case Mail() | Rcpt() | ContentBegin():
                smtp.accept()                   # or smtp.refuse(550, "5.1.1", "No such user")
            case Content(data):
                smtp.accept(f"Queued as {await keep(data)}")
            ...

After ``ContentBegin`` comes one ``Content`` with everything if the message is small (``HOLD_LIMIT``), else several
``ContentPart`` and a ``ContentEnd``. In either case ``Reset`` instead, if the rules of SMTP refuse the content.

Under LMTP (RFC 2033) the content is answered for each ``Rcpt`` that was accepted, in their order: ``accept`` and
``refuse`` with ``one`` answer for the next, without it for all that are left.

Line breaks are CRLF and nothing else. A command with a bare CR or LF is refused as a whole: it reaches to the next
CRLF, so that nothing behind a bare LF is ever taken for a command. In content nothing but CRLF.CRLF is the end.
"""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal

from engine.protocols import sasl
from engine.protocols.scram import Keys
from engine.protocols.smtp_content import DOT, TERMINATOR, Tally, unstuffed
from engine.protocols.smtp_events import (
    CONTENT_BEGIN,
    NEED_DATA,
    Auth,
    Content,
    ContentEnd,
    ContentPart,
    Disconnected,
    Event,
    Hello,
    Quit,
    Reset,
    StartTls,
    TooManyErrors,
)
from engine.protocols.smtp_limits import Limits, limits_line
from engine.protocols.smtp_parameters import parse_mail, parse_rcpt
from engine.protocols.smtp_replies import check_refusal, reply
from engine.protocols.timing import NOTHING, Offers
from engine.protocols.timing import lines as timing_lines
from engine.protocols.xforward import ATTRIBUTES
from engine.protocols.xforward import parse as parse_forward

HOLD_LIMIT = 65_536
"""Octets of content that are held back in the hope of its end, so that a small message is one ``Content``."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HELLO_NAME = re.compile(r"[!-~]{1,255}")
_BDAT = re.compile(r"([0-9]{1,20})(?: +(\S+))?", re.ASCII)


class Phase(Enum):
    """Where a session stands; ``COMMANDS`` says what may be said there."""

    START = "no HELO yet"
    READY = "no transaction"
    SENDER = "a sender, and no recipient accepted"
    RECIPIENTS = "recipients were accepted"
    CHUNKS = "BDAT has begun"
    TURNED_AWAY = "refused in place of the greeting"


START, READY, SENDER, RECIPIENTS, CHUNKS, TURNED_AWAY = Phase
ANY = (START, READY, SENDER, RECIPIENTS, CHUNKS)

_OUT_OF_ORDER: Mapping[Phase, bytes] = {
    START: reply(503, "5.5.1", "HELO or EHLO comes first"),  # LMTP: _LHLO_FIRST
    READY: reply(503, "5.5.1", "MAIL comes first"),
    SENDER: reply(503, "5.5.1", "A transaction is under way"),
    RECIPIENTS: reply(503, "5.5.1", "A transaction is under way"),
    CHUNKS: reply(503, "5.5.1", "Chunks are under way: BDAT or RSET comes next"),
    TURNED_AWAY: reply(503, "5.5.1", "There is no service for you here"),
}

_LHLO_FIRST = reply(503, "5.5.1", "LHLO comes first")
_LONG_LINE = reply(500, "5.5.2", "The line is too long")
_CONTROLS = reply(500, "5.5.2", "A command holds no control characters, and ends in CRLF")
_NOT_UTF8 = reply(500, "5.5.2", "A command is ASCII or UTF-8")
_UNKNOWN = reply(500, "5.5.1", "Unknown command")
_NO_ARGUMENT = reply(501, "5.5.4", "This command takes no argument")
_HELLO_SYNTAX = reply(501, "5.5.4", "Syntax: EHLO hostname")
_LHLO_SYNTAX = reply(501, "5.5.4", "Syntax: LHLO hostname")
_BDAT_SYNTAX = reply(501, "5.5.4", "Syntax: BDAT octets [LAST]")
_VRFY_SYNTAX = reply(501, "5.5.4", "Syntax: VRFY address")
_FORWARD_SYNTAX = reply(501, "5.5.4", "Syntax: XFORWARD attribute=value…")
_AUTH_SYNTAX = reply(501, "5.5.4", "Syntax: AUTH mechanism [initial response]")
_TOO_LARGE = reply(552, "5.3.4", "The message is too large")
_BARE_NEWLINE = reply(550, "5.6.0", "Line breaks must be CRLF")
_TOO_MANY_RECIPIENTS = reply(452, "4.5.3", "Too many recipients")
_NO_RECIPIENTS = reply(503, "5.5.1", "RCPT comes first")
_NO_VALID_RECIPIENTS = reply(554, "5.5.1", "No valid recipients")
_NO_LMTP_RECIPIENTS = reply(503, "5.5.1", "No valid recipients")  # RFC 2033 4.2 wants 503
_CHUNK_FAILED = reply(503, "5.5.1", "An earlier chunk was refused")
_NOT_OFFERED = reply(502, "5.5.1", "This command is not offered")
_NEEDS_TLS = reply(538, "5.7.11", "Encryption is required: STARTTLS comes first")
_NO_MECHANISM = reply(504, "5.5.4", "This mechanism is not offered")
_LOGGED_IN = reply(503, "5.5.1", "You are logged in already")
_CANCELLED = reply(501, "5.7.0", "Authentication cancelled")
_NOT_BASE64 = reply(501, "5.5.2", "This is no base64")
_LONG_RESPONSE = reply(500, "5.5.6", "The line is too long")
_GO_AHEAD_TLS = reply(220, "2.0.0", "Ready for TLS")
_FORWARDED = reply(250, "2.0.0", "Noted")
_RESET = reply(250, "2.0.0", "Forgotten")
_NOOP = reply(250, "2.0.0", "Nothing done")
_CHUNK_TAKEN = reply(250, "2.0.0", "Chunk taken")
_CANNOT_VERIFY = reply(252, "2.5.2", "Cannot VRFY; send the message and see")
_HELP = reply(214, "2.0.0", "HELO EHLO MAIL RCPT DATA BDAT RSET NOOP QUIT VRFY STARTTLS AUTH; see RFC 5321")
_LMTP_HELP = reply(214, "2.0.0", "LHLO MAIL RCPT DATA BDAT RSET NOOP QUIT VRFY STARTTLS AUTH; see RFC 2033")
# What a chunk is refused with by fault of the client; the rest may be pipelined in good faith.
_COUNTED_OF_CHUNKS = frozenset({_BDAT_SYNTAX, _NO_RECIPIENTS, _LHLO_FIRST, *_OUT_OF_ORDER.values()})
_TOO_MANY_ERRORS = reply(421, "4.7.0", "Too many errors")


class SmtpServer:
    """One session with one client.

    ``size_limit`` is octets of content, ``recipients_limit`` accepted recipients a transaction, ``errors_limit`` errors
    of the client before a 421, ``command_line_limit`` octets of a command line with its CRLF (RFC 5321 4.5.3.1.4 wants
    512, and room for the parameters of extensions). ``starttls`` offers STARTTLS as long as TLS is not active; ``auth``
    names SASL mechanisms, which are offered only under TLS; ``channel`` is what TLS says, if it is active.
    ``bare_newlines="accept"`` takes content with a bare CR or LF as it is, for senders that cannot be mended; the end
    of content stays strict. ``lmtp`` makes it a server of LMTP.
    ``xforward`` offers XFORWARD: what the client says of whom it had a message from is in ``forwarded``.
    ``requiretls`` offers REQUIRETLS, under TLS (RFC 8689): a message may go on under verified TLS alone.
    ``timing`` is offered to who has logged in, or is ``trusted``; ``clock`` says the Unix time that it counts from.
    """

    def __init__(
        self,
        *,
        hostname: str,
        size_limit: int,
        recipients_limit: int,
        errors_limit: int = 20,
        command_line_limit: int = 2048,
        starttls: bool = False,
        auth: tuple[str, ...] = (),
        tls_active: bool = False,
        channel: sasl.Channel = sasl.CLEAR,
        bare_newlines: Literal["refuse", "accept"] = "refuse",
        lmtp: bool = False,
        xforward: bool = False,
        requiretls: bool = False,
        timing: Offers = NOTHING,
        trusted: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._hostname, self._lmtp = hostname, lmtp
        self._kind = "LMTP" if lmtp else "ESMTP"
        self._commands = {**(LMTP_COMMANDS if lmtp else COMMANDS), **(FORWARDING if xforward else {})}
        self._timing, self._trusted, self._clock = timing, trusted, clock
        self._size_limit, self._recipients_limit = size_limit, recipients_limit
        self._errors_limit, self._command_line_limit = errors_limit, command_line_limit
        self._starttls, self._auth, self._requiretls = starttls, auth, requiretls
        self._offer = sasl.Offer(auth, channel)
        self._lead = 0  # octets of context that the buffer opens with, see _read_lines
        self._scanned = 0  # octets of the buffer that hold no end of content
        self._chunk_left, self._chunk_last = 0, False
        self._finals_left = 0  # replies to the content that are still to come
        self._swallowed: tuple[bytes, Event | None] = (b"", None)
        self._tally = Tally(size_limit, strict=bare_newlines == "refuse")

        self.tls_active = tls_active
        self.hello = ""  # the name in HELO or EHLO
        self.login = ""  # the account that has authenticated
        self.errors = 0  # of the client, so far
        self.hasty = False  # it sent commands before it could know that it may (RFC 2920 3.1)

        self._buffer, self._position = b"", 0  # the position: octets of the buffer that have been used up
        self._end_of_file = False
        self._replies: list[bytes] = []
        self._read: Callable[[SmtpServer], Event | None] = SmtpServer._read_command
        self._decision: Decision | None = GREETING
        self._long_line = _LONG_LINE  # the reply at the end of the line that is being swallowed
        self._exchange: sasl.Exchange | None = None
        self._extended = False
        self._clear_transaction(START)

    # What the driver calls.

    def greet(self, text: str = "") -> None:
        """Queues the 220. To turn the client away, call ``refuse`` instead (RFC 5321 3.1): then only QUIT is heard."""
        if self._decision is not GREETING:
            raise RuntimeError("the client has been greeted already")
        self._decision = None
        self._replies.append(reply(220, "", f"{self._hostname} {text or f'{self._kind} Postroad'}"))

    def tease(self, text: str) -> None:
        """Queues a first line of the greeting, which is still to come (RFC 5321 4.2.1)."""
        if self._decision is not GREETING:
            raise RuntimeError("the client has been greeted already")
        self._replies.append(reply(220, "", f"{self._hostname} {text}").replace(b"220 ", b"220-"))

    def receive(self, data: bytes) -> None:
        """Takes octets from the peer; ``b""`` is the end of file."""
        if not data:
            self._end_of_file = True
        elif self._position == len(self._buffer):
            self._buffer = data
            self._position = 0
        else:
            self._buffer = self._buffer[self._position :] + data
            self._position = 0

    def next_event(self) -> Event:
        """The next thing the client said; ``NEED_DATA`` if it has not said it yet.

        RuntimeError while an event waits for its decision.
        """
        if self._decision is not None:
            raise RuntimeError(f"{self._decision.name} waits for accept() or refuse()")
        event = self._read(self)
        while event is None:
            event = self._read(self)
        return Disconnected() if event is NEED_DATA and self._end_of_file else event

    def outgoing(self) -> bytes:
        """The replies queued so far; empties the queue.

        Send it at ``NEED_DATA``, so that replies to pipelined commands leave together, before a decision that takes
        time, and before TLS and close.
        """
        octets = b"".join(self._replies)
        self._replies.clear()
        return octets

    def accept(self, text: str | None = None, *, code: int = 0, enhanced: str = "", one: bool = False) -> None:
        """Says yes to the last event, in standard words where ``text`` is None; ``one``: for one recipient alone."""
        decision = self._decided()
        if decision is GREETING or decision is LOGIN:
            self._decision = decision
            raise RuntimeError(f"{decision.name} is not accepted by accept()")
        said = decision.standard
        if text is not None and decision.code:
            said = reply(code or decision.code, enhanced or decision.enhanced, text)
        for _ in range(self._times(decision, one=one)):
            if said:
                self._replies.append(said)
            decision.accepted(self)

    def refuse(self, code: int, enhanced: str, text: str, *, counts: bool = False, one: bool = False) -> None:
        """Says no to the last event; ``counts`` makes it one of the client's errors. A 421 also ends the session.

        ``one``: for one recipient alone.

        ValueError unless ``code`` is 4xx or 5xx and ``enhanced`` is of the same class.
        """
        check_refusal(code, enhanced)
        decision = self._decided()
        for _ in range(self._times(decision, one=one)):
            decision.refused(self, reply(code, enhanced, text))
        if counts:
            self._count_error()
        if code == 421:
            self._decision = None
            self._read = SmtpServer._over

    def close(self, enhanced: str, text: str) -> None:
        """Queues a 421 and ends the session, at whatever moment: a time-out, a shutdown (RFC 5321 3.8)."""
        self._decision = None
        self._replies.append(reply(421, enhanced, text))
        self._read = SmtpServer._over

    def tls_started(self, channel: sasl.Channel = sasl.CLEAR) -> None:
        """The handshake is done: forgets all the client said, and octets that came before it (RFC 3207 4.2).

        ``channel`` is what TLS says.
        """
        self.tls_active = True
        self._offer = sasl.Offer(self._auth, channel)
        self.hello = self.login = ""
        self._extended = False
        self._drop_input()
        self._clear_transaction(START)
        self._read = SmtpServer._read_command

    def take_keys(self, keys: Keys) -> None:
        """Answers ``Auth`` that asks ``KeysWanted``."""
        if self._decision is not LOGIN or not isinstance(self._exchange, sasl.Scram):
            raise RuntimeError("no login waits for keys")
        self._decision = None
        self._challenge(self._exchange.take(keys))

    def authenticated(self, login: str) -> None:
        """Says yes to ``Auth`` that asks for a decision; ``login`` names the account."""
        if self._decision is not LOGIN or self._exchange is not None:
            raise RuntimeError("no login waits for a decision")
        self._decision = None
        self.login = login
        self._replies.append(LOGIN.standard)

    @property
    def protocol(self) -> str:
        """How the message comes, for the ``with`` of a Received field (RFC 3848, RFC 6531 3.7.3)."""
        if not self._extended:
            return self._kind.removeprefix("E")
        base = f"UTF8{self._kind.removeprefix('E')}" if self._smtputf8 else self._kind
        return base + "S" * self.tls_active + "A" * bool(self.login)

    # Reading: each function uses up octets and returns an event, or None when it said all it had to say in a reply.

    def _read_command(self) -> Event | None:
        buffer, start = self._buffer, self._position
        if start == len(buffer):
            return NEED_DATA
        end = buffer.find(b"\r\n", start)
        if end < 0:
            return self._await_line(self._command_line_limit, _LONG_LINE)
        self._position = end + 2
        if not self._extended and end + 2 < len(buffer):  # HELO allows no pipelining, and EHLO stands last of its lines
            self.hasty = True
        if end + 2 - start > self._command_line_limit:
            return self._error(_LONG_LINE)
        try:
            line = buffer[start:end].decode()
        except UnicodeDecodeError:
            return self._error(_NOT_UTF8)
        if not line.isprintable() and _CONTROL.search(line):
            return self._error(_CONTROLS)
        verb, _, argument = line.partition(" ")
        command = self._commands.get(verb) or self._commands.get(_capitals(verb))
        if command is None:
            return self._error(_UNKNOWN)
        if self._phase not in command.needs:
            return self._error(self._out_of_order())
        return command.run(self, argument.strip(" "))

    def _await_line(self, limit: int, too_long: bytes) -> Event | None:
        if len(self._buffer) - self._position <= limit:
            return NEED_DATA
        self._long_line = too_long
        self._read = SmtpServer._read_long_line
        return None

    def _read_long_line(self) -> Event | None:
        """Swallows a line in bounded memory, and answers at its end."""
        end = self._buffer.find(b"\r\n", self._position)
        if end < 0:
            self._buffer = b"\r" if self._buffer.endswith(b"\r") else b""
            self._position = 0
            return NEED_DATA
        self._position = end + 2
        self._read = SmtpServer._read_command
        return self._error(self._long_line)

    def _read_response(self) -> Event | None:
        """A line of a SASL exchange (RFC 4954 4)."""
        end = self._buffer.find(b"\r\n", self._position)
        if end < 0:
            return self._await_line(sasl.RESPONSE_LIMIT, _LONG_RESPONSE)
        line = self._buffer[self._position : end]
        self._position = end + 2
        self._read = SmtpServer._read_command
        if len(line) + 2 > sasl.RESPONSE_LIMIT:
            return self._error(_LONG_RESPONSE)
        if line == b"*":
            return self._error(_CANCELLED)
        return self._step(sasl.decode(line))

    def _read_lines(self) -> Event | None:
        """Content under DATA.

        The buffer opens with the CRLF before the lines (``_lead`` is 2), so that the search sees a dot on the first
        line, and the end of an empty message; or it opens in the midst of an endless line (``_lead`` is 0).
        """
        buffer, start = self._buffer, self._position
        if self._scanned:
            stuffed = True  # perhaps: what was scanned before is not remembered
            end = buffer.find(TERMINATOR, start + self._scanned)
        else:
            end = buffer.find(DOT, start)
            stuffed = end >= 0 and not buffer.startswith(b"\r\n", end + len(DOT))
            if stuffed:
                end = buffer.find(TERMINATOR, end)
        if end < 0:
            return self._read_some_lines()
        self._position = end + len(TERMINATOR)
        self._read = SmtpServer._read_command
        if stuffed:
            return self._content_ended(unstuffed(buffer[start : end + 2])[self._lead :])
        return self._content_ended(buffer[start + self._lead : end + 2])

    def _read_some_lines(self) -> Event | None:
        """Content without an end in sight, if it is much: whole lines, or a piece of an endless one."""
        buffer, start, lead = self._buffer, self._position, self._lead
        held = len(buffer) - start
        if held <= HOLD_LIMIT:
            self._scanned = max(held - len(TERMINATOR) + 1, 0)
            return NEED_DATA
        last = buffer.rfind(b"\r\n", start + lead)
        if last >= 0:
            end = last + 2
            self._position, self._lead = last, 2
        else:
            end = len(buffer) - buffer.endswith(b"\r")  # a CR stays until it is known whether an LF follows
            self._position, self._lead = end, 0
        self._scanned = 0
        return self._content_went_on(unstuffed(buffer[start:end])[lead:])

    def _read_chunk(self) -> Event | None:
        """Content under BDAT (RFC 3030)."""
        start = self._position
        available = len(self._buffer) - start
        if available < self._chunk_left and available <= HOLD_LIMIT:
            return NEED_DATA
        data = self._buffer[start : start + self._chunk_left]
        self._position = start + len(data)
        self._chunk_left -= len(data)
        if self._chunk_left:
            return self._content_went_on(data)
        self._read = SmtpServer._read_command
        return self._content_ended(data) if self._chunk_last else self._chunk_ended(data)

    def _read_swallowed(self) -> Event | None:
        """A chunk that was refused must still be read, or it would be taken for commands."""
        taken = min(self._chunk_left, len(self._buffer) - self._position)
        self._position += taken
        self._chunk_left -= taken
        if self._chunk_left:
            return NEED_DATA
        self._read = SmtpServer._read_command
        refusal, event = self._swallowed
        self._replies.append(refusal * (self._finals if self._chunk_last else 1))
        if refusal in _COUNTED_OF_CHUNKS:
            self._count_error()
        if self._chunk_last and self._phase is CHUNKS:
            self._clear_transaction()
        return event

    def _await_tls(self) -> Event | None:
        # What stands behind STARTTLS came in clear, perhaps from somebody else: never obeyed. CVE-2011-0411
        self._drop_input()
        return NEED_DATA

    def _give_up(self) -> Event | None:
        self._replies.append(_TOO_MANY_ERRORS)
        self._read = SmtpServer._over
        return TooManyErrors()

    def _over(self) -> Event | None:
        self._drop_input()
        return Disconnected()

    # Content, whichever way it comes.

    def _begin_lines(self) -> None:
        # The CRLF that ended the DATA line is the first half of the end of an empty message. RFC 5321 4.1.1.4
        self._buffer = b"\r\n" + self._buffer[self._position :]
        self._position, self._scanned, self._lead = 0, 0, 2
        self._tally.clear()
        self._read = SmtpServer._read_lines

    def _content_went_on(self, data: bytes) -> Event | None:
        # Keep reading past the limit: stopping here would let the rest be read as commands. RFC 5321 4.5.2
        self._tally.add(data)
        if not self._tally.good:
            return None
        self._parts = True
        return ContentPart(data)

    def _content_ended(self, data: bytes) -> Event | None:
        self._tally.add(data)
        if not self._tally.finish():
            refusal, count = self._content_refusal(), self._finals
            self._clear_transaction()
            return self._refused_content(refusal, count)
        if not self._parts:
            self._await_finals()
            return Content(data)
        if not data:
            return self._end_content()
        self._read = SmtpServer._end_content
        return ContentPart(data)

    def _end_content(self) -> Event | None:
        self._read = SmtpServer._read_command
        self._await_finals()
        return ContentEnd(self._tally.size)

    @property
    def _finals(self) -> int:
        """How many replies the end of content gets (RFC 2033 4.2): without recipients there is still one."""
        return max(self._recipients, 1) if self._lmtp else 1

    def _await_finals(self) -> None:
        self._decision = CONTENT
        self._finals_left = self._finals

    def _times(self, decision: "Decision", *, one: bool) -> int:
        """How many replies a decision makes."""
        return self._finals_left if decision is CONTENT and not one else 1

    def _chunk_ended(self, data: bytes) -> Event | None:
        """A chunk that is not the last one."""
        event = self._content_went_on(data) if data else None
        if not self._tally.good:
            self._chunk_failed = True
            return self._refused_content(self._content_refusal())
        self._replies.append(_CHUNK_TAKEN)
        return event

    def _content_refusal(self) -> bytes:
        return _TOO_LARGE if self._tally.too_large else _BARE_NEWLINE

    def _refused_content(self, refusal: bytes, count: int = 1) -> Event:
        self._replies.append(refusal * count)
        if refusal is _BARE_NEWLINE:
            self._count_error()
        return _reset_by(refusal)

    def _begin_chunk(self) -> None:
        self._phase = CHUNKS
        self._read = SmtpServer._read_chunk

    def _refuse_chunk(self, refusal: bytes) -> None:
        self._phase = CHUNKS
        self._chunk_failed = True
        self._swallow(refusal)

    def _swallow(self, refusal: bytes, event: Event | None = None) -> Event | None:
        self._swallowed = (refusal, event)
        self._read = SmtpServer._read_swallowed
        return None

    # Commands, by the table below. Each gets the text behind its verb.

    def _helo(self, argument: str) -> Event | None:
        return self._greeted(argument, extended=False)

    def _ehlo(self, argument: str) -> Event | None:
        return self._greeted(argument, extended=True)

    def _greeted(self, name: str, *, extended: bool) -> Event | None:
        if not _HELLO_NAME.fullmatch(name):
            return self._error(_LHLO_SYNTAX if self._lmtp else _HELLO_SYNTAX)
        self.hello, self._extended = name, extended
        self._clear_transaction()
        self._replies.append(reply(250, "", "\n".join([self._hostname, *(self._extensions() if extended else ())])))
        return Hello(name, extended)

    def _extensions(self) -> list[str]:
        names = ["PIPELINING", f"SIZE {self._size_limit}", "8BITMIME", "SMTPUTF8"]
        names += ["ENHANCEDSTATUSCODES", "CHUNKING", "DSN", *limits_line(Limits(recipients=self._recipients_limit))]
        if self._starttls and not self.tls_active:
            names.append("STARTTLS")
        if self._auth and self.tls_active:
            names.append(f"AUTH {' '.join(self._offer.names)}")
        if self._requiretls and self.tls_active:
            names.append("REQUIRETLS")
        if (offers := self._offers) is not NOTHING:
            names += timing_lines(offers, self._clock())
        if "XFORWARD" in self._commands:
            names.append(f"XFORWARD {' '.join(ATTRIBUTES)}")
        return names

    @property
    def _offers(self) -> Offers:
        """What this client may ask for as to time."""
        return self._timing if self._trusted or self.login else NOTHING

    def _forward(self, argument: str) -> Event | None:
        told = parse_forward(argument)
        if told is None:
            return self._error(_FORWARD_SYNTAX)
        self.forwarded |= told
        return self._say(_FORWARDED)

    def _mail(self, argument: str) -> Event | None:
        offers, requiretls = self._offers, self._requiretls and self.tls_active
        if offers is NOTHING:
            event = parse_mail(argument, requiretls=requiretls)
        else:
            event = parse_mail(argument, offers, self._clock(), requiretls=requiretls)
        if isinstance(event, bytes):
            return self._error(event)
        if event.size is not None and event.size > self._size_limit:
            return self._say(_TOO_LARGE)
        self._smtputf8 = event.smtputf8
        self._decision = SENDING
        return event

    def _rcpt(self, argument: str) -> Event | None:
        self._recipients_tried = True
        event = parse_rcpt(argument, smtputf8=self._smtputf8)
        if isinstance(event, bytes):
            return self._error(event)
        if self._recipients >= self._recipients_limit:
            return self._say(_TOO_MANY_RECIPIENTS)
        self._decision = RECIPIENT
        return event

    def _data(self, argument: str) -> Event | None:
        if argument:
            return self._error(_NO_ARGUMENT)
        if self._phase is SENDER:
            return self._lacks_recipients()
        self._decision = DATA
        return CONTENT_BEGIN

    def _bdat(self, argument: str) -> Event | None:
        match = _BDAT.fullmatch(argument)
        if match is None:
            return self._error(_BDAT_SYNTAX)
        self._chunk_left, self._chunk_last = int(match[1]), match[2] is not None
        obstacle = self._chunk_obstacle(match[2])
        if obstacle is not None:
            return self._swallow(obstacle)
        if self._phase is RECIPIENTS:
            self._tally.clear()
        if self._tally.size + self._chunk_left > self._size_limit:
            self._phase, self._chunk_failed = CHUNKS, True
            return self._swallow(_TOO_LARGE, _reset_by(_TOO_LARGE))
        if self._phase is RECIPIENTS:
            self._decision = CHUNK
            return CONTENT_BEGIN
        self._begin_chunk()
        return None

    def _chunk_obstacle(self, last: str | None) -> bytes | None:
        """Why the chunk that follows must be thrown away, if it must."""
        if last is not None and last.upper() != "LAST":
            return _BDAT_SYNTAX
        if self._phase is SENDER:
            return self._no_recipients()
        if self._chunk_failed:
            return _CHUNK_FAILED
        return None if self._phase in (RECIPIENTS, CHUNKS) else self._out_of_order()

    def _out_of_order(self) -> bytes:
        return _LHLO_FIRST if self._lmtp and self._phase is START else _OUT_OF_ORDER[self._phase]

    def _lacks_recipients(self) -> Event | None:
        # A pipelining client sends DATA before it knows that every recipient was refused: no error. RFC 2920 3.1
        return self._say(self._no_recipients()) if self._recipients_tried else self._error(_NO_RECIPIENTS)

    def _no_recipients(self) -> bytes:
        if not self._recipients_tried:
            return _NO_RECIPIENTS
        return _NO_LMTP_RECIPIENTS if self._lmtp else _NO_VALID_RECIPIENTS

    def _rset(self, argument: str) -> Event | None:
        if argument:
            return self._error(_NO_ARGUMENT)
        self._clear_transaction(START if self._phase is START else READY)
        self._replies.append(_RESET)
        return Reset()

    def _noop(self, argument: str) -> Event | None:  # noqa: ARG002 - RFC 5321 4.1.1.9: an argument is ignored
        return self._say(_NOOP)

    def _quit(self, argument: str) -> Event | None:
        if argument:
            return self._error(_NO_ARGUMENT)
        self._replies.append(reply(221, "2.0.0", f"{self._hostname} says goodbye"))
        self._read = SmtpServer._over
        return Quit()

    def _vrfy(self, argument: str) -> Event | None:
        if not argument:
            return self._error(_VRFY_SYNTAX)
        return self._say(_CANNOT_VERIFY)

    def _expn(self, argument: str) -> Event | None:  # noqa: ARG002 - refused whatever it is
        return self._say(_NOT_OFFERED)

    def _help(self, argument: str) -> Event | None:  # noqa: ARG002 - one text for every topic
        return self._say(_LMTP_HELP if self._lmtp else _HELP)

    def _start_tls(self, argument: str) -> Event | None:
        if not self._starttls or self.tls_active:
            return self._error(_NOT_OFFERED)
        if argument:
            return self._error(_NO_ARGUMENT)
        self._replies.append(_GO_AHEAD_TLS)
        self._read = SmtpServer._await_tls
        return StartTls()

    def _authenticate(self, argument: str) -> Event | None:
        if not self._auth or not (self.tls_active or self._starttls):
            return self._error(_NOT_OFFERED)
        if not self.tls_active:
            return self._error(_NEEDS_TLS)
        if self.login:
            return self._error(_LOGGED_IN)
        name, _, initial = argument.partition(" ")
        if not name:
            return self._error(_AUTH_SYNTAX)
        mechanism = _capitals(name)
        if mechanism not in self._offer.names:
            return self._error(_NO_MECHANISM)
        self._exchange = self._offer.begin(mechanism)
        if not initial:
            return self._answer(self._exchange.step(None))
        return self._step(sasl.decode_initial(initial.encode()))

    def _step(self, response: bytes | None) -> Event | None:
        if response is None or self._exchange is None:
            return self._error(_NOT_BASE64)
        return self._answer(self._exchange.step(response))

    def _answer(self, step: sasl.Step) -> Event | None:
        if isinstance(step, sasl.Challenge):
            return self._challenge(step)
        if not isinstance(step, sasl.KeysWanted):
            self._exchange = None
        if isinstance(step, sasl.Failure):
            return self._error(reply(501, "5.5.2", step.text))
        self._decision = LOGIN
        return Auth(step)

    def _challenge(self, challenge: sasl.Challenge) -> Event | None:
        self._replies.append(b"334 " + sasl.encode(challenge) + b"\r\n")
        self._read = SmtpServer._read_response
        return None

    # State.

    def _decided(self) -> "Decision":
        decision = self._decision
        if decision is None:
            raise RuntimeError("no event waits for a decision")
        self._decision = None
        return decision

    def _clear_transaction(self, phase: Phase = READY) -> None:
        self._phase = phase
        self._smtputf8 = False
        self.forwarded: dict[str, str] = {}
        self._recipients = 0
        self._recipients_tried = False
        self._parts = False
        self._chunk_failed = False

    def _have_sender(self) -> None:
        self._phase = SENDER

    def _have_recipient(self) -> None:
        self._phase = RECIPIENTS
        self._recipients += 1

    def _content_decided(self, refusal: bytes = b"") -> None:
        """One recipient's final reply, or all recipients' in SMTP."""
        if refusal:
            self._replies.append(refusal)
        self._finals_left -= 1
        self._decision = CONTENT if self._finals_left else None
        if not self._finals_left:
            self._clear_transaction()

    def _refuse(self, refusal: bytes) -> None:
        self._replies.append(refusal)

    def _refuse_and_clear(self, refusal: bytes) -> None:
        self._replies.append(refusal)
        self._clear_transaction()

    def _turn_away(self, refusal: bytes) -> None:
        self._replies.append(refusal)
        self._phase = TURNED_AWAY

    def _drop_input(self) -> None:
        self._buffer = b""
        self._position = 0

    def _say(self, text: bytes) -> Event | None:
        self._replies.append(text)
        return None

    def _error(self, refusal: bytes) -> Event | None:
        self._replies.append(refusal)
        self._count_error()
        return None

    def _count_error(self) -> None:
        self.errors += 1
        if self.errors >= self._errors_limit:
            self._read = SmtpServer._give_up


@dataclass(frozen=True, slots=True)
class Decision:
    """An event that waits for the driver: what each answer says and does.

    ``code`` and ``enhanced`` go with a text of the driver's own; ``standard`` is the reply without one. Code 0: no text
    can be said here.
    """

    name: str
    standard: bytes
    accepted: Callable[[SmtpServer], None]
    refused: Callable[[SmtpServer, bytes], None]
    code: int = 0
    enhanced: str = ""


def _nothing(server: SmtpServer) -> None:
    """The answer changes no state."""


GREETING: Final = Decision("The greeting", b"", _nothing, SmtpServer._turn_away)
SENDING: Final = Decision(
    "Mail", reply(250, "2.1.0", "Sender ok"), SmtpServer._have_sender, SmtpServer._refuse_and_clear, 250, "2.1.0"
)
RECIPIENT: Final = Decision(
    "Rcpt", reply(250, "2.1.5", "Recipient ok"), SmtpServer._have_recipient, SmtpServer._refuse, 250, "2.1.5"
)
DATA: Final = Decision(
    "ContentBegin", reply(354, "", "Go ahead; end with CRLF.CRLF"), SmtpServer._begin_lines, SmtpServer._refuse, 354
)
CHUNK: Final = Decision("ContentBegin", b"", SmtpServer._begin_chunk, SmtpServer._refuse_chunk)
CONTENT: Final = Decision(
    "Content",
    reply(250, "2.0.0", "Message accepted"),
    SmtpServer._content_decided,
    SmtpServer._content_decided,
    250,
    "2.0.0",
)
LOGIN: Final = Decision("Auth", reply(235, "2.7.0", "Authentication succeeded"), _nothing, SmtpServer._refuse)


@dataclass(frozen=True, slots=True)
class Command:
    """A row of the table: what runs, and in which phases it may be said."""

    run: Callable[[SmtpServer, str], Event | None]
    needs: tuple[Phase, ...] = ANY


COMMANDS: Mapping[str, Command] = {
    "HELO": Command(SmtpServer._helo),
    "EHLO": Command(SmtpServer._ehlo),
    "MAIL": Command(SmtpServer._mail, needs=(READY,)),
    "RCPT": Command(SmtpServer._rcpt, needs=(SENDER, RECIPIENTS)),
    "DATA": Command(SmtpServer._data, needs=(SENDER, RECIPIENTS)),
    "BDAT": Command(SmtpServer._bdat),  # out of order, its chunk must still be read
    "RSET": Command(SmtpServer._rset),
    "NOOP": Command(SmtpServer._noop),
    "QUIT": Command(SmtpServer._quit, needs=(*ANY, TURNED_AWAY)),
    "VRFY": Command(SmtpServer._vrfy),
    "EXPN": Command(SmtpServer._expn),
    "HELP": Command(SmtpServer._help),
    "STARTTLS": Command(SmtpServer._start_tls, needs=(START, READY)),
    "AUTH": Command(SmtpServer._authenticate, needs=(READY,)),
}


LMTP_COMMANDS: Mapping[str, Command] = {
    "LHLO": COMMANDS["EHLO"],
    **{verb: command for verb, command in COMMANDS.items() if verb not in ("HELO", "EHLO")},
}
"""RFC 2033 4.1: LHLO in their place, with the meaning of EHLO."""


FORWARDING: Mapping[str, Command] = {"XFORWARD": Command(SmtpServer._forward, needs=(READY,))}
"""For clients that are believed."""


def _capitals(word: str) -> str:
    return word.upper() if word.isascii() else word  # "ſ".upper() is "S"


def _reset_by(refusal: bytes) -> Reset:
    return Reset(refusal.decode("ascii").rstrip())
