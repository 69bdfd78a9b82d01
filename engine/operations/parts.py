"""The parts of a message in the queue: which there are, and one of them by itself."""

from collections.abc import Iterable, Iterator

import msgspec

from engine.config import Basis
from engine.message import MessageId
from engine.mime.parameters import value_of
from engine.mime.part import Part
from engine.mime.sections import Range, numbered, numbers, parse, section
from engine.mime.structure import structure
from engine.mime.transfer import decoded
from engine.operations.queue import content


class PartRow(msgspec.Struct, frozen=True):
    """A part as it is listed. ``number``: as IMAP counts (RFC 9051 6.4.5.1); ``size``: octets as it is encoded."""

    number: str
    type: str
    name: str
    size: int


class NoSuchPart(Exception):
    """The message has no part of that number."""


def parts(config: Basis, identity: MessageId) -> list[PartRow] | None:
    """All that are no multipart themselves; None when the message is not there. StorageError."""
    chunks = content(config, identity)
    if chunks is None:
        return None
    return [
        PartRow(number, part.media.decode("ascii", "replace"), _name(part), part.size)
        for number, part in numbers(structure(chunks))
    ]


def part(config: Basis, identity: MessageId, number: str, *, raw: bool = False) -> Iterator[bytes] | None:
    """The octets of one in chunks; None when the message is not there. NoSuchPart, StorageError.

    ``raw``: as they stand in the message, in their transfer encoding.
    """
    chunks, again = content(config, identity), content(config, identity)
    if chunks is None or again is None:
        return None
    whole = structure(chunks)
    asked = parse(number)
    where = section(whole, asked) if asked is not None and asked.numbers and not asked.text else None
    if asked is None or where is None:
        known = ", ".join(one for one, _ in numbers(whole))
        raise NoSuchPart(f"{identity} has no part {number}; there are {known}")
    found = numbered(whole, asked.numbers)
    assert found is not None
    return _cut(again, where) if raw else decoded(_cut(again, where), found.encoding)


def _cut(chunks: Iterable[bytes], where: Range) -> Iterator[bytes]:
    place = 0
    for chunk in chunks:
        if place >= where.end:
            return
        if piece := chunk[max(where.start - place, 0) : where.end - place]:
            yield piece
        place += len(chunk)


def _name(part: Part) -> str:
    """That of the file that it is, decoded (RFC 2183 2.3, RFC 2231)."""
    given = value_of(part.details.disposition_parameters, b"filename") if part.details else ""
    return given or value_of(part.parameters, b"name")
