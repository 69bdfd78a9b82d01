"""Octets that are handed out and known again: base64url of them, and of 16 octets of HMAC-SHA-256 over them."""

import base64
import binascii
import hmac
from collections.abc import Sequence

_MAC = 16
_LONGEST = 1000  # characters; an address has 254 octets, a name 255


class Forged(ValueError):
    """It was not sealed here, or is damaged."""


class Expired(ValueError):
    """It was good once."""


def sealed(said: bytes, purpose: bytes, secrets: Sequence[bytes]) -> str:
    """The text, made with the first of the secrets. What is sealed for one ``purpose`` is good for no other."""
    return _text(said + _mac(secrets[0], purpose, said))


def opened(text: str, purpose: bytes, secrets: Sequence[bytes]) -> bytes:
    """What was sealed. Forged. Any of the secrets may have sealed it."""
    octets = _octets(text)
    said, mac = octets[:-_MAC], octets[-_MAC:]
    good = [hmac.compare_digest(mac, _mac(secret, purpose, said)) for secret in secrets]
    if not any(good):
        raise Forged("this was not made here, or is not whole")
    return said


def _mac(secret: bytes, purpose: bytes, said: bytes) -> bytes:
    return hmac.digest(secret, purpose + said, "sha256")[:_MAC]


def _text(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def _octets(text: str) -> bytes:
    if len(text) > _LONGEST:
        raise Forged("this is too long")
    try:
        octets = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise Forged("this was not made here") from None
    if _text(octets) != text:  # the same octets have one text
        raise Forged("this was not made here")
    return octets
