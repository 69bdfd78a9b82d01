"""The server's side of POP3 (RFC 1939, 2449, 2595, 3206, 5034, 6856): octets in, events out."""

import enum
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from engine.protocols import sasl
from engine.protocols.asking import Asking, Closed, Login, StartTls

LINE_LIMIT = 512
"""Octets of a command line, its end not counted. RFC 2449 section 4 asks for 255; pass phrases may need more."""

HIGH_WATER = 64 * 1024
"""Octets of replies that gather before they must be sent: small answers to pipelined commands share one send."""


SMALL = 64 * 1024
"""Octets of a message up to which it is one of several that are asked for together."""

TOGETHER = 512 * 1024
"""Octets of several messages that are given together, as long as they are no more than that."""

NEVER = "NEVER"
"""EXPIRE where nothing but DELE removes mail (RFC 2449 6.7)."""

LANGUAGES = {"en": "English"}
"""Those of our texts, by their tags (RFC 5646)."""


class State(enum.Enum):
    AUTHORIZATION = "AUTHORIZATION"
    TRANSACTION = "TRANSACTION"
    UPDATE = "UPDATE"
    CLOSED = "CLOSED"


class Signal(enum.Enum):
    """What the driver must do before there can be a next event."""

    NEED_DATA = "send what is outgoing, then receive more"
    SEND_FIRST = "send what is outgoing"


class Item(Protocol):
    """A message as a listing shows it."""

    @property
    def size(self) -> int: ...  # octets

    @property
    def uidl(self) -> str: ...  # 1 to 70 printable characters, unique and lasting (RFC 1939 section 7)


@dataclass(frozen=True, slots=True)
class Retrieve:
    """Answer with ``body_begins``, ``body``…, ``body_ends``, or with ``not_retrieved``."""

    number: int  # of the message, from 1
    lines: int | None  # TOP: the header section and so many lines; None: everything


@dataclass(frozen=True, slots=True)
class RetrieveSome:
    """Small messages were asked for together, each whole: answer with ``some``, or with ``none_retrieved``."""

    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Remove:
    """QUIT came: remove these messages, and answer with ``removed`` or ``not_removed``."""

    numbers: tuple[int, ...]


Event: TypeAlias = Login | StartTls | Retrieve | RetrieveSome | Remove | Closed


class Refusal(enum.Enum):
    """Why a login failed, as the client is told it (RFC 2449 section 8, RFC 3206)."""

    CREDENTIALS = "[AUTH] wrong user name or password"
    IN_USE = "[IN-USE] another session holds this mailbox"
    TOO_SOON = "[LOGIN-DELAY] the last login was a moment ago; wait until the next one"
    TEMPORARY = "[SYS/TEMP] the mailbox cannot be opened now"


