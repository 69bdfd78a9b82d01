"""Which octets of a message a section of FETCH stands for (RFC 9051 6.4.5.1)."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from engine.mime.fields import only
from engine.mime.part import Part

_SPECIFIER = re.compile(
    r"(?P<numbers>[1-9]\d{0,5}(?:\.[1-9]\d{0,5})*)?(?:(?(numbers)\.)(?P<text>MIME|TEXT|HEADER(?P<fields>\.FIELDS(?P<negate>\.NOT)?"
    r" \((?P<names>[^()]+)\))?))?",
    re.IGNORECASE,
)
_NAME = re.compile(r'"((?:[^"\\]|\\.)*)"|([^\s"]+)')


class Section(NamedTuple):
    """A section as it is asked for: the part's numbers, then what of it."""

    numbers: tuple[int, ...] = ()
    text: str = ""  # HEADER, TEXT, MIME, HEADER.FIELDS, HEADER.FIELDS.NOT, or empty: the part itself
    names: tuple[bytes, ...] = ()


class Range(NamedTuple):
    """Octets ``start:end`` of the message; what is sent of them is `picked`."""

    start: int
    end: int
    names: tuple[bytes, ...] = ()  # HEADER.FIELDS
    negate: bool = False  # HEADER.FIELDS.NOT

    def picked(self, octets: bytes) -> bytes:
        """What the section holds, of these octets of the message."""
        return only(octets, self.names, negate=self.negate) if self.names else octets


def parse(specifier: str) -> Section | None:
    """What stands between the brackets of ``BODY[1.2.HEADER.FIELDS (From To)]``; None where it is malformed."""
    found = _SPECIFIER.fullmatch(specifier)
    if found is None:
        return None
    numbers = tuple([int(number) for number in (found["numbers"] or "").split(".") if number])
    text = (found["text"] or "").upper()
    if text == "MIME" and not numbers:
        return None
    if not found["fields"]:
        return Section(numbers, text)
    names = tuple([(quoted or bare).encode() for quoted, bare in _NAME.findall(found["names"])])
    return Section(numbers, "HEADER.FIELDS.NOT" if found["negate"] else "HEADER.FIELDS", names)


def section(message: Part, asked: Section | str) -> Range | None:
    """Where it is; None for a section that the message does not have, or that is malformed."""
    if isinstance(asked, str):
        found = parse(asked)
        if found is None:
            return None
        asked = found
    numbers, text, names = asked
    part = numbered(message, numbers)
    if part is None:
        return None
    if not numbers and not text:
        return Range(part.start, part.end)
    if not text:
        return Range(part.body, part.end)
    if text == "MIME":
        return Range(part.start, part.body) if numbers else None
    if numbers:
        if not _holds_message(part):
            return None
        part = part.parts[0]
    if text == "TEXT":
        return Range(part.body, part.end)
    return Range(part.start, part.body, names, text.endswith(".NOT"))


def numbered(message: Part, numbers: tuple[int, ...]) -> Part | None:
    """The part with these numbers. A message that is no multipart has itself for part 1."""
    part, is_message = message, True
    for number in numbers:
        if not is_message and _holds_message(part):
            part, is_message = part.parts[0], True
        if part.parts and not _holds_message(part):
            if number > len(part.parts):
                return None
            part = part.parts[number - 1]
        elif not is_message or number != 1:
            return None
        is_message = False
    return part


def numbers(message: Part) -> Iterator[tuple[str, Part]]:
    """The parts that are no multipart themselves, each with its numbers: what `numbered` finds by them."""
    yield from _inside(message, "") if _is_opened(message) else _with_inner("1", message)


def _inside(part: Part, above: str) -> Iterator[tuple[str, Part]]:
    for number, inner in enumerate(part.parts, 1):
        own = f"{above}{number}"
        yield from _inside(inner, f"{own}.") if _is_opened(inner) else _with_inner(own, inner)


def _with_inner(number: str, part: Part) -> Iterator[tuple[str, Part]]:
    yield number, part
    if _holds_message(part):
        inner = part.parts[0]
        yield from _inside(inner, f"{number}.") if _is_opened(inner) else _with_inner(f"{number}.1", inner)


def _is_opened(part: Part) -> bool:
    return bool(part.parts) and not _holds_message(part)


def _holds_message(part: Part) -> bool:
    return bool(part.parts and part.parts[0].envelope)
