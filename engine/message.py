"""A message: one envelope and one content, frozen; a change is a copy."""

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from types import MappingProxyType
from typing import Protocol, Self, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from engine.mime.folding import folded
from engine.mime.words import decoded
from engine.protocols.orcpt import orcpt, orcpt_address
from engine.protocols.timing import UNTIMED, Timing

Fact: TypeAlias = "str | int | float | bool | list[Fact] | dict[str, Fact] | None"

HEADER_LIMIT = 256 * 1024
"""Octets of content that are searched for the header section; more header than this is nobody's letter."""

EDITED = "sieve.edited"
"""The fact that a script has changed the header section of what it sends on: `sign` does not sign it for its author."""

PARK = "quarantine.reason"
"""The fact by which a stage parks a message that first goes through what is left of the lane before `queue`; behind
`queue` it is parked at once. Its value is the reason."""

PARKED_BY = "quarantine.stage"
"""The fact that says which stage has parked a message, or wanted to."""

ON_TRIAL = "revision.on_trial"
"""The fact that says by which revision of the configuration a message came in, if that was only tried on a share."""

TENANT, CAMPAIGN = "tenant.name", "tenant.campaign"
"""The facts that say whose mail it is, and which of its sendings it belongs to."""

SITE = "resolve.site"
"""The fact that names together all servers which a message may go to next."""

NEXT_HOP = "queue.next_hop"
"""The fact that names the server, "host" or "host:port", that an operator sends a message to."""

RELEASED = "quarantine.released"
"""The fact that an operator lets a message go on that was parked for the reason which is its value."""

CHANGED = "content.changed"
"""The fact that a stage has changed the content: a digest, by which copies with different changes are told apart."""

JOURNAL = "journal.to"
"""The fact that says who gets a copy of a message before it is stored: a list of tables with `to`, `from`, `rules`."""

JUNK = "scan.junk"
"""The fact that a scanner takes a message for spam, though not so surely that it is refused: it goes into Junk."""

UNSTORED = "queue.unstored"
"""The fact that a message is not in the queue yet, while its client waits: nothing may come of it but its delivery."""

_NO_FACTS: Mapping[str, Fact] = MappingProxyType({})
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_PRINTED = 8192
_printed: dict[bytes, str] = {}  # a cache of functools would take a copy of each id, for more than the look-up takes
_FOLD = re.compile(rb"\r?\n(?=[ \t])")
_BREAK = re.compile(rb"\r\n?|\n")
_WHOLE_FIELD = re.compile(rb"[!-9;-~]+:(?>(?:[^\r\n\0]++|\r\n[ \t])*)\r\n")


class MessageId(bytes):
    """16 octets that sort by time: 48 bits of Unix milliseconds, then 80 random bits; printed as 26 characters."""

    __slots__ = ()

    @classmethod
    def new(cls, now: float | None = None) -> Self:
        milliseconds = int((time.time() if now is None else now) * 1000)
        return cls(milliseconds.to_bytes(6, "big") + os.urandom(10))

    @classmethod
    def parse(cls, text: str) -> Self:
        """The id printed as ``text``; ValueError when it is none."""
        number = 0
        for character in text.upper():
            number = number * 32 + _ALPHABET.index(character)
        if len(text) != 26 or number >> 128:
            raise ValueError(f"{text!r} is no message id")
        return cls(number.to_bytes(16, "big"))

    @property
    def time(self) -> float:
        """Unix time at which the id was made, in seconds."""
        return int.from_bytes(self[:6], "big") / 1000

    def __str__(self) -> str:
        return _printed.get(self) or _print(self)


def _print(identity: bytes) -> str:
    """Each id is printed several times while its message is under way, so some texts are kept."""
    number = int.from_bytes(identity, "big")
    if len(_printed) >= _PRINTED:
        _printed.clear()
    text = _printed[identity] = "".join([_PAIRS[number >> shift & 1023] for shift in range(120, -1, -10)])
    return text


class Content(Protocol):
    """Octets that never change: those received, or those that a stage has made of them."""

    @property
    def size(self) -> int:
        """Length in octets."""
        ...

    def chunks(self) -> Iterator[bytes]:
        """The octets from the start, in pieces of bounded size."""
        ...


class Octets(bytes):
    """Content that is small enough to be held in memory."""

    __slots__ = ()

    @property
    def size(self) -> int:
        return len(self)

    def chunks(self) -> Iterator[bytes]:
        yield self


class Recipient(Struct, frozen=True, gc=False):
    """One address that the message goes to, with what the sender asked for it (RFC 3461)."""

    address: str
    notify: str = ""  # "NEVER", or a comma list of SUCCESS, FAILURE, DELAY; empty: failure and delay
    original: str = ""  # ORCPT as given, "rfc822;user@example.org", or that of the address that an alias changed
    lane: str = ""  # the lane that `route` picked

    @property
    def original_address(self) -> str:
        """That of ``original``, or empty."""
        return orcpt_address(self.original)

    @property
    def orcpt(self) -> str:
        """The ORCPT of recipients that stand for this one: it keeps the first name (RFC 3461 5.2.7)."""
        return self.original or orcpt(self.address)


