"""What the index keeps of one content, and how it is computed.

It is of the content alone, which messages of many accounts share, without the heading of each delivery. A heading has
only trace fields (``engine.mailbox.rows.MessageRow``), so ENVELOPE and BODYSTRUCTURE are the same with it; offsets are
not: see ``placed``.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
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

HELD = 256 * 1024
"""Octets of content that are held in memory to be looked at twice; larger content is read twice."""


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


def computed(mailboxes: Mailboxes, account: int, mailbox: int, uid: int, received: float) -> Row:
    """What the index will say of a message. ``received`` is its INTERNALDATE in Unix seconds. MessageGone."""
    return row_of(mailboxes, mailboxes.content_of(account, mailbox, uid), received)


def row_of(mailboxes: Mailboxes, content: bytes, received: float) -> Row:
    """The same by the content's key. MessageGone."""
    chunks = rereadable(lambda: mailboxes.content(content))
    found = digest(chunks, received)
    end = found.message.body
    return Row(found, stored_header(b"".join(between(chunks(), 0, end))) if end <= HELD else b"")


def rereadable(read: Callable[[], Iterable[bytes]]) -> Callable[[], Iterable[bytes]]:
    """Chunks that can be taken again and again; the first HELD octets are read but once."""
    held: list[bytes] = []
    source = iter(read())
    size, whole = 0, False
    while size < HELD:
        piece = next(source, None)
        if piece is None:
            whole = True
            break
        held.append(piece)
        size += len(piece)
    if whole:
        return lambda: held
    first = True

    def chunks() -> Iterator[bytes]:
        nonlocal first
        if first:
            first = False
            yield from held
            yield from source
        else:
            yield from read()

    return chunks


def stored_header(section: bytes) -> bytes:
    """A header section as the index keeps it; empty where it is too long."""
    kept = only(section, LEFT_OUT, negate=True)
    octets = (_WHOLE if kept == section else _PICKED) + kept
    return octets if len(octets) <= HEADER_LIMIT else b""


def header(stored: bytes, names: Collection[bytes]) -> bytes | None:
    """Of what is stored, enough to pick the fields of these names, or without names all; None where it is not there.

    Names are in lower case.
    """
    if stored[:1] == _WHOLE or (stored and names and LEFT_OUT.isdisjoint(names)):
        return stored[1:]
    return None


def placed(found: Digest, heading: int) -> Digest:
    """The digest of a message whose content comes behind a heading of so many octets.

    That is the message's size less ``found.message.end``.
    """
    return msgspec.structs.replace(found, message=_moved(found.message, heading, start=0)) if heading else found


def _moved(part: Part, by: int, *, start: int) -> Part:
    parts = tuple([_moved(inner, by, start=inner.start + by) for inner in part.parts])
    return msgspec.structs.replace(part, start=start, body=part.body + by, end=part.end + by, parts=parts)
