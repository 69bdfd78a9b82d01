"""SASL logins (RFC 4422), the server's side, one exchange for SMTP, POP3 and IMAP alike.

A protocol reads a line, takes it through ``decode``, gives it to ``step``, and does what comes back: sends the
challenge (``encode``), has the question answered, or refuses. The cancelling ``*`` belongs to the protocol.
"""

import binascii
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Protocol, TypeAlias

from engine.protocols.scram import Broken, Conversation, Key, Keys

RESPONSE_LIMIT = 12_288
"""Octets of a base64 line that a server must be able to take (RFC 4954 4)."""

# The strict mode of binascii lets a needless "=" pass.
_BASE64 = re.compile(rb"(?>(?:[A-Za-z0-9+/]{4})*)(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")

EXTERNAL = "EXTERNAL"

_PLUS = "-PLUS"


@dataclass(frozen=True, slots=True)
class Channel:
    """What a login may rest upon besides what the client says: what is known of its TLS."""

    bindings: Mapping[str, bytes] = field(default_factory=dict)  # by type (RFC 5056)
    addresses: tuple[str, ...] = ()  # in the client's certificate, which has been verified


CLEAR: Final = Channel()
"""A channel of which nothing is known."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """The octets that the client is asked with, before base64."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Credentials:
    """*Is this the password?* It never shows in a repr, so it cannot slip into a log."""

    mechanism: str
    login: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeysWanted:
    """*What may prove this login?* Answered by ``Scram.take``; for a login that is none, by keys that nothing fits."""

    mechanism: str
    login: str


@dataclass(frozen=True, slots=True)
class Proof:
    """*May this one in?* The password that ``key`` was made from has been proven; None: none has."""

    mechanism: str
    login: str
    key: Key | None


@dataclass(frozen=True, slots=True)
class Token:
    """*Is this token good for this login?* An empty login is whoever the token is for."""

    mechanism: str
    login: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Certificate:
    """*Is a certificate for these addresses good for this login?* An empty login is whoever the certificate is for."""

    mechanism: str
    login: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """The client broke the mechanism's rules."""

    text: str


Question: TypeAlias = Credentials | KeysWanted | Proof | Token | Certificate
Step: TypeAlias = Challenge | Question | Failure


class Exchange(Protocol):
    """One login under way; begin a new one for every attempt."""

    def step(self, response: bytes | None) -> Step:
        """Takes the client's response, decoded. First the initial response, or None where the client sent none."""
        ...


class Plain:
    """PLAIN (RFC 4616): one response, ``authorization NUL login NUL password`` in UTF-8."""

    __slots__ = ()

    def step(self, response: bytes | None) -> Step:
        if response is None:
            return Challenge(b"")
        parts = response.split(b"\0")
        if len(parts) != 3:
            return Failure("PLAIN wants an identity, a login and a password")
        authorization, login, password = parts
        if authorization not in (b"", login):
            return Failure("Nobody may log in as somebody else")
        return _credentials("PLAIN", login, password)


class Login:
    """LOGIN (draft-murchison-sasl-login): asks for the name, then for the password."""

    __slots__ = ("_login",)

    def __init__(self) -> None:
        self._login: bytes | None = None

    def step(self, response: bytes | None) -> Step:
        if response is None:
            return Challenge(b"Username:")
        if self._login is None:
            self._login = response
            return Challenge(b"Password:")
        return _credentials("LOGIN", self._login, response)


class Scram:
    """SCRAM (RFC 5802): the client proves the password, and we prove that we know it."""

    __slots__ = ("_conversation", "_key", "_login", "_name", "_next")

    def __init__(self, name: str, conversation: Conversation) -> None:
        self._name = name
        self._conversation = conversation
        self._login = ""
        self._key: Key | None = None
        self._next: Callable[[Scram, bytes], Step] | None = Scram._first

    def step(self, response: bytes | None) -> Step:
        if response is None:
            return Challenge(b"")
        if self._next is None:
            return Failure("The exchange is over")
        try:
            return self._next(self, response)
        except Broken as error:
            self._next = None
            return Failure(str(error))

    def take(self, keys: Keys) -> Challenge:
        """Takes the answer to ``KeysWanted``. RuntimeError where that was not asked."""
        if self._next is not Scram._final:
            raise RuntimeError("no keys were asked for")
        return Challenge(self._conversation.first(keys))

    def _first(self, response: bytes) -> Step:
        self._login = self._conversation.hear_first(response)
        self._next = Scram._final
        return KeysWanted(self._name, self._login)

    def _final(self, response: bytes) -> Step:
        self._key = self._conversation.hear_final(response)
        if self._key is None:
            self._next = None
            return Proof(self._name, self._login, None)
        self._next = Scram._acknowledged
        return Challenge(self._conversation.final())

    def _acknowledged(self, _: bytes) -> Step:
        """The last response is an empty one, but PHP's Net_SMTP says NOOP, and all has been proved before."""
        self._next = None
        return Proof(self._name, self._login, self._key)