class Session(Struct, frozen=True, gc=False):
    """What is known of the connection that brought the message."""

    peer: str = ""  # IP address
    helo: str = ""
    protocol: str = "ESMTP"  # RFC 3848: ESMTP, ESMTPS, ESMTPA, ESMTPSA, SMTP, UTF8SMTP…
    tls: str = ""  # "TLSv1.3 TLS_AES_256_GCM_SHA384", or empty
    login: str = ""  # account that authenticated
    trusted: bool = False  # from relay_networks or logged in


class Envelope(Struct, frozen=True):
    """Sender, recipients, how they came, and what stages found out."""

    sender: str  # empty: the null reverse-path of a bounce
    recipients: tuple[Recipient, ...]
    session: Session = Session()
    facts: Mapping[str, Fact] = _NO_FACTS
    prepended: bytes = b""  # header fields put before the content, newest first, with CRLF
    arrived: float = 0.0  # Unix time in seconds
    attempts: int = 0  # attempts that have ended, this one not counted
    smtputf8: bool = False  # RFC 6531 was asked for
    body: str = "7BIT"  # 7BIT, 8BITMIME or BINARYMIME as declared
    ret: str = ""  # RFC 3461: FULL or HDRS
    envid: str = ""  # RFC 3461
    left_out: tuple[tuple[int, int], ...] = ()  # octets of the content that do not go on: (from, to), in order
    requiretls: bool = False  # RFC 8689: it goes on under verified TLS alone
    timing: Timing = UNTIMED

    @property
    def begun(self) -> float:
        """Unix time in seconds from which its age counts: what is held for a time is not old when it is released."""
        return max(self.arrived, self.timing.release)


class Message(Struct, frozen=True):
    """What a stage takes. Frozen: every ``with_…`` returns a changed copy."""

    id: MessageId
    envelope: Envelope
    content: Content

    def __repr__(self) -> str:
        return f"Message({self.id}, {self.envelope})"  # without the content

    @property
    def sender(self) -> str:
        return self.envelope.sender

    @property
    def recipients(self) -> tuple[str, ...]:
        recipients = self.envelope.recipients
        if len(recipients) == 1:  # as nearly always, and asked for a dozen times while it is under way
            return (recipients[0].address,)
        return tuple([recipient.address for recipient in recipients])

    @property
    def session(self) -> Session:
        return self.envelope.session

    @property
    def size(self) -> int:
        """Octets of the whole message, as ``chunks`` gives it."""
        size = len(self.envelope.prepended) + self.content.size
        left_out = self.envelope.left_out
        return size - sum(end - start for start, end in left_out) if left_out else size

    def fact(self, name: str, default: Fact = None) -> Fact:
        return self.envelope.facts.get(name, default)

    def header(self, name: str) -> str | None:
        """The first header field of that name, unfolded and decoded (RFC 2047), or None."""
        return next(self._fields(name), None)

    def headers(self, name: str) -> list[str]:
        """Every header field of that name, topmost first, unfolded and decoded."""
        return list(self._fields(name))

    def header_octets(self) -> bytes:
        """The raw header section without the empty line that ends it (at most HEADER_LIMIT octets of content)."""
        return self.envelope.prepended + _header_section(self._kept())

    def chunks(self) -> Iterator[bytes]:
        """The whole message as octets: our own header fields, then the content without what is left out of it."""
        if self.envelope.prepended:
            yield self.envelope.prepended
        yield from self._kept()

    def _kept(self) -> Iterator[bytes]:
        chunks, left_out = self.content.chunks(), self.envelope.left_out
        return _without(chunks, left_out) if left_out else chunks

    def with_header(self, name: str, value: str) -> "Message":
        """A copy with one more header field on top. ValueError for a name or value that is no header field."""
        if not re.fullmatch(r"[!-9;-~]+", name):
            raise ValueError(f"{name!r} is no header field name (RFC 5322 2.2)")
        if re.search(r"[\r\n\0]", value):
            raise ValueError("a header value must not hold a line break")
        return self.with_field(f"{name}: {value}\r\n".encode())

    def with_field(self, field: bytes) -> "Message":
        """A copy with one more header field on top, whole and folded as it is. ValueError if it is none."""
        if not _WHOLE_FIELD.fullmatch(field):
            raise ValueError("a header field is a name, a colon, and lines of which each but the first is folded")
        return self._changed(prepended=field + self.envelope.prepended)

    def without_fields(self, name: str, is_unwanted: Callable[[str], bool]) -> "Message":
        """A copy that goes on without the header fields of that name whose value, unfolded, is unwanted.

        The content stays as it is: what is left out of it is noted in the envelope. The same message where nothing is
        unwanted.
        """
        section, within = _header_section(self.content.chunks()), name.lower().encode()
        # By ``find``: before ``in`` looks, it takes what is looked for as a number, and catches the error.
        if section.lower().find(within) < 0 and self.envelope.prepended.lower().find(within) < 0:
            return self  # as nearly always: the expressions below take ten times as long to find that out
        pattern = _pattern(name)
        prepended = pattern.sub(
            lambda match: b"" if is_unwanted(_unfolded(match[1])) else match[0], self.envelope.prepended
        )
        found = [match.span() for match in pattern.finditer(section) if is_unwanted(_unfolded(match[1]))]
        left_out = _joined({*self.envelope.left_out, *found})
        if prepended == self.envelope.prepended and left_out == self.envelope.left_out:
            return self
        return self._changed(prepended=prepended, left_out=left_out)

    def with_content(self, octets: bytes) -> "Message":
        """A copy whose whole octets, header section and body, are these: what ``chunks`` gives, changed.

        Our own header fields stay apart from the content where the octets still begin with them. A CR or LF alone
        becomes CRLF, as all that goes on by SMTP has it (RFC 5321 2.3.8). The same message where nothing is changed.
        """
        octets = _with_whole_breaks(octets)
        if len(octets) == self.size and octets == b"".join(self.chunks()):
            return self
        prepended = self.envelope.prepended if octets.startswith(self.envelope.prepended) else b""
        envelope = replace(
            self.envelope,
            prepended=prepended,
            left_out=(),
            facts=MappingProxyType({**self.envelope.facts, CHANGED: blake2b(octets, digest_size=16).hexdigest()}),
            body="8BITMIME" if self.envelope.body == "7BIT" and not octets.isascii() else self.envelope.body,
        )
        return replace(self, envelope=envelope, content=Octets(octets[len(prepended) :]))

    def with_sole_header(self, name: str, value: str) -> "Message":
        """A copy with one header field of that name in place of all that there were, encoded and folded as it must be.

        Where the value has addresses, names with more than ASCII are for the caller to encode. ValueError for a name
        that is none.
        """
        return self.without_fields(name, lambda _: True).with_field(folded(name, value))

    def with_sender(self, sender: str) -> "Message":
        """A copy that goes on from another address. A bounce of ours still goes to the one that is in the queue."""
        return self._changed(sender=sender)

    def with_fact(self, name: str, value: Fact) -> "Message":
        return self._changed(facts=MappingProxyType({**self.envelope.facts, name: value}))

    def with_facts(self, facts: Mapping[str, Fact]) -> "Message":
        return self._changed(facts=MappingProxyType({**self.envelope.facts, **facts}))

    def _changed(self, **changes: object) -> "Message":
        return replace(self, envelope=replace(self.envelope, **changes))

    def _fields(self, name: str) -> Iterator[str]:
        for match in _pattern(name).finditer(self.header_octets()):
            yield decoded(_unfolded(match[1]))


