"""What the index keeps of one content, and how it is computed.

It is of the content alone, which messages of many accounts share, without the heading of each delivery. A heading has
only trace fields (``engine.mailbox.rows.MessageRow``), so ENVELOPE and BODYSTRUCTURE are the same with it; offsets are
not: see ``placed``.
"""

from collections.abc import Collection, Iterable
from itertools import islice
from typing import NamedTuple

import msgspec

from engine.mailbox import Mailboxes
from engine.mime.bodystructure import body, bodystructure
from engine.mime.digest import Digest, between, digest
from engine.mime.fields import only
from engine.mime.part import Part

LEFT_OUT = frozenset({
    b"received", b"dkim-signature", b"authentication-results", b"arc-seal", b"arc-message-signature",
    b"arc-authentication-results", b"x-google-dkim-signature", b"x-gm-message-state", b"x-google-smtp-source",
    b"x-received", b"received-spf", b"domainkey-signature", b"x-ms-exchange-antispam-messagedata",
    b"x-microsoft-antispam-message-info", b"x-ms-exchange-antispam-messagedata-0",
    b"x-forefront-antispam-report", b"x-microsoft-antispam", b"x-sg-eid", b"x-sg-id",
})  # fmt: skip
"""Header fields, in lower case, that are not kept: they take most of a header section, and no client asks for them."""

HEADER_LIMIT = 8 * 1024
"""Octets that are kept of a header section; a longer one is read from the message."""

_WHOLE, _PICKED = b"\1", b"\0"

SECTION = 64 * 1024
"""Octets of a header section of which what is kept is looked for."""

HELD = 8
"""Pieces of 64 KiB of a content that are held in memory to be looked at twice; larger content is read twice."""


class Row(NamedTuple):
    """Of one content."""

    digest: Digest
    header: bytes  # the header section, whole, or without LEFT_OUT: as it is stored

    @property
    def envelope(self) -> bytes:
        """ENVELOPE as IMAP sends it."""
        return self.digest.message.envelope

    @property
    def structure(self) -> bytes:
        """BODYSTRUCTURE as IMAP sends it."""
        return bodystructure(self.digest.message)

    @property
    def body(self) -> bytes:
        """BODY as IMAP sends it."""
        return body(self.digest.message)


class Octets:
    """A content that is read several times: small ones are held in memory. MessageGone, at any time."""

    def __init__(self, mailboxes: Mailboxes, key: bytes) -> None:
        self._mailboxes = mailboxes
        self._key = key
        held = list(islice(mailboxes.content(key), HELD + 1))
        self.held = b"".join(held) if len(held) <= HELD else None

    def chunks(self) -> Iterable[bytes]:
        return self._mailboxes.content(self._key) if self.held is None else (self.held,)

    def between(self, start: int, end: int) -> Iterable[bytes]:
        """The octets ``start:end``; of what is not held all before them is read too."""
        return between(self.chunks(), start, end)


def computed(mailboxes: Mailboxes, account: int, mailbox: int, uid: int, received: float) -> Row:
    """What the index will say of a message. ``received`` is its INTERNALDATE in Unix seconds. MessageGone."""
    return row_of(Octets(mailboxes, mailboxes.content_of(account, mailbox, uid)), received)


def row_of(octets: Octets, received: float) -> Row:
    """The same of a content. MessageGone."""
    found = digest(octets.chunks, received)
    end = found.message.body
    return Row(found, stored_header(b"".join(octets.between(0, end))) if end <= SECTION else b"")


def stored_header(section: bytes) -> bytes:
    """A header section as the index keeps it; empty where it is too long."""
    kept = only(section, LEFT_OUT, negate=True)
    octets = (_WHOLE if kept == section else _PICKED) + kept
    return octets if len(octets) <= HEADER_LIMIT else b""


def headers(stored: Iterable[bytes | None], names: Collection[bytes]) -> list[bytes | None]:
    """Of what is stored, enough to pick the fields of these names, or without names all; None where it is not there.

    Names are in lower case.
    """
    if names and LEFT_OUT.isdisjoint(names):
        return [octets[1:] if octets else None for octets in stored]
    return [octets[1:] if octets and octets[:1] == _WHOLE else None for octets in stored]


def placed(found: Digest, heading: int) -> Digest:
    """The digest of a message whose content comes behind a heading of so many octets.

    That is the message's size less ``found.message.end``.
    """
    return msgspec.structs.replace(found, message=_moved(found.message, heading, start=0)) if heading else found


def _moved(part: Part, by: int, *, start: int) -> Part:
    parts = tuple([_moved(inner, by, start=inner.start + by) for inner in part.parts])
    return msgspec.structs.replace(part, start=start, body=part.body + by, end=part.end + by, parts=parts)
