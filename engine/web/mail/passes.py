"""Addresses that open one thing without a session, for a while: what a frame of no origin can ask for.

The frame in which a letter stands has no origin, so its pictures are asked for without cookies. Their addresses carry
what may be seen, in which session, and a MAC by a key that only the web processes have. Whether the session is still
there, and its account may still read the mailbox, is looked at each time.
"""

import base64
import hashlib
import hmac
import time
from typing import Final

import msgspec

LASTS: Final = 3600
"""Seconds: pictures are asked for as soon as the letter is opened; who opens it again gets new passes."""

LONGEST: Final = 8 * 1024
"""Characters of a pass."""

_MAC: Final = 16


class PartPass(msgspec.Struct, frozen=True, array_like=True, tag="p"):
    """A picture that is a part of a message."""

    until: int  # Unix seconds
    session: bytes  # the id of that in which it was given
    account_of: int  # whose mailbox it is
    mailbox: int
    uid: int
    numbers: tuple[int, ...]


class RemotePass(msgspec.Struct, frozen=True, array_like=True, tag="r"):
    """A picture elsewhere, which somebody has asked to see."""

    until: int
    session: bytes
    address: str


_encode = msgspec.msgpack.Encoder().encode
_decoder: msgspec.msgpack.Decoder[PartPass | RemotePass] = msgspec.msgpack.Decoder(PartPass | RemotePass)


class Passes:
    """Makes them, and tells true ones from others. ``key``: 32 octets."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @staticmethod
    def until() -> int:
        """When a pass that is made now runs out."""
        return int(time.time()) + LASTS

    def made(self, one: PartPass | RemotePass) -> str:
        octets = _encode(one)
        return base64.urlsafe_b64encode(self._mac(octets) + octets).rstrip(b"=").decode()

    def read(self, text: str) -> PartPass | RemotePass | None:
        """None: it is none of ours, or has run out."""
        if len(text) > LONGEST:
            return None
        try:
            octets = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            mac, octets = octets[:_MAC], octets[_MAC:]
            if not hmac.compare_digest(mac, self._mac(octets)):
                return None
            found = _decoder.decode(octets)
        except (ValueError, msgspec.DecodeError):
            return None
        return found if found.until > time.time() else None

    def _mac(self, octets: bytes) -> bytes:
        return hmac.digest(self._key, octets, hashlib.sha256)[:_MAC]