@lru_cache(maxsize=64)
def _pattern(name: str) -> re.Pattern[bytes]:
    """All header fields of that name, with the line break at their end."""
    return re.compile(
        rb"^" + re.escape(name.encode()) + rb"[ \t]*:(.*(?:\r?\n[ \t].*)*)(?:\n|\Z)", re.IGNORECASE | re.MULTILINE
    )


def _with_whole_breaks(octets: bytes) -> bytes:
    whole = octets.count(b"\r\n")
    return octets if octets.count(b"\n") == octets.count(b"\r") == whole else _BREAK.sub(b"\r\n", octets)


def _without(chunks: Iterator[bytes], left_out: Sequence[tuple[int, int]]) -> Iterator[bytes]:
    place = 0
    for chunk in chunks:
        kept_from = 0
        if place < left_out[-1][1]:
            for start, end in left_out:
                first, last = max(start - place, kept_from), min(end - place, len(chunk))
                if first < last:
                    if kept_from < first:
                        yield chunk[kept_from:first]
                    kept_from = last
        if kept_from < len(chunk):
            yield chunk[kept_from:]
        place += len(chunk)


def _joined(ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """The same octets in as few ranges as there can be, in order."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return tuple(joined)


def end_of_header(octets: bytes, limit: int = HEADER_LIMIT) -> int | None:
    """Where the empty line begins that ends the header section, within the first ``limit`` octets."""
    if octets.startswith(b"\r\n"):
        return 0
    end = octets.find(b"\r\n\r\n", 0, limit)
    return None if end < 0 else end + 2


def _header_section(chunks: Iterator[bytes]) -> bytes:
    gathered = b""
    for chunk in chunks:
        gathered += chunk
        end = end_of_header(gathered)
        if end is not None:
            return gathered[:end]
        if len(gathered) >= HEADER_LIMIT:
            break
    return gathered[:HEADER_LIMIT]


def _unfolded(raw: bytes) -> str:
    return _FOLD.sub(b"", raw).strip().decode("utf-8", "replace")
