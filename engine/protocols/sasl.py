"""SASL logins (RFC 4422), the server's side: PLAIN and LOGIN, one exchange for SMTP, POP3 and IMAP alike.

A protocol reads a line, takes it through ``decode``, gives it to ``step``, and does what comes back: sends the
challenge (``encode``), has the credentials checked, or refuses. The cancelling ``*`` belongs to the protocol.
"""

import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

RESPONSE_LIMIT = 12_288
"""Octets of a base64 line that a server must be able to take (RFC 4954 4)."""

# The strict mode of binascii lets a needless "=" pass.
_BASE64 = re.compile(rb"(?:[A-Za-z0-9+/]{4})*+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")


@dataclass(frozen=True, slots=True)
class Challenge:
    """The octets that the client is asked with, before base64."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the client claims to be. The password never shows in a repr, so it cannot slip into a log."""

    mechanism: str
    login: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Failure:
    """The client broke the mechanism's rules."""

    text: str


Step: TypeAlias = Challenge | Credentials | Failure


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


MECHANISMS: Mapping[str, Callable[[], Exchange]] = {"PLAIN": Plain, "LOGIN": Login}
"""By name in capitals; calling the value begins an exchange."""


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
