"""What an SMTP server learns from its client, one frozen value each; ``Event`` is any of them.

Events marked *decide* want ``accept`` or ``refuse`` (``Auth``: ``authenticated`` or ``refuse``) before the next event.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias

from engine.protocols.address import Address
from engine.protocols.sasl import Credentials


@dataclass(frozen=True, slots=True)
class NeedData:
    """Nothing more can be said before more octets are received. The moment to send ``outgoing()``."""


@dataclass(frozen=True, slots=True)
class Hello:
    """HELO or EHLO, already answered. Whatever transaction was open has ended without a message."""

    name: str
    extended: bool  # EHLO


@dataclass(frozen=True, slots=True)
class Mail:
    """*Decide*: a transaction with this sender."""

    sender: Address  # empty: the null reverse-path
    size: int | None  # octets as declared, never over the limit (RFC 1870)
    body: str  # 7BIT or 8BITMIME; 7BIT where nothing was declared (RFC 6152)
    smtputf8: bool  # RFC 6531
    ret: str  # FULL, HDRS or empty (RFC 3461 4.3)
    envid: str  # xtext as given, or empty (RFC 3461 4.4)
    auth: str  # xtext as given, "<>", or empty; nothing vouches for it (RFC 4954 5)


@dataclass(frozen=True, slots=True)
class Rcpt:
    """*Decide*: one more recipient."""

    recipient: Address
    notify: str  # "NEVER", a comma list of SUCCESS, FAILURE, DELAY, or empty (RFC 3461 4.1)
    original: str  # "rfc822;xtext" as given, or empty (RFC 3461 4.2)


@dataclass(frozen=True, slots=True)
class ContentBegin:
    """*Decide*: content is about to come, for the recipients that were accepted.

    ``accept`` queues the 354, or says nothing yet where the content comes by BDAT. To refuse under DATA keeps the
    transaction; under BDAT its chunks are still read, and thrown away.
    """


@dataclass(frozen=True, slots=True)
class Content:
    """*Decide*: the whole content at once; no ``ContentPart`` came before and no ``ContentEnd`` follows."""

    data: bytes


@dataclass(frozen=True, slots=True)
class ContentPart:
    """Some of the content, dots unstuffed. More parts and ``ContentEnd`` follow, or ``Reset`` if it is refused."""

    data: bytes


@dataclass(frozen=True, slots=True)
class ContentEnd:
    """*Decide*: the content is whole; its parts have ``size`` octets together."""

    size: int


@dataclass(frozen=True, slots=True)
class Reset:
    """The transaction has ended without a message, by RSET, or since the protocol itself refused the content.

    ``reply`` is the refusal that was queued, for the log; empty after RSET. Throw away what was gathered.
    """

    reply: str = ""


@dataclass(frozen=True, slots=True)
class StartTls:
    """The 220 is queued: send it, shake hands, call ``tls_started``; where that fails, close."""


@dataclass(frozen=True, slots=True)
class Auth:
    """*Decide*: are these the credentials of an account?"""

    mechanism: str
    credentials: Credentials


@dataclass(frozen=True, slots=True)
class Quit:
    """The 221 is queued: send it and close."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The session is over, and every later event is this one. A transaction that was open has come to nothing."""


@dataclass(frozen=True, slots=True)
class TooManyErrors:
    """The 421 is queued: send it and close."""


NEED_DATA: Final = NeedData()

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
