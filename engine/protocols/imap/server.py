"""One session with one client: octets in, events out; the driver owns the socket, the clock, TLS and the store.

A driver reads it like this::

    imap = ImapServer("imap.example.org")
    imap.greet()
    while True:
        match imap.next_event():
            case NeedData():
                await send(imap.outgoing())
                imap.receive(await read())      # b"" at end of file
            case Request(tag, command):
                imap.send(responses…)
                imap.ok("SELECT completed", b"READ-WRITE")
            case AppendBegin() | ContentBegin():
                imap.go_on()                    # or imap.no("No such mailbox", b"TRYCREATE")
            ...

The session answers by itself what needs no store: CAPABILITY, ENABLE, LOGOUT, STARTTLS, COMPRESS and whatever is
malformed or out of place. An event marked *decide* wants its answer before the next one can be had.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from engine.protocols import sasl
from engine.protocols.imap import codes, responses, session
from engine.protocols.imap.append import AppendBegin, AppendEnd, AppendEvent, ContentBegin, ContentUrl, MessageWhole
from engine.protocols.imap.codes import status_line
from engine.protocols.imap.cursor import LIMITS, Limits, Malformed
from engine.protocols.imap.events import (
    NEED_DATA,
    AppendAborted,
    Auth,
    Closed,
    CompressionBegins,
    ContentPart,
    Disconnected,
    Event,
    IdleBegin,
    IdleEnd,
    Request,
    TlsBegins,
)
from engine.protocols.imap.intake import Appended, Intake, Refused, Repeat, Whole
from engine.protocols.imap.mailboxes import Select
from engine.protocols.imap.reader import RawLine
from engine.protocols.imap.table import BEFORE_LOGIN, OFFERED, Command, State
from engine.protocols.scram import Keys

_IDLE_LINE: Final = 64  # octets that DONE may have, and more

# As tuples: a union would be made anew each time that it is asked for.
_APPENDED: Final = (AppendBegin, ContentBegin, ContentUrl)
_ANSWERED: Final = (Request, AppendEnd)
_DECIDED: Final = (*_ANSWERED, *_APPENDED, Auth)

_LOGGED_IN: Final = (State.AUTHENTICATED, State.SELECTED)

_IMPLIED: Mapping[str, frozenset[str]] = {"QRESYNC": frozenset({"CONDSTORE"})}  # RFC 7162 3.2.3


class ImapServer:
    """One session with one client.

    ``offered`` are the capabilities of the store, see ``table.OFFERED``. ``starttls`` offers STARTTLS as long as TLS
    is not active, ``plaintext`` permits a login without TLS. ``auth`` names SASL mechanisms; ``channel`` is what TLS
    says, if it is active. ``tries`` are failed logins before a BYE, ``mistakes`` malformed commands in a row.
    """

    def __init__(
        self,
        hostname: str,
        *,
        offered: Sequence[str] = OFFERED,
        starttls: bool = False,
        plaintext: bool = False,
        auth: Sequence[str] = (),
        tls_active: bool = False,
        channel: sasl.Channel = sasl.CLEAR,
        limits: Limits = LIMITS,
        tries: int = 3,
        mistakes: int = 20,
    ) -> None:
        self._hostname = hostname
        self._capabilities = tuple(offered)
        self._starttls = starttls
        self._plaintext = plaintext
        self._auth = tuple(auth)
        self._offer = sasl.Offer(auth, channel)
        self._tries = tries
        self._mistakes = self._allowed_mistakes = mistakes  # in a row

        self.state = State.NOT_AUTHENTICATED
        self.tls_active = tls_active
        self.compressed = False
        self.login = ""  # the account that has authenticated
        self.features: frozenset[str] = frozenset()  # of session.ENABLED

        self._offered = frozenset(name.partition("=")[0] for name in offered) | frozenset(offered)
        self._outgoing: list[bytes] = []
        self.unsent = 0  # octets of untagged responses that are outgoing
        self._intake = Intake(self._offered, limits, self._outgoing.append)
        self._end_of_file = False
        self._pending: Event | None = None  # the event that waits for its decision
        self._events: deque[AppendEvent] = deque()
        self._exchange: sasl.Exchange | None = None
        self._idling = False

    # What the driver calls.

    def greet(self, text: str = "IMAP server ready") -> None:
        self.send(codes.untagged_ok(f"{self._hostname} {text}", self.capability_code))

    def receive(self, data: bytes) -> None:
        """Takes octets from the client; ``b""`` is the end of file."""
        if data:
            self._intake.receive(data)
        else:
            self._end_of_file = True

    def next_event(self) -> Event:
        """The next thing that the driver must know. RuntimeError while an event waits for its decision."""
        if self._pending is not None:
            raise RuntimeError(f"{type(self._pending).__name__} waits for its answer")
        while True:
            if self.state is State.LOGOUT:
                return Closed()
            event = self._events.popleft() if self._events else self._next()
            if event is None:
                continue
            if isinstance(event, _DECIDED):
                self._pending = event
            return event

    def whole_ones(self) -> Iterator[MessageWhole]:
        """The messages that have come whole behind the one of the last event, which are its next events."""
        while self._events and isinstance(message := self._events[0], MessageWhole):
            self._events.popleft()
            yield message

    def outgoing(self) -> bytes:
        """All that is to be sent now."""
        octets = b"".join(self._outgoing)
        self._outgoing.clear()
        self.unsent = 0
        return octets

    def send(self, *lines: bytes) -> None:
        """Queues untagged responses, whole lines; of a large literal, pieces in their order."""
        self._outgoing += lines
        self.unsent += sum(map(len, lines))

    def repeat(self, known: Callable[[], Mapping[bytes, Repeat]], room: int) -> None:
        """Answer commands that were answered before and come next, until so many octets are said.

        ``known`` is asked once, if there are any: what it gives is by all octets of a command that follow its tag.
        """
        if self._pending is None and self.state in _LOGGED_IN and self._intake.may_repeat:
            said = self._intake.repeat(known(), room)
            if said:
                self.unsent += said
                self._mistakes = self._allowed_mistakes

    @property
    def rest(self) -> bytes:
        """What follows the tag of the command that waits for its answer, if that is one for ``repeat``; else empty."""
        return self._intake.rest

    def ok(self, text: str, code: bytes = b"") -> None:
        """The command is done."""
        row = self._intake.row
        if not isinstance(self._pending, _ANSWERED) or row is None:
            raise RuntimeError("no command waits for OK")
        self._mistakes = self._allowed_mistakes
        if row.after is not None:
            self._enter(row.after)
        self._finish(b"OK", text, code)

    def no(self, text: str, code: bytes = b"") -> None:
        """The command is refused, in whichever event of it. A login that is refused counts as a failed one."""
        if self._pending is None and not self._intake.is_appending:
            raise RuntimeError("no command waits for NO")
        login = isinstance(self._pending, Auth)
        self._finish(b"NO", text, code)
        if login:
            self._failed_login()

    def bad(self, text: str, code: bytes = b"") -> None:
        """The command makes no sense after all: a message number that is too high, for example."""
        if not isinstance(self._pending, Request):
            raise RuntimeError("no command waits for BAD")
        self._finish(b"BAD", text, code)

    def go_on(self) -> None:
        """Says yes to an event of APPEND or REPLACE."""
        if not isinstance(self._pending, _APPENDED):
            raise RuntimeError("nothing waits for go_on()")
        if isinstance(self._pending, ContentBegin):
            self._intake.content()
        self._pending = None

    def take_keys(self, keys: Keys) -> None:
        """Answers ``Auth`` that asks ``KeysWanted``."""
        if not isinstance(self._exchange, sasl.Scram) or not isinstance(self._pending, Auth):
            raise RuntimeError("no login waits for keys")
        self._pending = None
        self._challenge(self._exchange.take(keys))

    def authenticated(self, login: str) -> None:
        """Says yes to ``Auth``; ``login`` names the account."""
        if not isinstance(self._pending, Auth) or isinstance(self._pending.question, sasl.KeysWanted):
            raise RuntimeError("no login waits for a decision")
        self.login = login
        self._enter(State.AUTHENTICATED)
        self._finish(b"OK", "Logged in", self.capability_code)

    def tls_started(self, channel: sasl.Channel = sasl.CLEAR) -> None:
        """The handshake is done: what was received before is void (RFC 9051 6.2.1)."""
        self.tls_active = True
        self._offer = sasl.Offer(self._auth, channel)
        self._intake.clear()

    def bye(self, text: str, code: bytes = b"") -> None:
        """Ends the session at whatever moment: a time-out, a shutdown (RFC 9051 7.1.5)."""
        self._pending = None
        self._events.clear()
        self._intake.flush()
        self.send(status_line(b"*", b"BYE", text, code))
        self.state = State.LOGOUT

    @property
    def utf8(self) -> bool:
        """Whether names and quoted strings are in UTF-8."""
        return bool(self.features & {"IMAP4rev2", "UTF8=ACCEPT"})

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What is offered in this state (RFC 9051 6.1.1)."""
        if self.state is not State.NOT_AUTHENTICATED:
            return tuple(name for name in self._capabilities if not (name == "COMPRESS=DEFLATE" and self.compressed))
        names = [name for name in self._capabilities if name in BEFORE_LOGIN]
        names += ["STARTTLS"] if self._may_start_tls else []
        names += [f"AUTH={name}" for name in self._offer.names] if self._may_login else ["LOGINDISABLED"]
        return tuple(names)

    @property
    def capability_code(self) -> bytes:
        return codes.capability(self.capabilities)

    # Reading and answering.

    def _next(self) -> Event | None:
        match self._intake.next(self.state, self.features):
            case None:
                return Disconnected() if self._end_of_file else NEED_DATA
            case Whole(command, condstore):
                self.features |= {"CONDSTORE"} if condstore else set()
                own = _OWN.get(type(command))
                return own(self, command) if own is not None else Request(self._intake.tag, command)
            case Appended(events):
                self._events += events
                return None
            case Refused(error, appending):
                self._refuse(error)
                return AppendAborted() if appending else None
            case RawLine(octets):
                return self._end_idle(octets) if self._idling else self._respond(octets)
            case ContentPart() as part:
                return part

    def _refuse(self, error: Malformed) -> None:
        """Answers a command that is malformed, now or when the rest of it has been read past."""
        self._finish(error.status, error.text, error.code)
        if error.code == b"AUTHENTICATIONFAILED":
            self._failed_login()
        elif error.status == b"BAD":
            self._count_mistake()

    def _finish(self, status: bytes, text: str, code: bytes = b"") -> None:
        """The last word on a command."""
        self._pending = self._exchange = None
        self._events.clear()
        self._intake.finish(status_line(self._intake.tag, status, text, code))

    def _enter(self, state: State) -> None:
        self.state = state
        if state is State.NOT_AUTHENTICATED:  # RFC 8437 3
            self.login = ""
            self.features = frozenset()

    def _count_mistake(self) -> None:
        self._mistakes -= 1
        if self._mistakes <= 0:
            self.bye("Too many mistakes")

    def _failed_login(self) -> None:
        self._tries -= 1
        if self._tries <= 0:
            self.bye("Too many failed logins")

    # Commands that the session answers itself.

    def _capability(self, _: Command) -> None:
        self.send(responses.words(b"CAPABILITY", self.capabilities))
        self._finish(b"OK", "That is all")

    def _logout(self, _: Command) -> None:
        self.send(status_line(b"*", b"BYE", "Good bye"))
        self._finish(b"OK", "Logged out")
        self.state = State.LOGOUT

    def _enable(self, command: Command) -> None:
        assert isinstance(command, session.Enable)
        wanted = {name for name in command.names if name in self._offered}
        implied = frozenset[str]().union(*(_IMPLIED.get(name, frozenset()) for name in wanted))
        new = (wanted | implied) - self.features
        self.features |= new
        self.send(responses.words(b"ENABLED", sorted(new & wanted)))
        self._finish(b"OK", "Enabled")

    def _idle(self, _: Command) -> Event:
        self.send(b"+ Idling\r\n")
        self._idling = True
        self._intake.expect_line(_IDLE_LINE)
        return IdleBegin()

    def _end_idle(self, line: bytes | None) -> Event:
        self._idling = False
        if line is not None and line.upper() == b"DONE":
            self._finish(b"OK", "Idled")
        else:
            self._refuse(Malformed("IDLE ends with DONE"))
        return IdleEnd()

    def _select(self, command: Command) -> Event:
        if self.state is State.SELECTED:  # no longer, even if this one fails (RFC 9051 6.3.2); RFC 7162 3.2.11
            self.send(codes.untagged_ok("The mailbox before is closed", b"CLOSED"))
            self.state = State.AUTHENTICATED
        return Request(self._intake.tag, command)

    def _start_tls(self, _: Command) -> Event | None:
        if not self._may_start_tls:
            self._refuse(Malformed("TLS runs already" if self.tls_active else "TLS is not offered here"))
            return None
        # What came along with STARTTLS was never protected: obeying it would let a stranger put commands in.
        self._intake.clear()
        self._finish(b"OK", "Begin the handshake")
        return TlsBegins()

    def _compress(self, _: Command) -> Event | None:
        if self.compressed:
            self._refuse(Malformed("Compressed already", code=b"COMPRESSIONACTIVE", status=b"NO"))
            return None
        self._intake.clear()
        self._finish(b"OK", "Deflating")
        self.compressed = True
        return CompressionBegins()

    # Logins.

    @property
    def _may_login(self) -> bool:
        return self.tls_active or self._plaintext

    @property
    def _may_start_tls(self) -> bool:
        return self._starttls and not self.tls_active

    def _login(self, command: Command) -> Event | None:
        assert isinstance(command, session.Login)
        if not self._may_login:
            self._refuse(_NEEDS_TLS)
            return None
        return Auth(sasl.Credentials("LOGIN", command.login, command.password))

    def _authenticate(self, command: Command) -> Event | None:
        assert isinstance(command, session.Authenticate)
        if not self._may_login:
            self._refuse(_NEEDS_TLS)
            return None
        if command.mechanism not in self._offer.names:
            self._refuse(Malformed("This mechanism is not offered", code=b"CANNOT", status=b"NO"))
            return None
        self._exchange = self._offer.begin(command.mechanism)
        if command.initial is None:
            return self._follow(self._exchange.step(None))
        return self._step(sasl.decode_initial(command.initial))

    def _respond(self, line: bytes | None) -> Event | None:
        """A line of a SASL exchange (RFC 9051 6.2.2)."""
        if line == b"*":
            self._refuse(Malformed("Cancelled"))
            return None
        return self._step(sasl.decode(line) if line is not None else None)

    def _step(self, response: bytes | None) -> Event | None:
        assert self._exchange is not None
        if response is None:
            self._refuse(Malformed("This is no base64"))
            return None
        return self._follow(self._exchange.step(response))

    def _follow(self, step: sasl.Step) -> Event | None:
        if isinstance(step, sasl.Challenge):
            self._challenge(step)
            return None
        if isinstance(step, sasl.Failure):
            self._refuse(Malformed(step.text, code=b"AUTHENTICATIONFAILED", status=b"NO"))
            return None
        return Auth(step)

    def _challenge(self, challenge: sasl.Challenge) -> None:
        self.send(b"+ %b\r\n" % sasl.encode(challenge))
        self._intake.expect_line(sasl.RESPONSE_LIMIT)


_NEEDS_TLS: Final = Malformed("No login without TLS", code=b"PRIVACYREQUIRED", status=b"NO")

_OWN: Mapping[type, Callable[[ImapServer, Command], Event | None]] = {
    session.Capability: ImapServer._capability,
    session.Logout: ImapServer._logout,
    session.Enable: ImapServer._enable,
    session.Idle: ImapServer._idle,
    session.StartTls: ImapServer._start_tls,
    session.Compress: ImapServer._compress,
    session.Login: ImapServer._login,
    session.Authenticate: ImapServer._authenticate,
    Select: ImapServer._select,
}
