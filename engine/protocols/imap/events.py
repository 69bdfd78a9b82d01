"""What an IMAP server learns from its client, one frozen value each; ``Event`` is any of them."""

from typing import Final, TypeAlias

from msgspec import Struct

from engine.protocols.imap.append import AppendEvent
from engine.protocols.imap.table import Command
from engine.protocols.sasl import Question


class NeedData(Struct, frozen=True):
    """Nothing more can be said before more octets are received. The moment to send ``outgoing()``."""


class Request(Struct, frozen=True):
    """*Decide*: a command. ``send`` what it asks for, then ``ok``, ``no`` or ``bad``."""

    tag: bytes
    command: Command


class Auth(Struct, frozen=True):
    """*Decide*: somebody wants to log in. ``authenticated`` or ``no``; ``take_keys`` where it asks ``KeysWanted``."""

    question: Question


class IdleBegin(Struct, frozen=True):
    """``send`` news as they come, at once and then whenever there are any, until ``IdleEnd`` (RFC 9051 6.3.13)."""


class IdleEnd(Struct, frozen=True):
    """IDLE is over, and has been answered."""


class ContentPart(Struct, frozen=True):
    """Octets of the literal of which ``ContentBegin`` told. ``no`` may be said here, on a disk that is full."""

    octets: bytes


class AppendAborted(Struct, frozen=True):
    """The client broke the rules amid an APPEND: throw away what was gathered. It has been answered."""


class TlsBegins(Struct, frozen=True):
    """The OK is queued: send it, shake hands, call ``tls_started``; where that fails, close."""


class CompressionBegins(Struct, frozen=True):
    """The OK is queued: send it, then deflate what goes and inflate what comes (RFC 4978)."""


class Closed(Struct, frozen=True):
    """Send what is outgoing and close. Every later event is this one."""


class Disconnected(Struct, frozen=True):
    """The client has gone, and every later event is this one. A command that was under way has come to nothing."""


NEED_DATA: Final = NeedData()

Event: TypeAlias = (
    NeedData
    | Request
    | Auth
    | IdleBegin
    | IdleEnd
    | AppendEvent
    | ContentPart
    | AppendAborted
    | TlsBegins
    | CompressionBegins
    | Closed
    | Disconnected
)
