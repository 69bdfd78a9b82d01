"""Signed links: whoever has one may take one address off one list.

A token is base64url of: a version, the Unix time at which it was made, the name of the list and its length, the
address, and 16 octets of HMAC-SHA-256 over all of them.
"""

import base64
import binascii
import hmac
import struct
from collections.abc import Sequence
from dataclasses import dataclass

_HEAD = struct.Struct(">BQB")  # version, Unix seconds, octets of the list's name
_VERSION = 1
_MAC = 16
_PURPOSE = b"postroad unsubscribe\0"  # so that what the secret signs elsewhere is good for nothing here
_LONGEST = 1000  # characters; an address has 254 octets, a name 255


class Forged(ValueError):
    """It was not signed here, or is damaged."""


class Expired(ValueError):
    """It was good once."""


@dataclass(frozen=True, slots=True)
class Link:
    """What a token says. ``list`` is empty where the address wants no bulk mail at all."""

    address: str
    list: str
    made: int  # Unix seconds


def sign(link: Link, secrets: Sequence[bytes]) -> str:
    """The token, made with the first of the secrets. ValueError for a name of more than 255 octets."""
    name = link.list.encode()
    if len(name) > 255:
        raise ValueError("the name of a list has at most 255 octets")
    said = _HEAD.pack(_VERSION, link.made, len(name)) + name + link.address.encode("utf-8", "surrogatepass")
    return _text(said + _mac(secrets[0], said))


def verify(token: str, secrets: Sequence[bytes], now: float, max_age: float) -> Link:
    """What the token says. Forged, Expired. Any of the secrets may have signed it."""
    octets = _octets(token)
    said, mac = octets[:-_MAC], octets[-_MAC:]
    good = [hmac.compare_digest(mac, _mac(secret, said)) for secret in secrets]
    if len(said) <= _HEAD.size or not any(good):
        raise Forged("this link was not made here, or is not whole")
    version, made, length = _HEAD.unpack_from(said)
    if version != _VERSION:
        raise Forged("this link was made by another release")
    if now > made + max_age:
        raise Expired("this link is too old")
    name, address = said[_HEAD.size : _HEAD.size + length], said[_HEAD.size + length :]
    return Link(address.decode("utf-8", "surrogatepass"), name.decode(), made)


def _mac(secret: bytes, said: bytes) -> bytes:
    return hmac.digest(secret, _PURPOSE + said, "sha256")[:_MAC]


def _text(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def _octets(token: str) -> bytes:
    if len(token) > _LONGEST:
        raise Forged("this link is too long")
    try:
        octets = base64.b64decode(token.encode("ascii") + b"=" * (-len(token) % 4), b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise Forged("this is no link of ours") from None
    if _text(octets) != token:  # the same octets have one text
        raise Forged("this is no link of ours")
    return octets
