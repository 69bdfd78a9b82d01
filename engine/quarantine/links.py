"""Signed words about one parked message: whoever has one may let that message go on, or delete it, for one recipient.

A token is base64url of: a version, the action, until when it is good, the message's id, the recipient, and 16 octets of
HMAC-SHA-256 over all of them.
"""

import base64
import binascii
import hmac
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from engine.message import MessageId

Action: TypeAlias = Literal["release", "delete"]

_ACTIONS: tuple[Action, ...] = ("release", "delete")
_HEAD = struct.Struct(">BBQ16s")  # version, action, Unix seconds, message id
_VERSION = 1
_MAC = 16
_PURPOSE = b"postroad quarantine\0"  # so that what the secret signs elsewhere is good for nothing here
_LONGEST = 1000  # characters; an address has 254 octets


@dataclass(frozen=True, slots=True)
class Link:
    """What a token says."""

    action: Action
    identity: MessageId
    recipient: str  # as it stands in the envelope
    expires: int  # Unix seconds


class Forged(Exception):
    """It was not signed here, or is damaged."""


class Expired(Exception):
    """It was good once."""


def sign(link: Link, secrets: Sequence[bytes]) -> str:
    """The token, made with the first of the secrets."""
    head = _HEAD.pack(_VERSION, _ACTIONS.index(link.action), link.expires, link.identity)
    said = head + link.recipient.encode("utf-8", "surrogatepass")
    return _text(said + _mac(secrets[0], said))


def verify(token: str, secrets: Sequence[bytes], now: float) -> Link:
    """What the token says. Forged, Expired. Any of the secrets may have signed it."""
    octets = _octets(token)
    said, mac = octets[:-_MAC], octets[-_MAC:]
    good = [hmac.compare_digest(mac, _mac(secret, said)) for secret in secrets]
    if len(said) < _HEAD.size or not any(good):
        raise Forged("this token was not made here, or is not whole")
    version, action, expires, identity = _HEAD.unpack_from(said)
    if version != _VERSION:
        raise Forged("this token was made by another release")
    if now > expires:
        raise Expired("this token is too old")
    recipient = said[_HEAD.size :].decode("utf-8", "surrogatepass")
    return Link(_ACTIONS[action], MessageId(identity), recipient, expires)


def _mac(secret: bytes, said: bytes) -> bytes:
    return hmac.digest(secret, _PURPOSE + said, "sha256")[:_MAC]


def _text(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def _octets(token: str) -> bytes:
    if len(token) > _LONGEST:
        raise Forged("this token is too long")
    try:
        octets = base64.b64decode(token.encode() + b"=" * (-len(token) % 4), b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise Forged("this is no token") from None
    if _text(octets) != token:  # the same octets have one text
        raise Forged("this is no token")
    return octets