class Session(Asking):
    """One POP3 session, as its server sees it.

    Feed ``receive``, ask ``next_event`` again and again, and send what ``outgoing`` hands over. An event that asks
    something is answered by the method that it names before the next one can be had; RuntimeError otherwise.

    ``plaintext`` permits a login without TLS; ``tls`` is whether TLS runs already, ``stls`` whether it can be started.
    ``auth`` names SASL mechanisms, ``channel`` is what TLS says, if it runs. ``login_delay`` is how many seconds an
    account must wait between two logins; the driver sees to it. ``expire`` is what EXPIRE says (RFC 2449 6.7): after
    how many days mail may go, "NEVER", or "30 USER" where that is the least, and each account hears its own later.
    """

    auth_failed = "[AUTH] "  # RFC 3206 4

    def __init__(
        self,
        hostname: str,
        *,
        tls: bool = False,
        stls: bool = False,
        plaintext: bool = False,
        tries: int = 3,
        mistakes: int = 20,
        auth: Sequence[str] = (),
        channel: sasl.Channel = sasl.CLEAR,
        login_delay: int = 0,
        expire: str = NEVER,
    ) -> None:
        super().__init__()
        self.state = State.AUTHORIZATION
        self._tls = tls
        self._stls = stls
        self._plaintext = plaintext
        self._tries = tries  # failed logins that are left
        self._mistakes = self._allowed_mistakes = mistakes  # commands that make no sense, in a row, that are left
        self._login_delay = login_delay
        self._expire = expire
        self.utf8 = False  # the client takes internationalized header fields; others must get a surrogate
        self._user: str | None = None
        self._auth = auth
        self._offer = sasl.Offer(auth, channel)
        self._items: Sequence[Item] = ()
        self._deleted: set[int] = set()
        self._lines: Iterator[str] = iter(())  # of a listing that is being sent
        self._received = bytearray()
        self._line_start = True  # of the body that is being sent
        self._tail = b"\r\n"
        self._ok(f"{hostname} POP3 server ready")

    def receive(self, data: bytes) -> None:
        """Octets from the client."""
        self._received += data

    @property
    def full(self) -> bool:
        """Whether enough has gathered that it should be sent before more is added."""
        return len(self._outgoing) >= HIGH_WATER

    def next_event(self) -> Event | Signal:
        """Obey commands up to the first that asks something of the driver."""
        if self._question is not None:
            raise RuntimeError(f"{self._question} has not been answered")
        while self.state is not State.CLOSED:
            if not self._listed():
                return Signal.SEND_FIRST
            event: Event | None = self._several()
            if event is None:
                line = self._next_line()
                if line is None:
                    return Signal.NEED_DATA
                event = self._respond(line) if self._responding else self._obey(line)
            if event is not None:
                self._question = event
                return event
        return Closed()

    def logged_in(self, items: Sequence[Item], *, expire: str = NEVER) -> None:
        """The password is right; ``items`` are the messages, which keep their numbers for the whole session.

        ``expire`` is that of the account.
        """
        self._proven()
        self._expire = expire
        self.state = State.TRANSACTION
        self._items = items
        self._ok(f"mailbox has {self._sums()}")

    def refused(self, refusal: Refusal) -> None:
        self._answer(Login)
        self._error(refusal.value)
        self._tries -= refusal is Refusal.CREDENTIALS
        if self._tries <= 0:
            self.state = State.CLOSED

    def tls_started(self, channel: sasl.Channel = sasl.CLEAR) -> None:
        """TLS runs now: whatever was learnt before is void (RFC 2595 section 4). ``channel`` is what it says."""
        self._answer(StartTls)
        self._tls = True
        self._offer = sasl.Offer(self._auth, channel)
        self._user = None
        self._received.clear()

    def body_begins(self) -> None:
        retrieve = self._answer(Retrieve)
        assert isinstance(retrieve, Retrieve)
        self._question = retrieve  # until the body ends
        self._ok(f"{self._items[retrieve.number - 1].size} octets" if retrieve.lines is None else "top of message")
        self._line_start, self._tail = True, b"\r\n"

    def body(self, piece: bytes) -> None:
        """More of the message. A line that begins with a dot gets another (RFC 1939 section 3)."""
        # A bare LF counts as well: a client that ends lines at LF would take a dot after it for the end.
        stuffed = piece.replace(b"\n.", b"\n..")
        if self._line_start and piece.startswith(b"."):
            self._outgoing += b"."
        self._outgoing += stuffed
        if piece:
            self._line_start = piece.endswith(b"\n")
            self._tail = (self._tail + piece[-2:])[-2:]

    def body_ends(self) -> None:
        self._answer(Retrieve)
        self._outgoing += b".\r\n" if self._tail == b"\r\n" else b"\r\n.\r\n"

    def some(self, messages: Iterable[bytes | None]) -> bytes:
        """Answers ``RetrieveSome`` with the octets of each; None: it is gone.

        All that is to be sent now, if enough has gathered: it is not copied once more.
        """
        said = [self.outgoing()]
        for number, octets in zip(self._answer(RetrieveSome).numbers, messages, strict=True):
            if octets is None:
                said.append(b"-ERR the message is gone\r\n")
                continue
            stuffed = octets.replace(b"\n.", b"\n..")  # as in ``body``
            said += (
                b"+OK %d octets\r\n%b" % (self._items[number - 1].size, b"." * octets.startswith(b".")),
                stuffed,
                b".\r\n" if not octets or octets.endswith(b"\r\n") else b"\r\n.\r\n",
            )
        text = b"".join(said)
        if len(text) >= HIGH_WATER:
            return text
        self._outgoing += text
        return b""

    def none_retrieved(self) -> None:
        """None of them can be read now."""
        for _ in self._answer(RetrieveSome).numbers:
            self._error("[SYS/TEMP] the message cannot be read now")

    def not_retrieved(self, *, gone: bool = False) -> None:
        """``gone``: somebody else has removed it meanwhile, so that trying again is of no use."""
        self._answer(Retrieve)
        self._error("the message is gone" if gone else "[SYS/TEMP] the message cannot be read now")

    def removed(self) -> None:
        self._answer(Remove)
        self._bye()

    def not_removed(self) -> None:
        self._answer(Remove)
        self.state = State.CLOSED
        self._error("[SYS/TEMP] some deleted messages not removed")

    def _several(self) -> RetrieveSome | None:
        """What a client that does not wait asks for: RETR after RETR, of messages that are small."""
        if self.state is not State.TRANSACTION or (found := _RETRS.match(self._received)) is None:
            return None
        numbers: list[int] = []
        octets = end = 0
        for line in bytes(self._received[: found.end()]).splitlines(keepends=True):
            number = int(line[5:])
            if not 0 < number <= len(self._items) or number in self._deleted:
                break
            octets += self._items[number - 1].size
            if octets > (TOGETHER if self._items[number - 1].size <= SMALL else 0):
                break
            numbers.append(number)
            end += len(line)
        if len(numbers) < 2:
            return None
        self._mistakes = self._allowed_mistakes
        del self._received[:end]
        return RetrieveSome(tuple(numbers))

    def _next_line(self) -> bytes | None:
        end = self._received.find(b"\n")
        if end < 0:
            # Of a line too long, enough is kept to know that it was; one octet more may be the CR of its end.
            del self._received[self._line_limit + 2 :]
            return None
        line = bytes(self._received[:end]).removesuffix(b"\r")
        del self._received[: end + 1]
        return line

    @property
    def _line_limit(self) -> int:
        return sasl.RESPONSE_LIMIT if self._responding else LINE_LIMIT

    def _obey(self, line: bytes) -> Event | None:
        if len(line) > LINE_LIMIT:
            self._mistake("line too long")
            return None
        try:
            keyword, _, rest = line.decode().partition(" ")
        except UnicodeDecodeError:  # RFC 6856 2.2
            self._mistake("a command is ASCII or UTF-8")
            return None
        command = COMMANDS.get(keyword.upper())
        if command is None:
            self._mistake("unknown command")
            return None
        if self.state not in command.needs:
            self._mistake(f"not in {self.state.value} state")
            return None
        arguments = command.arguments.fullmatch(rest)
        if arguments is None:
            self._mistake(f"write it like this: {command.usage}")
            return None
        return command.run(self, *(group for group in arguments.groups() if group is not None))

    def _respond(self, line: bytes) -> Event | None:
        """A line of a SASL exchange (RFC 5034 4)."""
        self._responding = False
        if line == b"*":
            self._fail("cancelled")
            return None
        return self._step(sasl.decode(line) if len(line) <= sasl.RESPONSE_LIMIT else None)

    def _written(self, challenge: sasl.Challenge) -> bytes:
        return b"+ " + sasl.encode(challenge) + b"\r\n"

    def _listed(self) -> bool:
        """Put lines of the listing out until it ends or enough has gathered; whether it has ended."""
        while not self.full:
            line = next(self._lines, None)
            if line is None:
                return True
            self._outgoing += line.encode() + b"\r\n"
        return False

    def _ok(self, text: str, lines: Iterable[str] | None = None) -> None:
        self._mistakes = self._allowed_mistakes
        self._outgoing += f"+OK {text}\r\n".encode()
        if lines is not None:
            self._lines = _with_dot(lines)

    def _error(self, text: str) -> None:
        self._outgoing += f"-ERR {text}\r\n".encode()

    def _mistake(self, text: str) -> None:
        self._mistakes -= 1
        if self._mistakes <= 0:
            self.state = State.CLOSED
            text += "; too many mistakes, good bye"
        self._error(text)

    def _bye(self) -> None:
        self.state = State.CLOSED
        self._ok("good bye")

    def _may_login(self) -> bool:
        return self._tls or self._plaintext

    def _present(self) -> Iterator[tuple[int, Item]]:
        return ((n, item) for n, item in enumerate(self._items, 1) if n not in self._deleted)

    def _sums(self) -> str:
        sizes = [item.size for _, item in self._present()]
        return f"{len(sizes)} messages ({sum(sizes)} octets)"

    def _item(self, number: str) -> Item | None:
        """The message of that number; an error is said when there is none."""
        if 0 < int(number) <= len(self._items) and int(number) not in self._deleted:
            return self._items[int(number) - 1]
        self._error("no such message")
        return None

    # One function a command. Each answers, or returns an event for the driver to answer.

    def capa(self) -> None:
        names = ["TOP", "UIDL", "PIPELINING", "RESP-CODES", "AUTH-RESP-CODE", f"EXPIRE {self._expire}", "LANG"]
        names += [f"LOGIN-DELAY {self._login_delay}"] if self._login_delay else []
        # RFC 6856 section 2.2: USER here is that names and passwords may be UTF-8.
        names += ["UTF8 USER"] if self._may_login() else ["UTF8"]
        # RFC 2449 section 6.3: USER is listed where it would be obeyed. RFC 2595 section 4: STLS before login only.
        names += ["USER"] if self._may_login() else []
        names += [f"SASL {' '.join(self._offer.names)}"] if self._may_login() and self._offer.names else []
        names += ["STLS"] if self._stls and not self._tls and self.state is State.AUTHORIZATION else []
        self._ok("capabilities", [*names, "IMPLEMENTATION Postroad"])

    def lang(self, wanted: str = "") -> None:
        """RFC 6856 section 3: without a language they are listed, "*" leaves the choice to us."""
        if not wanted:
            self._ok("languages", (f"{tag} {name}" for tag, name in LANGUAGES.items()))
        elif wanted in ("*", "i-default") or wanted.partition("-")[0].lower() in LANGUAGES:
            self._ok("en English it is")
        else:
            self._error("no such language; LANG lists those there are")

    def use_utf8(self) -> None:
        self.utf8 = True
        self._ok("header fields may be UTF-8")

    def user(self, name: str) -> None:
        if not self._may_login():
            self._mistake("[AUTH] no password without TLS; begin with STLS")
        else:
            self._user = name
            self._ok("now the password")

    def password(self, password: str) -> Event | None:
        if self._user is None:
            self._mistake("USER comes first")
            return None
        user, self._user = self._user, None
        return Login(sasl.Credentials("USER", user, password))

    def authenticate(self, mechanism: str, initial: str = "") -> Event | None:
        if not self._may_login():
            self._mistake("[AUTH] no login without TLS; begin with STLS")
            return None
        if mechanism.upper() not in self._offer.names:
            self._mistake("this mechanism is not offered")
            return None
        self._exchange = self._offer.begin(mechanism.upper())
        if not initial:
            return self._follow(self._exchange.step(None))
        return self._step(sasl.decode_initial(initial.encode()))

    def stls(self) -> Event | None:
        if self._tls or not self._stls:
            self._mistake("TLS runs already" if self._tls else "TLS is not offered here")
            return None
        if self.utf8:
            self._mistake("STLS comes before UTF8")  # RFC 6856 section 2.1
            return None
        # What was sent along with STLS was never protected: obeying it under TLS would let a stranger put commands in.
        self._received.clear()
        self._ok("begin the handshake")
        return StartTls()

    def stat(self) -> None:
        sizes = [item.size for _, item in self._present()]
        self._ok(f"{len(sizes)} {sum(sizes)}")

    def list(self, number: str = "") -> None:
        self._listing(number, lambda item: str(item.size))

    def uidl(self, number: str = "") -> None:
        self._listing(number, lambda item: item.uidl)

    def _listing(self, number: str, shown: Callable[[Item], str]) -> None:
        if not number:
            self._ok(self._sums(), (f"{n} {shown(item)}" for n, item in self._present()))
        elif item := self._item(number):
            self._ok(f"{int(number)} {shown(item)}")

    def retr(self, number: str) -> Event | None:
        return Retrieve(int(number), None) if self._item(number) else None

    def top(self, number: str, lines: str) -> Event | None:
        return Retrieve(int(number), int(lines)) if self._item(number) else None

    def dele(self, number: str) -> None:
        if self._item(number):
            self._deleted.add(int(number))
            self._ok(f"message {int(number)} deleted")

    def rset(self) -> None:
        self._deleted.clear()
        self._ok(f"mailbox has {self._sums()}")

    def noop(self) -> None:
        self._ok("done")

    def quit(self) -> Event | None:
        if not self._deleted:
            self._bye()
            return None
        self.state = State.UPDATE
        return Remove(tuple(sorted(self._deleted)))


