"""SASL logins (RFC 4422), the client's side: who we are to another server.

A driver takes ``initial``, answers each challenge by what ``answer`` gives, and when the server says yes, asks whether
the exchange ``is_proven``: a server that did not prove that it knows the password has no right to say so.
"""

import base64
import binascii
import functools
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from engine.protocols.scram import prepared

FEWEST, MOST = 4096, 1_000_000
"""Iterations of PBKDF2 that a server may ask for: fewer give the password away (RFC 7677 4), more than these take a
second, and are no server's honest wish."""

_SERVER_FIRST = re.compile(
    r"r=(?P<nonce>[!-+\--~]{1,512}),s=(?P<salt>[A-Za-z0-9+/=]{1,512}),i=(?P<count>[1-9]\d{0,9})(?:,.*)?"
)
_SERVER_FINAL = re.compile(r"(?:v=(?P<signature>[A-Za-z0-9+/=]+)|e=(?P<error>[^,]*))(?:,.*)?")


class LoginError(Exception):
    """The login cannot go on; the text says why."""


@dataclass(frozen=True, slots=True)
class Password:
    """Who we are. It never shows in a repr, so it cannot slip into a log. An empty name: whom our certificate names."""

    name: str = ""
    password: str = field(default="", repr=False)


class Exchange(Protocol):
    """One login under way."""

    @property
    def is_proven(self) -> bool:
        """Whether the server may say yes now."""
        ...

    def initial(self) -> bytes | None:
        """What is said at once; None: the server speaks first."""
        ...

    def answer(self, challenge: bytes) -> bytes:
        """The response to a challenge. It may compute for a while. LoginError."""
        ...


class Plain:
    """PLAIN (RFC 4616). ``whose``: as whom we act, who may read others' mail; by default as ourselves."""

    is_proven = True

    def __init__(self, who: Password, whose: str = "") -> None:
        self._said = f"{whose}\0{who.name}\0{who.password}".encode()

    def initial(self) -> bytes:
        return self._said

    def answer(self, challenge: bytes) -> bytes:
        if challenge:
            raise LoginError("PLAIN has no challenge")
        return self._said


class Login:
    """LOGIN (draft-murchison-sasl-login): the name, then the password, whatever the server's questions are."""

    is_proven = True

    def __init__(self, who: Password) -> None:
        self._answers = [who.password.encode(), who.name.encode()]

    def initial(self) -> None:
        return None

    def answer(self, _: bytes) -> bytes:
        if not self._answers:
            raise LoginError("LOGIN has two questions, and the server asks more")
        return self._answers.pop()


class External:
    """EXTERNAL (RFC 4422 A): the certificate of the connection says who we are."""

    is_proven = True

    def __init__(self, who: Password) -> None:
        self._said = who.name.encode()

    def initial(self) -> bytes:
        return self._said

    def answer(self, _: bytes) -> bytes:
        return self._said


class Scram:
    """SCRAM (RFC 5802, 7677). ``header`` is what is said of channel binding, ``binding`` its octets."""

    def __init__(self, who: Password, digest: str, header: str = "n,,", binding: bytes = b"", nonce: str = "") -> None:
        self.is_proven = False
        self._who = who
        self._digest = digest
        self._header = header
        self._binding = base64.b64encode(header.encode() + binding).decode()
        self._nonce = nonce or secrets.token_urlsafe(18)
        name = prepared(who.name).replace("=", "=3D").replace(",", "=2C")
        self._bare = f"n={name},r={self._nonce}"
        self._signature = b""
        self._step: Callable[[Scram, str], bytes] | None = Scram._on_first

    def initial(self) -> bytes:
        return f"{self._header}{self._bare}".encode()

    def answer(self, challenge: bytes) -> bytes:
        step, self._step = self._step, None
        if step is None:
            raise LoginError("SCRAM is over, and the server asks more")
        try:
            return step(self, challenge.decode())
        except (UnicodeDecodeError, binascii.Error) as error:
            raise LoginError("a challenge that is none of SCRAM's") from error

    def _on_first(self, message: str) -> bytes:
        said = _SERVER_FIRST.fullmatch(message)
        if said is None:
            raise LoginError("a challenge that is none of SCRAM's")
        if not said["nonce"].startswith(self._nonce) or said["nonce"] == self._nonce:
            raise LoginError("the server has not made the nonce longer")
        count = int(said["count"])
        if not FEWEST <= count <= MOST:
            raise LoginError(f"the server wants {count} iterations; {FEWEST} to {MOST} are done")
        keys = _keys(self._who.password, base64.b64decode(said["salt"], validate=True), count, self._digest)
        bare = f"c={self._binding},r={said['nonce']}"
        whole = f"{self._bare},{message},{bare}".encode()
        stored = hashlib.new(self._digest, keys.client).digest()
        mask = hmac.digest(stored, whole, self._digest)
        proof = bytes(a ^ b for a, b in zip(keys.client, mask, strict=True))
        self._signature = hmac.digest(keys.server, whole, self._digest)
        self._step = Scram._on_final
        return f"{bare},p={base64.b64encode(proof).decode()}".encode()

    def _on_final(self, message: str) -> bytes:
        said = _SERVER_FINAL.fullmatch(message)
        if said is None:
            raise LoginError("a challenge that is none of SCRAM's")
        if said["error"] is not None:
            raise LoginError(f"the server says: {said['error'][:80]}")
        if not hmac.compare_digest(base64.b64decode(said["signature"], validate=True), self._signature):
            raise LoginError("the server does not know the password either")
        self.is_proven = True
        return b""


@dataclass(frozen=True, slots=True)
class _Keys:
    client: bytes = field(repr=False)
    server: bytes = field(repr=False)


@functools.lru_cache(maxsize=64)  # else each connection would compute for 40 ms and more
def _keys(password: str, salt: bytes, count: int, digest: str) -> _Keys:
    salted = hashlib.pbkdf2_hmac(digest, prepared(password).encode(), salt, count)
    return _Keys(hmac.digest(salted, b"Client Key", digest), hmac.digest(salted, b"Server Key", digest))


_DIGESTS = {"SCRAM-SHA-512": "sha512", "SCRAM-SHA-256": "sha256", "SCRAM-SHA-1": "sha1"}
"""The best first."""


def begin(
    who: Password, offered: Collection[str], bindings: Mapping[str, bytes], *, by_certificate: bool = False
) -> tuple[str, Exchange] | None:
    """The best login that the server offers, by its name; None: it offers none that we can.

    ``bindings`` are what is known of the channel, by type (RFC 5056). ``by_certificate``: we show one, so that EXTERNAL
    is possible; without a password nothing else is.
    """
    if by_certificate and "EXTERNAL" in offered:
        return "EXTERNAL", External(who)
    if not who.password:
        return None
    if scram := _scram(who, offered, bindings):
        return scram
    if "PLAIN" in offered:
        return "PLAIN", Plain(who)
    return ("LOGIN", Login(who)) if "LOGIN" in offered else None


def _scram(who: Password, offered: Collection[str], bindings: Mapping[str, bytes]) -> tuple[str, Exchange] | None:
    for kind, octets in bindings.items():
        for name, digest in _DIGESTS.items():
            if f"{name}-PLUS" in offered:
                return f"{name}-PLUS", Scram(who, digest, f"p={kind},,", octets)
    # "y": we could bind, and take it that the server cannot (RFC 5802 6).
    header = "y,," if bindings else "n,,"
    return next(((name, Scram(who, digest, header)) for name, digest in _DIGESTS.items() if name in offered), None)
