"""What is noted of a message: an entry for each thing that happened to it."""

import re
import time
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct

from engine.message import HEADER_LIMIT, Message, Octets, Recipient, Session, end_of_header
from engine.storage.environment import StorageError
from engine.verdict import Defer, Delivered, Discard, Quarantine, Reject, Verdict

FORMAT = 1
"""Version of the entries. A store of another version is left alone until it is too old."""

Step: TypeAlias = "tuple[Any, ...]"
"""A stage that was met: its name, what it decided, milliseconds; then what else it did, and the worker, if not ours."""


class Leg(Struct, frozen=True, array_like=True, gc=False):
    """A part of a lane that one worker has taken a message through."""

    ended: float  # Unix time
    name: str
    to: tuple[str, ...] = ()  # for whom, from here on; empty: for whom it was before
    steps: list[Any] = []


class Outcome(Struct, frozen=True, array_like=True, gc=False):
    """What became of one recipient at one attempt."""

    to: str
    what: str  # delivered, deferred, failed, discarded, parked, held, expanded
    code: str = ""  # RFC 3463
    text: str = ""
    log: str = ""
    reply: str = ""  # the remote server's own
    remote: str = ""  # that server
    source: str = ""
    again: float = 0.0  # seconds
    line: str = ""
    original: str = ""  # the address that the sender gave, where an alias stands for others


class Entry(Struct, frozen=True, array_like=True, gc=False):
    """One thing that happened, at a Unix time, to the message with that id (empty: it never was one)."""

    id: bytes
    time: float

    @property
    def texts(self) -> Iterable[str]:
        """Addresses and the Message-ID, by which it is found."""
        return ()

    @property
    def ids(self) -> Iterable[bytes]:
        """Of the messages that it is about."""
        return (self.id,)


class Arrived(Entry, frozen=True, array_like=True, gc=False, tag=1):
    """A client has had its answer to a message."""

    began: float
    what: str  # accepted, refused, put-off, discarded
    lane: str
    revision: int
    sender: str
    to: tuple[str, ...]
    size: int
    header_id: str = ""
    session: tuple[str, ...] = ()  # peer, helo, protocol, tls, login
    text: str = ""
    log: str = ""
    legs: tuple[Leg, ...] = ()
    refused: tuple[Outcome, ...] = ()  # recipients whose sender was told by a report

    @property
    def texts(self) -> Iterable[str]:
        return (self.header_id, self.sender, *self.to)


class Attempted(Entry, frozen=True, array_like=True, gc=False, tag=2):
    """An attempt has ended: what came of it, and what is next."""

    began: float
    number: int
    revision: int
    sender: str
    legs: tuple[Leg, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    state: str = ""  # of what is left; empty: nothing is
    due: float = 0.0
    line: str = ""

    @property
    def texts(self) -> Iterable[str]:
        return [outcome.to for outcome in self.outcomes]


class Born(Entry, frozen=True, array_like=True, gc=False, tag=3):
    """A message has come of another one."""

    parent: bytes
    why: str
    sender: str
    to: tuple[str, ...]
    size: int = 0
    header_id: str = ""

    @property
    def texts(self) -> Iterable[str]:
        return (self.header_id, self.sender, *self.to)

    @property
    def ids(self) -> Iterable[bytes]:
        return (self.id, self.parent)


class Sent(Entry, frozen=True, array_like=True, gc=False, tag=4):
    """A server was spoken to about a message, or could not be."""

    began: float
    to: tuple[str, ...]
    site: str
    host: str
    address: str
    source: str = ""
    tls: str = ""
    policy: str = ""  # what was wanted of TLS
    replies: tuple[str, ...] = ()  # to each recipient, or one for all
    trouble: str = ""
    reply: str = ""  # that came with the trouble
    attempt: int = 0


class Placed(Entry, frozen=True, array_like=True, gc=False, tag=5):
    """A message was put into mailboxes of ours."""

    to: str
    account: int
    places: tuple[str, ...]
    what: str
    scripted: bool = False

    @property
    def texts(self) -> Iterable[str]:
        return (self.to,)


class Noted(Entry, frozen=True, array_like=True, gc=False, tag=6):
    """Something was done about a message in the queue."""

    what: str
    text: str = ""
    to: tuple[str, ...] = ()


class TurnedAway(Entry, frozen=True, array_like=True, gc=False, tag=7):
    """A client was refused before it had sent a message."""

    peer: str
    helo: str
    login: str
    sender: str
    to: tuple[str, ...]
    code: str
    text: str
    log: str = ""

    @property
    def texts(self) -> Iterable[str]:
        return (self.sender, *self.to)


Happened: TypeAlias = Arrived | Attempted | Born | Sent | Placed | Noted | TurnedAway


def _plain(value: object) -> object:
    """What the encoder does not know: kinds of our own of octets, numbers and tables, such as an id or a duration."""
    if isinstance(value, bytes):
        return bytes(value)
    if isinstance(value, float | int):
        return float(value) if isinstance(value, float) else int(value)
    return dict(value) if isinstance(value, Mapping) else str(value)


encode = msgspec.msgpack.Encoder(enc_hook=_plain).encode
decode = msgspec.msgpack.Decoder(list[Happened]).decode


_FIELD = re.compile(rb"message-id[ \t]*:(?:[ \t]|\r?\n[ \t])*([^\r\n]{1,998})", re.IGNORECASE)


def header_id(message: Message) -> str:
    """What stands in its Message-ID field; nothing where there is none, or the content cannot be read."""
    content = message.content
    try:
        begin = content if isinstance(content, Octets) else next(content.chunks(), b"")
    except StorageError:
        return ""
    end = end_of_header(begin)
    return _id_in(message.envelope.prepended) or _id_in(begin[: HEADER_LIMIT if end is None else end])


def _id_in(fields: bytes) -> str:
    # Where a field begins is found by ``find``: an expression over lines takes three times as long.
    place = (b"\n" + fields.lower()).find(b"\nmessage-id")
    found = _FIELD.match(fields, place) if place >= 0 else None
    return found[1].strip().decode("utf-8", "replace") if found else ""


def session_of(session: Session) -> tuple[str, ...]:
    """How a message came: address, HELO, protocol, TLS, login."""
    return session.peer, session.helo, session.protocol, session.tls, session.login


def born(message: Message, parent: bytes, why: str) -> Born:
    """That a message has come of the one with that id."""
    return Born(
        message.id, time.time(), parent, why, message.sender, message.recipients, message.size, header_id(message)
    )


def outcome_of(recipient: Recipient, verdict: Verdict) -> Outcome:
    """What became of a recipient, as it is noted."""
    to, original = recipient.address, recipient.original and recipient.original_address
    if isinstance(verdict, Delivered):  # as nearly always
        what = "expanded" if verdict.tell == "expanded" else "delivered"
        return Outcome(to, what, "", "", "", verdict.reply, verdict.remote, "", 0.0, "", original)
    match verdict:
        case Defer(text, code, log, again, reply, remote):
            return Outcome(
                to, "held" if verdict.line else "deferred", code, text, log, reply, remote, verdict.source,
                again or 0.0, verdict.line, original,
            )  # fmt: skip
        case Reject(text, code, log, reply, remote, source):
            return Outcome(to, "failed", code, text, log, reply, remote, source, original=original)
        case Discard(reason):
            return Outcome(to, "discarded", text=reason, original=original)
        case Quarantine(reason, stage):
            return Outcome(to, "parked", text=reason, log=stage, original=original)
    return Outcome(to, "passed", original=original)
