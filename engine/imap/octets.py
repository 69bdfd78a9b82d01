"""BODY[…], BINARY[…] and BINARY.SIZE[…] of one message (RFC 9051 6.4.5.1, RFC 3516)."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from engine.imap.letters import Letter
from engine.mime import sections, transfer
from engine.mime.fields import only
from engine.mime.part import Part
from engine.protocols.imap.fetch import Attribute, Binary, BinarySize, Body, Item, Preview, Section
from engine.protocols.imap.strings import NIL, literal_head


class Unknown(Exception):
    """The content transfer encoding of a part is one that nobody knows (RFC 3516 4.3)."""


class Wants(NamedTuple):
    """What is to be read for some items."""

    content: bool  # octets of the body
    digests: bool  # what is derived, beside what is ready made
    headers: frozenset[bytes] | None  # the fields, in lower case; empty: all; None: none

    @property
    def letters(self) -> bool:
        """Whether anything is."""
        return self.content or self.digests or self.headers is not None

    @classmethod
    def of(cls, items: Iterable[Item]) -> "Wants":
        content = digests = False
        sections = []
        for item in items:
            if isinstance(item, Body) and _is_header(item.section):
                sections.append(item.section)
            elif isinstance(item, Body):
                content = True
                digests = digests or item.section != Section()
            elif isinstance(item, Binary | BinarySize):
                content = digests = True
            elif (isinstance(item, Preview) and not item.lazy) or item == Attribute("THREADID"):
                digests = True
        return cls(content, digests, _fields(sections))


def _fields(sections: Sequence[Section]) -> frozenset[bytes] | None:
    if not sections:
        return None
    if any(section.text != "HEADER.FIELDS" for section in sections):
        return frozenset()
    return frozenset(name.lower().encode() for section in sections for name in section.fields)


def _is_header(section: Section) -> bool:
    return not section.part and section.text.startswith("HEADER")


def body(letter: Letter, item: Body) -> bytes | None:
    """The octets of the item; None of a part that there is not. MessageGone."""
    if item.section == Section():
        return letter.read(*_cut(0, letter.size, item.partial))
    if _is_header(item.section):
        return _partial(_picked(letter.header, item.section), item.partial)
    found = _range(letter, item.section)
    if found is None:
        return None
    if not item.section.text.startswith("HEADER.FIELDS"):
        return letter.read(*_cut(*found, item.partial))
    return _partial(_picked(letter.read(*found), item.section), item.partial)


def pieces(letter: Letter, item: Body) -> Iterator[bytes]:
    """The item of a large message as it is written, some octets at a time."""
    found = (0, letter.size) if item.section == Section() else _range(letter, item.section)
    if found is None or _is_header(item.section) or item.section.text.startswith("HEADER.FIELDS"):
        octets = body(letter, item)
        yield NIL if octets is None else literal_head(len(octets)) + octets
        return
    start, end = _cut(*found, item.partial)
    yield literal_head(end - start)
    yield from letter.pieces(start, end)


def _range(letter: Letter, section: Section) -> tuple[int, int] | None:
    """Where the section is in the message; None where there is none."""
    asked = sections.Section(section.part, section.text, tuple(name.encode() for name in section.fields))
    found = sections.section(letter.message, asked)
    return None if found is None else (found.start + len(letter.heading), found.end + len(letter.heading))


def _picked(header: bytes, section: Section) -> bytes:
    if not section.fields:
        return header
    return only(header, [name.encode() for name in section.fields], negate=section.text.endswith("NOT"))


def _cut(start: int, end: int, partial: tuple[int, int] | None) -> tuple[int, int]:
    if partial is None:
        return start, end
    first, count = partial
    return min(start + first, end), min(start + first + count, end)


def _partial(octets: bytes, partial: tuple[int, int] | None) -> bytes:
    return octets if partial is None else octets[partial[0] : partial[0] + partial[1]]


def binary(letter: Letter, item: Binary) -> bytes:
    """Decoded, as a literal8 where it holds NUL. MessageGone, Unknown."""
    part = sections.numbered(letter.message, item.part)
    if part is None:
        return NIL
    octets = _partial(b"".join(_decoded(letter, item.part, part)), item.partial)
    return literal_head(len(octets), binary=b"\0" in octets) + octets


def binary_size(letter: Letter, item: BinarySize) -> int:
    """Octets of the part once it is decoded; 0 of one that there is not."""
    part = sections.numbered(letter.message, item.part)
    return sum(map(len, _decoded(letter, item.part, part))) if part is not None else 0


def _decoded(letter: Letter, numbers: Sequence[int], part: Part) -> Iterable[bytes]:
    if not numbers:  # the message as it is
        return letter.pieces(0, letter.size)
    if part.parts:
        return letter.content(part.body, part.end)
    if not transfer.is_known(part.encoding):
        raise Unknown("The encoding of this part is unknown")
    return transfer.decoded(letter.content(part.body, part.end), part.encoding)
