"""What the filter reads of a message: header fields, text that is seen, links and attachments, all of it bounded."""

from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import islice

from engine.mime import rewriting
from engine.mime.fields import Fields, end_of_header, fields, text
from engine.mime.part import Part
from engine.mime.search import text_of
from engine.mime.structure import structure
from engine.mime.transfer import decoded
from engine.spam.markup import Link, Markup, seen
from engine.spam.urls import MOST as MOST_URLS
from engine.spam.urls import Url, in_text, parsed

READ = 512 * 1024
"""Octets of a message that are read, from its start: spam is short, and what follows is the content of attachments."""

TEXT = 32 * 1024
"""Characters of text, and of markup, that are read of one part; and of all plain text: some 5,000 words."""

PARTS = 50
"""Leaves that are looked at."""

HEAD = 8 * 1024
"""Octets of an attachment that are decoded, to tell what it is."""

_SLICE = 8 * 1024
_HTML = {b"html", b"xhtml", b"xhtml+xml"}


class Attachment:
    """A part that is not shown as text: its name, the type that it claims, and its first octets."""

    __slots__ = ("head", "media", "name", "size")

    def __init__(self, name: str, media: str, size: int, head: bytes) -> None:
        self.name = name
        self.media = media
        self.size = size  # octets, encoded
        self.head = head

    @property
    def suffixes(self) -> list[str]:
        """What the name ends in, in lower case: ``["pdf", "exe"]`` of ``bill.pdf.exe``, and of ``bill.pdf.exe.``, for
        Windows leaves dots and blanks at the end out."""
        return [one.strip().lower() for one in self.name.rstrip(". ").split(".")[1:]][-2:]


class Letter:
    """A message as the filter reads it. Everything is found once, when it is asked for."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self.octets = _first(chunks, READ)
        self.part = structure((self.octets,))
        self._parsed: dict[str, Url | None] = {}
        end = end_of_header(self.octets)
        self.fields: Fields = fields(self.octets[: end if end >= 0 else len(self.octets)])

    def first(self, name: bytes) -> str:
        """The first field of that name (in lower case), unfolded and decoded; empty where there is none."""
        return next((text(value) for key, value in self.fields if key.lower() == name), "")

    def all(self, name: bytes) -> list[str]:
        return [text(value) for key, value in self.fields if key.lower() == name]

    def has(self, name: bytes) -> bool:
        return any(key.lower() == name for key, _ in self.fields)

    @cached_property
    def body(self) -> bytes:
        """What follows the header section."""
        return self.octets[self.part.body : self.part.end]

    @cached_property
    def leaves(self) -> list[Part]:
        return list(islice((part for part in self.part.walk() if not part.parts), PARTS))

    @cached_property
    def plain(self) -> str:
        """The text of all parts in plain text."""
        pieces: list[str] = []
        for part in self.leaves:
            if _is_shown(part) and part.subtype.lower() not in _HTML:
                pieces.append(self._text(part))
        return "\n".join(pieces)[:TEXT]

    @cached_property
    def markup(self) -> list[Markup]:
        """What is in each part in HTML."""
        return [seen(self._raw(part)) for part in self.leaves if _is_shown(part) and part.subtype.lower() in _HTML]

    @cached_property
    def text(self) -> str:
        """All that a reader may see, without what markup hides."""
        return "\n".join([self.plain, *(one.text for one in self.markup)])

    @cached_property
    def links(self) -> list[Link]:
        """Links of markup with the text that they are shown by, and those that plain text has, at most MOST_URLS."""
        found = [link for one in self.markup for link in one.links]
        found += [Link(url, url) for url in in_text(self.text)]
        return found[:MOST_URLS]

    @cached_property
    def urls(self) -> list[Url]:
        """Where the links lead, each once."""
        found = (self.parsed(link.url) for link in self.links)
        return list(dict.fromkeys(url for url in found if url is not None))

    def parsed(self, url: str) -> Url | None:
        """The parts of a URL, read once."""
        if url not in self._parsed:
            self._parsed[url] = parsed(url)
        return self._parsed[url]

    @cached_property
    def attachments(self) -> list[Attachment]:
        return [self._attachment(part) for part in self.leaves if not _is_shown(part)]

    def _attachment(self, part: Part) -> Attachment:
        body = self.octets[part.body : min(part.end, part.body + HEAD)]
        head = b"".join(decoded((body,), part.encoding))
        return Attachment(rewriting.name(part)[:200], part.media.decode("ascii", "replace"), part.size, head)

    def _text(self, part: Part) -> str:
        return _bounded(text_of(part, self._body(part)))

    def _raw(self, part: Part) -> str:
        """The markup itself, decoded."""
        return _bounded(text_of(_as_plain(part), self._body(part)))

    def _body(self, part: Part) -> Iterator[bytes]:
        for start in range(part.body, min(part.end, part.body + 4 * TEXT), _SLICE):
            yield self.octets[start : min(start + _SLICE, part.end)]


def _is_shown(part: Part) -> bool:
    return part.type.lower() == b"text" and not part.is_attachment


def _as_plain(part: Part) -> Part:
    return Part(
        part.start, part.body, part.end, part.lines, b"text", b"plain", part.parameters, part.encoding,
    )  # fmt: skip


def _bounded(pieces: Iterable[str]) -> str:
    gathered: list[str] = []
    length = 0
    for piece in pieces:
        gathered.append(piece)
        length += len(piece)
        if length >= TEXT:
            break
    return "".join(gathered)[:TEXT]


def _first(chunks: Iterable[bytes], most: int) -> bytes:
    gathered: list[bytes] = []
    length = 0
    for chunk in chunks:
        gathered.append(chunk)
        length += len(chunk)
        if length >= most:
            break
    return b"".join(gathered)[:most]
