"""Signed words about one parked message: whoever has one may let that message go on, or delete it, for one recipient.

A token is sealed (`engine.protocols.sealed`), and says: a version, the action, until when it is good, the message's id,
the recipient.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from engine.message import MessageId
from engine.protocols.sealed import Expired, Forged, opened, sealed

Action: TypeAlias = Literal["release", "delete"]

_ACTIONS: tuple[Action, ...] = ("release", "delete")
_HEAD = struct.Struct(">BBQ16s")  # version, action, Unix seconds, message id
_VERSION = 1
_PURPOSE = b"postroad quarantine\0"  # so that what the secret signs elsewhere is good for nothing here


@dataclass(frozen=True, slots=True)
class Link:
    """What a token says."""

    action: Action
    identity: MessageId
    recipient: str  # as it stands in the envelope
    expires: int  # Unix seconds


def sign(link: Link, secrets: Sequence[bytes]) -> str:
    """The token, made with the first of the secrets."""
    head = _HEAD.pack(_VERSION, _ACTIONS.index(link.action), link.expires, link.identity)
    said = head + link.recipient.encode("utf-8", "surrogatepass")
    return sealed(said, _PURPOSE, secrets)


def verify(token: str, secrets: Sequence[bytes], now: float) -> Link:
    """What the token says. Forged, Expired. Any of the secrets may have signed it."""
    said = opened(token, _PURPOSE, secrets)
    if len(said) < _HEAD.size:
        raise Forged("this token is not whole")
    version, action, expires, identity = _HEAD.unpack_from(said)
    if version != _VERSION:
        raise Forged("this token was made by another release")
    if now > expires:
        raise Expired("this token is too old")
    recipient = said[_HEAD.size :].decode("utf-8", "surrogatepass")
    return Link(_ACTIONS[action], MessageId(identity), recipient, expires)
