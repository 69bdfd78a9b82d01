"""Signed links: whoever has one may take one address off one list.

A token is sealed (`engine.protocols.sealed`), and says: a version, the Unix time at which it was made, the name of the
list and its length, the address.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from engine.protocols.sealed import Expired, Forged, opened, sealed

_HEAD = struct.Struct(">BQB")  # version, Unix seconds, octets of the list's name
_VERSION = 1
_PURPOSE = b"postroad unsubscribe\0"  # so that what the secret signs elsewhere is good for nothing here


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
    return sealed(said, _PURPOSE, secrets)


def verify(token: str, secrets: Sequence[bytes], now: float, max_age: float) -> Link:
    """What the token says. Forged, Expired. Any of the secrets may have signed it."""
    said = opened(token, _PURPOSE, secrets)
    if len(said) <= _HEAD.size:
        raise Forged("this link is not whole")
    version, made, length = _HEAD.unpack_from(said)
    if version != _VERSION:
        raise Forged("this link was made by another release")
    if now > made + max_age:
        raise Expired("this link is too old")
    name, address = said[_HEAD.size : _HEAD.size + length], said[_HEAD.size + length :]
    return Link(address.decode("utf-8", "surrogatepass"), name.decode(), made)
