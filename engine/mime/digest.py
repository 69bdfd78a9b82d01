"""What a mailbox keeps beside a message, computed once at delivery."""

from collections.abc import Callable, Iterable, Iterator

import msgspec
from msgspec import Struct

from engine.mime.fields import fields
from engine.mime.part import Part
from engine.mime.preview import preview
from engine.mime.sorting import SortKeys, sort_keys
from engine.mime.structure import Scanner
from engine.mime.threads import identity_and_references

VERSION = 1
"""First octet of the stored form. A reader of another version computes it anew from the message."""


class Digest(Struct, frozen=True, array_like=True, gc=False):
    """The tree with its envelope, and what the header and the text say."""

    message: Part
    preview: str
    keys: SortKeys
    message_id: bytes  # normalised for THREAD; empty where there is none
    references: tuple[bytes, ...]  # the same, nearest last


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Digest).decode


def digest(chunks: Callable[[], Iterable[bytes]], received: float) -> Digest:
    """Of a message of any octets, whose chunks can be taken twice. ``received`` is INTERNALDATE in Unix seconds."""
    scanner = Scanner()
    for chunk in chunks():
        scanner.feed(chunk)
    message = scanner.end()
    found = fields(scanner.header)
    message_id, references = identity_and_references(found)
    words = preview(message, lambda start, end: between(chunks(), start, end))
    return Digest(message, words, sort_keys(found, received), message_id, references)


def between(chunks: Iterable[bytes], start: int, end: int) -> Iterator[bytes]:
    """The octets ``start:end`` of what comes in chunks, in pieces."""
    place = 0
    for chunk in chunks:
        if place >= end:
            break
        piece = chunk[max(start - place, 0) : end - place]
        if piece:
            yield piece
        place += len(chunk)


def dump(digest: Digest) -> bytes:
    """The digest as octets to be stored."""
    return bytes([VERSION]) + _encode(digest)


def load(octets: bytes) -> Digest | None:
    """What was stored; None where it is of another version or damaged, so that it must be computed anew."""
    if octets[:1] != bytes([VERSION]):
        return None
    try:
        return _decode(octets[1:])
    except msgspec.DecodeError:
        return None
