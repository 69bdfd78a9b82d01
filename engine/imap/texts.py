"""Whether a message holds a text, in whatever case, decoded as a reader sees it (RFC 9051 6.4.4)."""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from functools import lru_cache
from itertools import accumulate
from typing import Final

from engine.imap.letters import Letter
from engine.mime.dates import sent
from engine.mime.fields import fields, named, text, unfolded
from engine.mime.search import ADDRESSES, body_texts, folded, header_lines, header_texts

ENCODED: Final = (
    b"base64", b"quoted-printable", b"html", b"utf-16", b"utf-32", b"utf-7", b"iso-2022", b"hz-gb", b"uuencode",
)  # fmt: skip
"""In a message that has none of these words, text in ASCII stands as it is read."""


_NAME: Final = re.compile(rb"[!-9;-~]++")

_FIELD: Final = rb"\n%b[ \t]*+:(?:[ \t]*+([ -~]*+)(?=\r?+\n(?![ \t]))|(.*+(?>(?:\n[ \t].*+)*)))"
"""A field as ``engine.mime.fields.fields`` finds it, in small letters: most are one line in ASCII."""

_BETWEEN: Final = b"\n\n"
"""Stands around each of many header sections, so that no field goes on in the next one."""


class Needle:
    """A text that is looked for."""

    __slots__ = ("encoded", "octets", "text")

    def __init__(self, text: str) -> None:
        self.text = folded(text)
        self.octets = self.text.encode() if self.text.isascii() else None  # None: only decoding tells
        self.encoded = self.text.encode("utf-8", "surrogatepass")

    def is_in(self, text: str) -> bool:
        return self.text in folded(text)


class Header:
    """The name of a field, in small letters. ``is_quick``: to read what it says takes no longer than to find it."""

    __slots__ = ("is_quick", "name", "octets")

    def __init__(self, name: str) -> None:
        self.name = name
        self.octets = name.encode("utf-8", "surrogateescape")
        self.is_quick = self.octets not in ADDRESSES


def may_hold(sections: Iterable[bytes | None], header: Header, needle: Needle) -> list[bool]:
    """Of each header section, whether a field of that name may hold the text, by a look at its octets.

    It may in one that is not known.
    """
    name, text = header.octets, needle.octets
    if text is None or not _is_plain(text):
        return [octets is None or name in octets.lower() for octets in sections]
    return [octets is None or text in (lower := octets.lower()) or b"=?" in lower for octets in sections]


def holds(section: bytes, header: Header, needle: Needle) -> bool:
    """Whether a field of that name holds the text. The empty one is in every field."""
    found = [(name, value) for name, value in fields(section) if name.lower() == header.octets]
    return any(needle.is_in(value) for _, value in header_texts(found))


def holding(sections: Sequence[bytes], header: Header, needle: Needle) -> list[int]:
    """The places of those of many sections that hold it."""
    if not header.is_quick:
        return [place for place, section in enumerate(sections) if holds(section, header, needle)]
    return sorted({place for place, value in values_of(sections, header) if needle.encoded in value})


def values(section: bytes, header: Header) -> Iterator[bytes]:
    """What the fields of that name say, folded as texts are compared, in UTF-8."""
    for field in named(section, header.octets):
        yield from _folded(field, header)


def _folded(field: tuple[bytes, bytes], header: Header) -> Sequence[bytes]:
    if header.is_quick:
        plain = unfolded(field[1])
        return (plain.lower() if plain.isascii() and b"=?" not in plain else _decoded(plain),)
    return [folded(value).encode("utf-8", "surrogatepass") for _, value in header_texts([field])]


@lru_cache(maxsize=1024)
def _decoded(plain: bytes) -> bytes:
    """To decode takes longer than all else that is done for a field; and all letters of a thread have the same."""
    return folded(text(plain)).encode("utf-8", "surrogatepass")


def values_of(sections: Sequence[bytes | None], header: Header) -> Iterator[tuple[int, bytes]]:
    """``values`` of many sections, where the header is quick: each with the place of its section.

    They are looked through as one: what Python does for each takes most of the time.
    """
    if _NAME.fullmatch(header.octets) is None:
        return
    octets = [section or b"" for section in sections]
    joined = _BETWEEN.join([b"", *octets, b""])
    starts = list(accumulate([len(section) + len(_BETWEEN) for section in octets], initial=len(_BETWEEN)))
    place = 0
    for field in re.finditer(_FIELD % re.escape(header.octets), joined.lower()):
        start, plain = field.start() + 1, field[1]
        while starts[place + 1] <= start:
            place += 1
        if plain is not None and b"=?" not in plain:
            yield place, plain.rstrip()
        else:
            value = joined[max(field.start(1), field.start(2)) : field.end()]
            yield from ((place, one) for one in _folded((header.octets, value), header))


def in_header(letter: Letter, header: Header, needle: Needle) -> bool:
    """The same of a message. MessageGone."""
    return may_hold([letter.header], header, needle)[0] and holds(letter.header, header, needle)


@lru_cache(maxsize=64)
def _is_plain(octets: bytes) -> bool:
    """Whether the text would stand in a header just so: not folded, not quoted, not parted by comments."""
    return re.fullmatch(rb"[a-z0-9@._-]+", octets) is not None


def in_body(letter: Letter, needle: Needle, *, header: bool) -> bool:
    """Whether a text part holds the text, or with ``header`` a header field, its name included."""
    if header and any(map(needle.is_in, header_lines(fields(letter.header)))):
        return True
    if needle.octets is not None and letter.is_whole:
        lower = letter.read(0, letter.size).lower()
        if needle.octets not in lower and not any(word in lower for word in ENCODED):
            return False
    rest, overlap = "", 4 * len(needle.text)
    for piece in body_texts(letter.message, letter.content):
        rest = folded(rest + piece)
        if needle.text in rest:
            return True
        rest = rest[-overlap:] if overlap else ""
    return False


def sent_on(letter: Letter) -> date | None:
    """The day that the message says it was sent, in the sender's zone."""
    for name, value in fields(letter.header):
        if name.lower() == b"date":
            moment = sent(value)
            return moment.date() if moment is not None else None
    return None
