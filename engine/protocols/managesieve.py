"""The server's side of ManageSieve (RFC 5804): octets in, events out."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from engine.protocols import sasl
from engine.protocols.asking import Asking, Closed, Login, StartTls
from engine.protocols.managesieve_events import (
    CheckScript,
    Code,
    DeleteScript,
    Event,
    GetScript,
    HaveSpace,
    ListScripts,
    PutScript,
    RenameScript,
    SetActive,
    Signal,
    State,
    Unauthenticate,
)
from engine.protocols.managesieve_words import Reader, TooLong, Word

NAME_LIMIT = 512
"""Octets of the name of a script: 128 characters (RFC 5804 1.6)."""

_VERSION = "1.0"

# What can stand in quotes.
_QUOTABLE = re.compile(rb"[^\x00\r\n]{0,1024}")
_UNSAFE_NAME = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029/]")


class Session(Asking):
    """One ManageSieve session, as its server sees it.

    Feed ``receive``, ask ``next_event`` again and again, and send what ``outgoing`` hands over. An event that asks
    something is answered by the method that it names before the next one can be had; RuntimeError otherwise.

    ``extensions`` are what `require` may name, ``notify`` the methods of notification; ``script_limit`` is in octets.
    ``plaintext`` permits a login without TLS; ``tls`` is whether TLS runs already, ``starttls`` whether it can be
    started; ``auth`` names SASL mechanisms, ``channel`` is what TLS says, if it runs.
    """

    def __init__(
        self,
        implementation: str,
        *,
        extensions: Sequence[str],
        notify: Sequence[str] = (),
        redirects: int = 4,
        script_limit: int = 256 * 1024,
        tls: bool = False,
        starttls: bool = False,
        plaintext: bool = False,
        tries: int = 3,
        mistakes: int = 20,
        auth: Sequence[str] = (),
        channel: sasl.Channel = sasl.CLEAR,
    ) -> None:
        super().__init__()
        self.state = State.NON_AUTHENTICATED
        self._implementation = implementation
        self._extensions = extensions
        self._notify = notify
        self._redirects = redirects
        self._script_limit = script_limit
        self._tls = tls
        self._starttls = starttls
        self._plaintext = plaintext
        self._tries = tries  # failed logins that are left
        self._mistakes = self._allowed_mistakes = mistakes  # commands that make no sense, in a row, that are left
        self._auth = auth
        self._offer = sasl.Offer(auth, channel)
        self._owner = ""
        self._reader = Reader()
        self._capabilities()
        self._ok(f"{implementation} ready")

    def receive(self, data: bytes) -> None:
        """Octets from the client."""
        self._reader.receive(data)

    def next_event(self) -> Event | Signal:
        """Obey commands up to the first that asks something of the driver."""
        if self._question is not None:
            raise RuntimeError(f"{self._question} has not been answered")
        while self.state is not State.CLOSED:
            words = self._next_command()
            if words is None:
                return Signal.NEED_DATA
            event = self._respond(words) if self._responding else self._obey(words)
            if event is not None:
                self._question = event
                return event
        return Closed()

    # Answers

    def logged_in(self, owner: str) -> None:
        """``owner`` is who has logged in, told as the capability OWNER (RFC 5804 1.7)."""
        self._proven()
        self.state = State.AUTHENTICATED
        self._owner = owner
        self._exchange = None
        self._ok("welcome")

    def refused(self, text: str = "wrong user name or password", *, temporary: bool = False) -> None:
        """``temporary``: not for what the client said."""
        self._answer(Login)
        self._exchange = None
        self._tries -= not temporary
        if self._tries <= 0:
            self.bye(text)
        else:
            self._no(text, Code.TRYLATER if temporary else None)

    def tls_started(self, channel: sasl.Channel = sasl.CLEAR) -> None:
        """TLS runs now: whatever was learnt before is void, and the capabilities are told again (RFC 5804 2.2)."""
        self._answer(StartTls)
        self._tls = True
        self._offer = sasl.Offer(self._auth, channel)
        self._reader.clear()
        self._capabilities()
        self._ok("TLS runs")

    def done(self, text: str = "done", *, warnings: bool = False) -> None:
        """``warnings``: the text is about a script that was taken, and to be shown (RFC 5804 2.6)."""
        event = self._answer(HaveSpace, PutScript, CheckScript, SetActive, DeleteScript, RenameScript, Unauthenticate)
        if isinstance(event, Unauthenticate):
            self.state, self._owner = State.NON_AUTHENTICATED, ""
        self._line(b"OK", b"WARNINGS" if warnings else None, text)

    def failed(self, text: str, code: Code | None = None) -> None:
        self._answer(HaveSpace, PutScript, CheckScript, ListScripts, SetActive, GetScript, DeleteScript, RenameScript)
        self._no(text, code)

    def listed(self, names: Sequence[str], active: str = "") -> None:
        self._answer(ListScripts)
        for name in names:
            self._outgoing += _string(name.encode()) + (b" ACTIVE\r\n" if name == active else b"\r\n")
        self._ok("all scripts")

    def script(self, content: bytes) -> None:
        self._answer(GetScript)
        self._outgoing += b"{%d}\r\n%s\r\n" % (len(content), content)
        self._ok("the script")

    def _next_command(self) -> list[Word] | None:
        authenticated = self.state is State.AUTHENTICATED
        return self._reader.next_command(self._script_limit if authenticated else sasl.RESPONSE_LIMIT)

    # Words into commands

    def _obey(self, words: list[Word]) -> Event | None:
        keyword, *arguments = words or [b""]
        command = COMMANDS.get(keyword.upper().decode("ascii", "replace")) if isinstance(keyword, bytes) else None
        if command is None:
            self._mistake("unknown command" if isinstance(keyword, bytes) else "this is no command")
            return None
        if self.state not in command.needs:
            self._mistake(f"not {self.state.value}")
            return None
        if any(isinstance(argument, TooLong) for argument in arguments):
            self._no(f"a script has at most {self._script_limit} octets", Code.MAXSIZE)
            return None
        kinds = "".join("n" if isinstance(argument, int) else "s" for argument in arguments)
        if kinds not in command.takes:
            self._mistake(f"write it like this: {command.usage}")
            return None
        return command.run(self, *arguments)

    def _respond(self, words: list[Word]) -> Event | None:
        """A string of a SASL exchange (RFC 5804 2.1)."""
        self._responding = False
        match words:
            case [b"*"]:
                self._fail("cancelled")
                return None
            case [bytes() as response] if len(response) <= sasl.RESPONSE_LIMIT:
                return self._step(sasl.decode(response))
        self._mistake("a response is one string")
        return None

    def _written(self, challenge: sasl.Challenge) -> bytes:
        return b'"' + sasl.encode(challenge) + b'"\r\n'

    # Replies

    def _line(self, kind: bytes, code: bytes | None, text: str) -> None:
        self._mistakes = self._allowed_mistakes if kind == b"OK" else self._mistakes
        self._outgoing += kind + (b" (%s)" % code if code else b"") + b" " + _string(text.encode()) + b"\r\n"

    def _ok(self, text: str) -> None:
        self._line(b"OK", None, text)

    def _no(self, text: str, code: Code | None = None) -> None:
        self._line(b"NO", code.value.encode() if code else None, text)

    def bye(self, text: str) -> None:
        self.state = State.CLOSED
        self._line(b"BYE", None, text)

    def _mistake(self, text: str, code: Code | None = None) -> None:
        self._mistakes -= 1
        if self._mistakes <= 0:
            self.bye(f"{text}; too many mistakes, good bye")
        else:
            self._no(text, code)

    def _may_login(self) -> bool:
        return self._tls or self._plaintext

    def _capabilities(self) -> None:
        for name, value in self._offered():
            self._outgoing += _string(name.encode()) + (b"" if value is None else b" " + _string(value.encode()))
            self._outgoing += b"\r\n"

    def _offered(self) -> Iterator[tuple[str, str | None]]:
        """RFC 5804 1.7."""
        yield "IMPLEMENTATION", self._implementation
        yield "SIEVE", " ".join(self._extensions)
        if self._notify:
            yield "NOTIFY", " ".join(self._notify)
        if self.state is State.NON_AUTHENTICATED:
            yield "SASL", " ".join(self._offer.names) if self._may_login() else ""
            if self._starttls and not self._tls:
                yield "STARTTLS", None
        yield "MAXREDIRECTS", str(self._redirects)
        if self._owner:
            yield "OWNER", self._owner
        yield "UNAUTHENTICATE", None
        yield "VERSION", _VERSION

    def _name(self, octets: bytes) -> str | None:
        """The name of a script; an error is said where it is none."""
        try:
            name = octets.decode()
        except UnicodeDecodeError:
            name = ""
        if not name or len(octets) > NAME_LIMIT or len(name) > 128 or _UNSAFE_NAME.search(name):
            self._no("this is no name for a script")
            return None
        return name

    # One function a command. Each answers, or returns an event for the driver to answer.

    def authenticate(self, mechanism: bytes, initial: bytes | None = None) -> Event | None:
        if not self._may_login():
            self._mistake("no login without TLS; begin with STARTTLS", Code.ENCRYPT_NEEDED)
            return None
        name = mechanism.decode("ascii", "replace").upper()
        if name not in self._offer.names:
            self._mistake("this mechanism is not offered")
            return None
        self._exchange = self._offer.begin(name)
        return self._follow(self._exchange.step(None)) if initial is None else self._step(sasl.decode(initial))

    def starttls(self) -> Event | None:
        if self._tls or not self._starttls:
            self._mistake("TLS runs already" if self._tls else "TLS is not offered here")
            return None
        # What was sent along with STARTTLS was never protected: obeying it would let a stranger put commands in.
        self._reader.clear()
        self._ok("begin the handshake")
        return StartTls()

    def logout(self) -> None:
        self.state = State.CLOSED
        self._ok("good bye")

    def capability(self) -> None:
        self._capabilities()
        self._ok("capabilities")

    def noop(self, tag: bytes | None = None) -> None:
        self._line(b"OK", None if tag is None else b"TAG " + _string(tag), "done")

    def unauthenticate(self) -> Event:
        return Unauthenticate()

    def havespace(self, name: bytes, size: int) -> Event | None:
        named = self._name(name)
        if named is not None and size > self._script_limit:
            self._no(f"a script has at most {self._script_limit} octets", Code.MAXSIZE)
            return None
        return None if named is None else HaveSpace(named, size)

    def putscript(self, name: bytes, content: bytes) -> Event | None:
        named = self._name(name)
        return None if named is None else PutScript(named, content)

    def checkscript(self, content: bytes) -> Event:
        return CheckScript(content)

    def listscripts(self) -> Event:
        return ListScripts()

    def setactive(self, name: bytes) -> Event | None:
        if not name:
            return SetActive("")
        named = self._name(name)
        return None if named is None else SetActive(named)

    def getscript(self, name: bytes) -> Event | None:
        named = self._name(name)
        return None if named is None else GetScript(named)

    def deletescript(self, name: bytes) -> Event | None:
        named = self._name(name)
        return None if named is None else DeleteScript(named)

    def renamescript(self, old: bytes, new: bytes) -> Event | None:
        named, wanted = self._name(old), self._name(new)
        return None if named is None or wanted is None else RenameScript(named, wanted)


def _string(octets: bytes) -> bytes:
    """A string, in quotes if it can be."""
    if _QUOTABLE.fullmatch(octets):
        return b'"' + octets.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
    return b"{%d}\r\n%s" % (len(octets), octets)


@dataclass(frozen=True, slots=True)
class Command:
    """One row of the table: what runs, in which states, with which arguments: s is a string, n a number."""

    run: Callable[..., Event | None]
    needs: frozenset[State]
    usage: str
    takes: tuple[str, ...] = ("",)


BEFORE = frozenset({State.NON_AUTHENTICATED})
AFTER = frozenset({State.AUTHENTICATED})
BOTH = BEFORE | AFTER

COMMANDS = {
    "AUTHENTICATE": Command(
        Session.authenticate, needs=BEFORE, usage='AUTHENTICATE "mechanism" ["initial response"]', takes=("s", "ss")
    ),
    "STARTTLS": Command(Session.starttls, needs=BEFORE, usage="STARTTLS"),
    "LOGOUT": Command(Session.logout, needs=BOTH, usage="LOGOUT"),
    "CAPABILITY": Command(Session.capability, needs=BOTH, usage="CAPABILITY"),
    "NOOP": Command(Session.noop, needs=BOTH, usage='NOOP ["tag"]', takes=("", "s")),
    "UNAUTHENTICATE": Command(Session.unauthenticate, needs=AFTER, usage="UNAUTHENTICATE"),
    "HAVESPACE": Command(Session.havespace, needs=AFTER, usage='HAVESPACE "name" size', takes=("sn",)),
    "PUTSCRIPT": Command(Session.putscript, needs=AFTER, usage='PUTSCRIPT "name" script', takes=("ss",)),
    "CHECKSCRIPT": Command(Session.checkscript, needs=AFTER, usage="CHECKSCRIPT script", takes=("s",)),
    "LISTSCRIPTS": Command(Session.listscripts, needs=AFTER, usage="LISTSCRIPTS"),
    "SETACTIVE": Command(Session.setactive, needs=AFTER, usage='SETACTIVE "name"', takes=("s",)),
    "GETSCRIPT": Command(Session.getscript, needs=AFTER, usage='GETSCRIPT "name"', takes=("s",)),
    "DELETESCRIPT": Command(Session.deletescript, needs=AFTER, usage='DELETESCRIPT "name"', takes=("s",)),
    "RENAMESCRIPT": Command(Session.renamescript, needs=AFTER, usage='RENAMESCRIPT "old" "new"', takes=("ss",)),
}
