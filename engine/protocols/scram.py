"""SCRAM (RFC 5802, 7677), the server's side: what is kept of a password, and what each side says."""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import stringprep
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field

ITERATIONS = 65_536
"""Of PBKDF2. RFC 7677 4 asks for 4096 at least, and Cyrus SASL, which many clients use, computes no more than these.
They are 40 ms for a client, and for whoever has stolen the keys."""

_FIRST = re.compile(
    r"(?P<gs2>(?:p=(?P<binding>[A-Za-z0-9.-]+)|(?P<flag>[ny])),(?:a=(?P<authorization>[^,]+))?,)"
    r"(?P<bare>n=(?P<login>[^,]+),r=(?P<nonce>[!-+\--~]+)(?:,.*)?)",
    re.DOTALL,
)
_FINAL = re.compile(r"(?P<bare>c=(?P<binding>[^,]+),r=(?P<nonce>[^,]+)(?:,.*)?),p=(?P<proof>[^,]+)", re.DOTALL)
_VERIFIER = re.compile(r"SCRAM-SHA-256\$(\d{1,9}):([^$:]+)\$([^$:]+):([^$:]+)")


class Broken(ValueError):
    """The client broke the rules; the text says which."""


@dataclass(frozen=True, slots=True)
class Key:
    """What a server keeps of one password: enough to check a proof, too little to make one."""

    stored: bytes = field(repr=False)
    server: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Keys:
    """What may prove a login: a password that any of ``keys`` was made from. All have one salt and one count."""

    salt: bytes
    iterations: int
    keys: tuple[Key, ...]


def key(password: str, salt: bytes, iterations: int, digest: str = "sha256") -> Key:
    """The key of a password (RFC 5802 3). Blocks for some 40 ms at ITERATIONS."""
    salted = hashlib.pbkdf2_hmac(digest, prepared(password).encode("utf-8", "surrogatepass"), salt, iterations)
    client = _hmac(salted, b"Client Key", digest)
    return Key(hashlib.new(digest, client).digest(), _hmac(salted, b"Server Key", digest))


def verifier(password: str, salt: bytes, iterations: int = ITERATIONS) -> str:
    """What to store of a password, as PostgreSQL writes it: "SCRAM-SHA-256$count:salt$stored:server". Blocks."""
    made = key(password, salt, iterations)
    salt_, stored, server = (base64.b64encode(octets).decode() for octets in (salt, made.stored, made.server))
    return f"SCRAM-SHA-256${iterations}:{salt_}${stored}:{server}"


def parse_verifier(text: str) -> Keys:
    """The keys of what ``verifier`` gives. ValueError."""
    found = _VERIFIER.fullmatch(text)
    if found is None:
        raise ValueError("it does not begin with SCRAM-SHA-256$")
    salt, stored, server = (base64.b64decode(part, validate=True) for part in found.group(2, 3, 4))
    return Keys(salt, int(found[1]), (Key(stored, server),))


class Conversation:
    """One exchange: ``hear_first``, ``first``, ``hear_final``, ``final``, in this order.

    ``bindings`` are the channel's, by type (RFC 5056), empty where there are none or -PLUS is not offered; ``plus`` is
    whether the client has picked -PLUS. ``digest`` and ``nonce`` are other ones for the examples of the RFCs.
    """

    def __init__(
        self, bindings: Mapping[str, bytes], *, plus: bool = False, digest: str = "sha256", nonce: str = ""
    ) -> None:
        self._bindings = bindings
        self._plus = plus
        self._digest = digest
        self._nonce = nonce or secrets.token_urlsafe(18)
        self._binding = b""  # what the client must repeat: its GS2 header and the data of the channel
        self._messages = b""  # AuthMessage, as far as it has come
        self._keys: tuple[Key, ...] = ()
        self._signature = b""

    def hear_first(self, message: bytes) -> str:
        """The login that the client's first message names. Broken."""
        said = _matched(_FIRST, message, "client-first-message")
        self._binding = said["gs2"].encode() + self._channel(said["binding"], said["flag"])
        login = _saslname(said["login"])
        if said["authorization"] and _saslname(said["authorization"]) != login:
            raise Broken("Nobody may log in as somebody else")
        self._nonce = said["nonce"] + self._nonce
        self._messages = said["bare"].encode()
        return login

    def first(self, keys: Keys) -> bytes:
        """Our first message."""
        self._keys = keys.keys
        message = f"r={self._nonce},s={base64.b64encode(keys.salt).decode()},i={keys.iterations}".encode()
        self._messages += b"," + message
        return message

    def hear_final(self, message: bytes) -> Key | None:
        """The key that the client's proof fits. Broken."""
        said = _matched(_FINAL, message, "client-final-message")
        if not hmac.compare_digest(_octets(said["binding"]), self._binding):
            raise Broken("The channel binding is another one")
        if not hmac.compare_digest(said["nonce"].encode(), self._nonce.encode()):
            raise Broken("The nonce is another one")
        self._messages += b"," + said["bare"].encode()
        proof = _octets(said["proof"])
        fitting = [key for key in self._keys if self._fits(key, proof)]
        if not fitting:
            return None
        self._signature = _hmac(fitting[0].server, self._messages, self._digest)
        return fitting[0]

    def final(self) -> bytes:
        """Our last message, by which the client knows that we know the password."""
        return b"v=" + base64.b64encode(self._signature)

    def _channel(self, binding: str | None, flag: str | None) -> bytes:
        """The data of the channel that the client binds itself to."""
        if self._plus != (binding is not None):
            raise Broken("The mechanism and its channel binding do not belong together")
        if binding is None:
            if flag == "y" and self._bindings:
                # The client was made to believe that -PLUS is not offered. RFC 5802 6
                raise Broken("Channel binding is offered: somebody is in between")
            return b""
        if binding not in self._bindings:
            raise Broken("This type of channel binding is not supported")
        return self._bindings[binding]

    def _fits(self, key: Key, proof: bytes) -> bool:
        signature = _hmac(key.stored, self._messages, self._digest)
        if len(proof) != len(signature):
            return False
        client = bytes(a ^ b for a, b in zip(proof, signature, strict=True))
        return hmac.compare_digest(hashlib.new(self._digest, client).digest(), key.stored)


def _matched(pattern: re.Pattern[str], message: bytes, what: str) -> "re.Match[str]":
    try:
        found = pattern.fullmatch(message.decode())
    except UnicodeDecodeError:
        found = None
    if found is None or "\0" in found[0]:
        raise Broken(f"This is no {what}")
    return found


def _octets(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Broken("This is no base64") from error


def _saslname(text: str) -> str:
    if re.search("=(?!2C|3D)", text):
        raise Broken('A "=" in a name is written =3D, a comma =2C')
    return text.replace("=2C", ",").replace("=3D", "=")


def prepared(password: str) -> str:
    """SASLprep (RFC 4013) as far as it changes a text; what it would forbid stays, and is what the client typed."""
    mapped = "".join(
        " " if stringprep.in_table_c12(character) else character
        for character in password
        if not stringprep.in_table_b1(character)
    )
    return unicodedata.normalize("NFKC", mapped)


def _hmac(key: bytes, message: bytes, digest: str) -> bytes:
    return hmac.digest(key, message, digest)