_RETRS = re.compile(rb"(?:RETR [0-9]{1,10}\r?\n){2,100}", re.IGNORECASE)


def _with_dot(lines: Iterable[str]) -> Iterator[str]:
    yield from lines
    yield "."


@dataclass(frozen=True, slots=True)
class Command:
    """One row of the table: what runs, in which states, with which arguments."""

    run: Callable[..., Event | None]
    needs: frozenset[State]
    usage: str
    arguments: re.Pattern[str] = re.compile(r" *")


AUTHORIZATION = frozenset({State.AUTHORIZATION})
TRANSACTION = frozenset({State.TRANSACTION})
BOTH = AUTHORIZATION | TRANSACTION

TEXT = re.compile(r"(.+)")
LANGUAGE = re.compile(r" *(?:(\S{1,100}) *)?")
MECHANISM = re.compile(r"([A-Za-z0-9_-]{1,20})(?: ([A-Za-z0-9+/=]+))? *")
NUMBER = re.compile(r" *([0-9]{1,10}) *")
MAYBE_NUMBER = re.compile(r" *(?:([0-9]{1,10}) *)?")
TWO_NUMBERS = re.compile(r" *([0-9]{1,10}) +([0-9]{1,10}) *")

COMMANDS = {
    "CAPA": Command(Session.capa, needs=BOTH, usage="CAPA"),
    "LANG": Command(Session.lang, needs=BOTH, usage="LANG [language]", arguments=LANGUAGE),
    "UTF8": Command(Session.use_utf8, needs=AUTHORIZATION, usage="UTF8"),
    "USER": Command(Session.user, needs=AUTHORIZATION, usage="USER name", arguments=TEXT),
    "PASS": Command(Session.password, needs=AUTHORIZATION, usage="PASS password", arguments=TEXT),
    "AUTH": Command(
        Session.authenticate, needs=AUTHORIZATION, usage="AUTH mechanism [initial response]", arguments=MECHANISM
    ),
    "STLS": Command(Session.stls, needs=AUTHORIZATION, usage="STLS"),
    "STAT": Command(Session.stat, needs=TRANSACTION, usage="STAT"),
    "LIST": Command(Session.list, needs=TRANSACTION, usage="LIST [number]", arguments=MAYBE_NUMBER),
    "UIDL": Command(Session.uidl, needs=TRANSACTION, usage="UIDL [number]", arguments=MAYBE_NUMBER),
    "RETR": Command(Session.retr, needs=TRANSACTION, usage="RETR number", arguments=NUMBER),
    "TOP": Command(Session.top, needs=TRANSACTION, usage="TOP number lines", arguments=TWO_NUMBERS),
    "DELE": Command(Session.dele, needs=TRANSACTION, usage="DELE number", arguments=NUMBER),
    "NOOP": Command(Session.noop, needs=TRANSACTION, usage="NOOP"),
    "RSET": Command(Session.rset, needs=TRANSACTION, usage="RSET"),
    "QUIT": Command(Session.quit, needs=BOTH, usage="QUIT"),
}
