"""What an SMTP server learns from its client, one frozen value each; ``Event`` is any of them.

Events marked *decide* want ``accept`` or ``refuse`` (``Auth``: ``authenticated`` or ``refuse``) before the next event.
"""

from typing import Final, TypeAlias

from msgspec import Struct

from engine.protocols.address import Address
from engine.protocols.sasl import Question


class NeedData(Struct, frozen=True, gc=False):
    """Nothing more can be said before more octets are received. The moment to send ``outgoing()``."""


class Hello(Struct, frozen=True, gc=False):
    """HELO or EHLO, already answered. Whatever transaction was open has ended without a message."""

    name: str
    extended: bool  # EHLO


class Mail(Struct, frozen=True, gc=False):
    """*Decide*: a transaction with this sender."""

    sender: Address  # empty: the null reverse-path
    size: int | None  # octets as declared, never over the limit (RFC 1870)
    body: str  # 7BIT or 8BITMIME; 7BIT where nothing was declared (RFC 6152)
    smtputf8: bool  # RFC 6531
    ret: str  # FULL, HDRS or empty (RFC 3461 4.3)
    envid: str  # xtext as given, or empty (RFC 3461 4.4)
    auth: str  # xtext as given, "<>", or empty; nothing vouches for it (RFC 4954 5)
    requiretls: bool = False  # RFC 8689 2


class Rcpt(Struct, frozen=True, gc=False):
    """*Decide*: one more recipient."""

    recipient: Address
    notify: str  # "NEVER", a comma list of SUCCESS, FAILURE, DELAY, or empty (RFC 3461 4.1)
    original: str  # "rfc822;xtext" as given, or empty (RFC 3461 4.2)


class ContentBegin(Struct, frozen=True, gc=False):
    """*Decide*: content is about to come, for the recipients that were accepted.

    ``accept`` queues the 354, or says nothing yet where the content comes by BDAT. To refuse under DATA keeps the
    transaction; under BDAT its chunks are still read, and thrown away.
    """


class Content(Struct, frozen=True, gc=False):
    """*Decide*: the whole content at once; no ``ContentPart`` came before and no ``ContentEnd`` follows."""

    data: bytes


class ContentPart(Struct, frozen=True, gc=False):
    """Some of the content, dots unstuffed. More parts and ``ContentEnd`` follow, or ``Reset`` if it is refused."""

    data: bytes


class ContentEnd(Struct, frozen=True, gc=False):
    """*Decide*: the content is whole; its parts have ``size`` octets together."""

    size: int


class Reset(Struct, frozen=True, gc=False):
    """The transaction has ended without a message, by RSET, or since the protocol itself refused the content.

    ``reply`` is the refusal that was queued, for the log; empty after RSET. Throw away what was gathered.
    """

    reply: str = ""


class StartTls(Struct, frozen=True, gc=False):
    """The 220 is queued: send it, shake hands, call ``tls_started``; where that fails, close."""


class Auth(Struct, frozen=True, gc=False):
    """*Decide*, or answer ``KeysWanted`` by ``take_keys``: somebody wants to log in."""

    question: Question


class Quit(Struct, frozen=True, gc=False):
    """The 221 is queued: send it and close."""


class Disconnected(Struct, frozen=True, gc=False):
    """The session is over, and every later event is this one. A transaction that was open has come to nothing."""


class TooManyErrors(Struct, frozen=True, gc=False):
    """The 421 is queued: send it and close."""


NEED_DATA: Final = NeedData()
CONTENT_BEGIN: Final = ContentBegin()

Event: TypeAlias = (
    NeedData
    | Hello
    | Mail
    | Rcpt
    | ContentBegin
    | Content
    | ContentPart
    | ContentEnd
    | Reset
    | StartTls
    | Auth
    | Quit
    | Disconnected
    | TooManyErrors
)