class Bearer:
    """OAUTHBEARER (RFC 7628) and XOAUTH2, which Google made before it: one response with a bearer token (RFC 6750).

    A token that is no good is refused at once, without the challenge that would tell the client why: it gets no other
    token by it.
    """

    __slots__ = ("_name", "_pattern")

    def __init__(self, name: str, pattern: re.Pattern[str]) -> None:
        self._name = name
        self._pattern = pattern

    def step(self, response: bytes | None) -> Step:
        if response is None:
            return Challenge(b"")
        try:
            said = self._pattern.fullmatch(response.decode())
        except UnicodeDecodeError:
            said = None
        if said is None:
            return Failure(f"{self._name} wants a login and a bearer token")
        login = said["login"] or ""
        if self._name == "OAUTHBEARER":
            login = login.replace("=2C", ",").replace("=3D", "=")
        return Token(self._name, login, said["token"])


# Fields end in octet 1; the one that counts is "auth".
_FIELDS = r"(?:(?!auth=)[A-Za-z]+=[^\0\x01]*\x01)*"
_AUTH = r"auth=[Bb]earer +(?P<token>[A-Za-z0-9._~+/=-]+)\x01"
_OAUTHBEARER = re.compile(rf"[ny],(?:a=(?P<login>[^,\0\x01]+))?,\x01{_FIELDS}{_AUTH}{_FIELDS}\x01")
_XOAUTH2 = re.compile(rf"user=(?P<login>[^\0\x01]+)\x01{_AUTH}\x01")


class External:
    """EXTERNAL (RFC 4422 A): one response, the identity that is wanted, or nothing. TLS has proven who it is."""

    __slots__ = ("_addresses",)

    def __init__(self, addresses: tuple[str, ...]) -> None:
        self._addresses = addresses

    def step(self, response: bytes | None) -> Step:
        if response is None:
            return Challenge(b"")
        if b"\0" in response:
            return Failure("An identity holds no NUL")
        try:
            return Certificate(EXTERNAL, response.decode(), self._addresses)
        except UnicodeDecodeError:
            return Failure("An identity is in UTF-8")


def _external(channel: Channel) -> Exchange:
    return External(channel.addresses)


def _oauthbearer(_: Channel) -> Exchange:
    return Bearer("OAUTHBEARER", _OAUTHBEARER)


def _xoauth2(_: Channel) -> Exchange:
    return Bearer("XOAUTH2", _XOAUTH2)


def _scram_sha_256(channel: Channel) -> Exchange:
    return Scram("SCRAM-SHA-256", Conversation(channel.bindings))


def _scram_sha_256_plus(channel: Channel) -> Exchange:
    return Scram("SCRAM-SHA-256-PLUS", Conversation(channel.bindings, plus=True))


def _plain(_: Channel) -> Exchange:
    return Plain()


def _login(_: Channel) -> Exchange:
    return Login()


MECHANISMS: Mapping[str, Callable[[Channel], Exchange]] = {
    EXTERNAL: _external,
    "SCRAM-SHA-256-PLUS": _scram_sha_256_plus,
    "SCRAM-SHA-256": _scram_sha_256,
    "OAUTHBEARER": _oauthbearer,
    "XOAUTH2": _xoauth2,
    "PLAIN": _plain,
    "LOGIN": _login,
}
"""By name in capitals, the best first; calling the value with the channel begins an exchange."""

USUAL = tuple(name for name in MECHANISMS if not name.endswith(_PLUS))
"""Those that all clients get on with. Who binds a login under TLS 1.3 takes `tls-exporter` for granted (RFC 9266 2),
which Python does not give."""


class Offer:
    """The mechanisms that one connection is offered.

    Where its ``channel`` has no bindings, nothing can be bound to it; without addresses it proves nobody. ValueError
    for a name that is none.
    """

    def __init__(self, names: Iterable[str], channel: Channel = CLEAR) -> None:
        wanted = tuple(names)
        unknown = [name for name in wanted if name not in MECHANISMS]
        if unknown:
            raise ValueError(f"no such SASL mechanism: {', '.join(unknown)}")
        self.names = tuple(name for name in wanted if _is_possible(name, channel))
        # Without -PLUS on offer a client that could bind rightly says that we cannot. RFC 5802 6
        bound = any(name.endswith(_PLUS) for name in self.names)
        self._channel = channel if bound else replace(channel, bindings={})

    def begin(self, name: str) -> Exchange:
        """A login by one of ``names``."""
        return MECHANISMS[name](self._channel)


def _is_possible(name: str, channel: Channel) -> bool:
    if name == EXTERNAL:
        return bool(channel.addresses)
    return bool(channel.bindings) or not name.endswith(_PLUS)


def encode(challenge: Challenge) -> bytes:
    """The challenge in base64, without a line end."""
    return binascii.b2a_base64(challenge.data, newline=False)


def decode(line: bytes) -> bytes | None:
    """What a base64 response stands for; None when it is no base64."""
    return binascii.a2b_base64(line) if _BASE64.fullmatch(line) else None


def decode_initial(argument: bytes) -> bytes | None:
    """What the initial response after the mechanism's name stands for: there ``=`` is an empty one (RFC 4954 4)."""
    return b"" if argument == b"=" else decode(argument)


def _credentials(mechanism: str, login: bytes, password: bytes) -> Credentials | Failure:
    if not login or not password or b"\0" in login or b"\0" in password:
        return Failure("A login and a password are never empty, and hold no NUL")
    try:
        return Credentials(mechanism, login.decode(), password.decode())
    except UnicodeDecodeError:
        return Failure("A login and a password are in UTF-8")
