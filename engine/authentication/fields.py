"""The header section as a list of raw fields, each with its exact octets (RFC 5322 2.2)."""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Self

from engine.message import HEADER_LIMIT, end_of_header

_FIELD_END = re.compile(rb"\r\n(?![ \t])")
_NAME = re.compile(rb"([!-9;-~]+)[ \t]*:")  # WSP before the colon: obsolete, but met (RFC 5322 4.5)
_BARE_LF = re.compile(rb"(?<!\r)\n")


class Field(NamedTuple):
    """A header field: ``name`` in lower case, ``octets`` from the name's first to the final CRLF."""

    name: str
    octets: bytes

    @property
    def value(self) -> bytes:
        """What follows the colon, with its folds, without the final CRLF."""
        return self.octets.partition(b":")[2][:-2]


class Fields:
    """All fields of a header section, topmost first.

    ``flaw`` says why readers may see another header, or another beginning of the body, than these fields say;
    it is empty where all is well. What vouches for a message must not vouch for one with a flaw.
    """

    __slots__ = ("_by_name", "all", "flaw")

    def __init__(self, fields: Iterable[Field], flaw: str = "") -> None:
        self.all = tuple(fields)
        self.flaw = flaw
        self._by_name: dict[str, list[Field]] = {}
        for field in self.all:
            self._by_name.setdefault(field.name, []).append(field)

    @classmethod
    def parse(cls, octets: bytes) -> Self:
        """The fields of ``octets``, whose lines end in CRLF, up to an empty line or the end."""
        end = end_of_header(octets, len(octets))
        section = octets if end is None else octets[:end]
        pieces = _FIELD_END.split(section.removesuffix(b"\r\n"))
        if pieces[0].startswith(b"From ") and not _NAME.match(pieces[0]):  # of a mailbox file
            del pieces[0]
        found = [(_NAME.match(piece), piece + b"\r\n") for piece in pieces if piece]
        fields = [Field(name[1].decode("ascii").lower(), piece) for name, piece in found if name]
        flaw = "" if len(fields) == len(found) else "the header holds a line that is no field"
        if not section.count(b"\r") == section.count(b"\n") == section.count(b"\r\n"):
            flaw = "the header holds a bare CR or LF"
        return cls(fields, flaw)

    def named(self, name: str) -> list[Field]:
        """The fields of that name (in lower case), topmost first."""
        return self._by_name.get(name, [])

    def __iter__(self) -> Iterator[Field]:
        return iter(self.all)

    def __len__(self) -> int:
        return len(self.all)


def split_message(chunks: Iterable[bytes]) -> tuple[Fields, Iterator[bytes]]:
    """The header fields of a message, and its body in chunks, to be taken once.

    The header section ends with an empty line; where HEADER_LIMIT octets hold none, the rest is body, and that a flaw.
    """
    source = iter(chunks)
    gathered = b""
    for chunk in source:
        gathered += chunk
        end = end_of_header(gathered)
        if end is not None:
            return Fields.parse(gathered[:end]), _rest(gathered[end + 2 :], source)
        if len(gathered) >= HEADER_LIMIT:
            fields = Fields.parse(gathered[:HEADER_LIMIT])
            flaw = f"the header has more than {HEADER_LIMIT} octets"
            return Fields(fields.all, flaw), _rest(gathered[HEADER_LIMIT:], source)
    return Fields.parse(gathered), iter(())


def _rest(first: bytes, others: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from others


def with_crlf(octets: bytes) -> bytes:
    """A message from a file, whose lines may end in LF alone, with CRLF everywhere."""
    return _BARE_LF.sub(b"\r\n", octets)
