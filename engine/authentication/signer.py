"""Private keys, and the fields that they sign."""

import hashlib
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from engine.authentication.fields import Field, Fields
from engine.authentication.keys import LEAST_BITS
from engine.authentication.signature import unsigned

PrivateKey = RSAPrivateKey | Ed25519PrivateKey

OVERSIGNED = (
    "from", "sender", "reply-to", "subject", "date", "message-id", "to", "cc",
    "mime-version", "content-type", "content-transfer-encoding",
)  # fmt: skip
"""What readers see or software acts on: signed once more than it is there, so that nobody can add one."""

SIGNED = (
    "in-reply-to", "references", "resent-date", "resent-from", "resent-to", "resent-cc",
    "list-id", "list-help", "list-unsubscribe", "list-unsubscribe-post", "list-subscribe", "list-post", "list-owner",
    "list-archive",
)  # fmt: skip
"""What is signed where it is there (RFC 6376 5.4.1); a mailing list may add its own."""

_LINE = 76  # octets, a little less than RFC 5322 2.1.1 recommends
_PADDING = PKCS1v15()
_SHA256 = SHA256()
_RAW_ED25519 = re.compile(rb"\s*[A-Za-z0-9+/]{43}=\s*")


@dataclass(frozen=True, slots=True)
class Signer:
    """A domain's key. Its public half is to be found at ``selector._domainkey.domain``; both are in A-labels."""

    domain: str
    selector: str
    key: PrivateKey

    @property
    def algorithm(self) -> str:
        return "rsa-sha256" if isinstance(self.key, RSAPrivateKey) else "ed25519-sha256"

    def sign(self, octets: bytes) -> bytes:
        if isinstance(self.key, RSAPrivateKey):
            return self.key.sign(octets, _PADDING, _SHA256)
        return self.key.sign(hashlib.sha256(octets).digest())  # RFC 8463 3: the hash is what is signed


def load_key(octets: bytes) -> PrivateKey:
    """A key of RSA or Ed25519 in PEM without a password, or the 32 octets of Ed25519 in base64.

    ValueError where it is none, or RSA of less than 1024 bits (RFC 8301 3.2).
    """
    if _RAW_ED25519.fullmatch(octets):
        return Ed25519PrivateKey.from_private_bytes(b64decode(octets))
    try:
        key = load_pem_private_key(octets, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ValueError(f"this is no private key in PEM without a password: {error}") from error
    if not isinstance(key, RSAPrivateKey | Ed25519PrivateKey):
        raise ValueError("this is a key of neither RSA nor Ed25519")
    if isinstance(key, RSAPrivateKey) and key.key_size < LEAST_BITS:
        raise ValueError(f"this key has {key.key_size} bits; at least {LEAST_BITS} are needed")
    return key


def signed_names(fields: Fields) -> list[str]:
    """What h= is to name, so that all of it is signed and nothing can be added."""
    return [
        *(name for name in OVERSIGNED for _ in range(len(fields.named(name)) + 1)),
        *(name for name in SIGNED for _ in fields.named(name)),
    ]


def signed_field(name: str, tags: Sequence[tuple[str, str]], before: bytes, signer: Signer) -> Field:
    """A field of these tags and b=, which signs ``before``, and itself in the form "relaxed"."""
    lower = name.lower()
    head = _folded(name, tags)
    octets = before + unsigned(Field(lower, head + b"\r\n"), relaxed=True)
    signature = b64encode(signer.sign(octets))
    lines = [signature[start : start + _LINE - 1] for start in range(0, len(signature), _LINE - 1)]
    return Field(lower, b"\r\n ".join([head, *lines]) + b"\r\n")


def _folded(name: str, tags: Iterable[tuple[str, str]]) -> bytes:
    """The field up to the "b=" that ends it, in lines."""
    lines = [f"{name}:"]
    for tag, value in tags:
        if tag == "h":
            lines += _folded_names(value)
        else:
            _put(lines, f" {tag}={value};")
    _put(lines, " b=")
    return "\r\n".join(lines).encode()


@lru_cache(maxsize=256)  # messages of one program have the same fields
def _folded_names(value: str) -> tuple[str, ...]:
    """The tag h= on lines of its own, which end between names."""
    first, *others = re.split("(?<=:)", f" h={value};")
    lines = [first]
    for name in others:
        _put(lines, name)
    return tuple(lines)


def _put(lines: list[str], piece: str) -> None:
    """Put it at the end of the last line, or on a new one."""
    if len(lines[-1]) + len(piece) > _LINE:
        lines.append(" " + piece.lstrip(" "))
    else:
        lines[-1] += piece
