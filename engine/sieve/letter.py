"""A message as a script sees it: read as far as a script asks, and never whole if it is very large."""

import re
from collections.abc import Iterator, Sequence

from engine.message import Message as Mail
from engine.message import end_of_header
from engine.mime import fields as mime
from engine.mime import part as tree
from engine.mime.addresses import addresses
from engine.mime.charsets import decoder, guess
from engine.mime.markup import Text
from engine.mime.structure import structure
from engine.mime.transfer import decoded
from engine.sieve.world import Part

_FIELD = re.compile(rb"[^\n]*\n(?:[ \t][^\n]*\n)*")
_ATOMS = re.compile(r"[^\s()<>\[\]:;@\\,\"]+")

VALUE_LIMIT = 32 * 1024
"""Octets of one header field that are read."""

PARSED_LIMIT = 8 * 1024 * 1024
"""Octets of a message in which parts are looked for."""

_PIECE = 64 * 1024


class Octets:
    """A message with CRLF.

    ``octets`` are its beginning, with the whole header section; what comes behind them is taken from ``rest`` when it
    is asked for. ``size`` is that of the whole, if these are not all.
    """

    def __init__(self, octets: bytes, size: int | None = None, rest: Iterator[bytes] | None = None) -> None:
        end = end_of_header(octets, len(octets))
        self._octets = octets
        self._rest = rest
        self._header = octets if end is None else octets[:end]
        self._body_begins = len(octets) if end is None else end + 2
        self._size = len(octets) if size is None else size
        self._tree: tree.Part | None = None

    def with_header(self, header: bytes) -> "Octets":
        """The same with another header section, which lacks the empty line."""
        body = self._read()[self._body_begins :]
        return Octets(header + b"\r\n" + body, self._size + len(header) - self._body_begins + 2)

    @property
    def size(self) -> int:
        return self._size

    def fields(self) -> Sequence[bytes]:
        whole = self._header if self._header.endswith(b"\n") else self._header + b"\r\n"
        return [] if whole == b"\r\n" else _FIELD.findall(whole)

    def body(self, limit: int) -> str:
        return self._read()[self._body_begins : self._body_begins + limit].decode("utf-8", "replace")

    def parts(self, limit: int) -> Iterator[Part]:
        octets = memoryview(self._read())
        if self._tree is None:
            self._tree = structure(_pieces(octets))
        for part in self._tree.walk():
            text = _text(part, octets, limit)
            yield Part(part.media.decode("latin-1"), text)
            limit -= len(text)

    def value(self, field: bytes) -> str:
        return mime.text(field[:VALUE_LIMIT].partition(b":")[2])

    def addresses(self, field: bytes) -> Sequence[str]:
        found = addresses(field[:VALUE_LIMIT].partition(b":")[2])
        return [_address(guess(one.mailbox), guess(one.host)) for one in found if one.mailbox and one.host]

    def _read(self) -> bytes:
        """The beginning of the message, as much of it as is looked at."""
        if self._rest is not None:
            gathered = [self._octets]
            size = len(self._octets)
            for chunk in self._rest:
                gathered.append(chunk)
                size += len(chunk)
                if size >= PARSED_LIMIT:
                    break
            self._octets, self._rest = b"".join(gathered)[:PARSED_LIMIT], None
        return self._octets


def of_message(message: Mail) -> Octets:
    """The message as a stage has it."""
    chunks = message.chunks()
    gathered = b""
    for chunk in chunks:
        gathered += chunk
        if len(gathered) >= PARSED_LIMIT:
            return Octets(gathered[:PARSED_LIMIT], message.size)
        if end_of_header(gathered, len(gathered)) is not None:
            break
    return Octets(gathered, message.size, chunks)


def words_of_html(page: str) -> str:
    """The text of a page, without its tags, scripts and styles."""
    reader = Text()
    return reader.feed(page) + reader.end()


def _address(local: str, domain: str) -> str:
    if _ATOMS.fullmatch(local):
        return f"{local}@{domain}"
    escaped = local.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"@{domain}'


def _text(part: tree.Part, octets: memoryview, limit: int) -> str:
    """What a part holds, no more than so many characters: of a container, what RFC 5173 5.2 says."""
    if not part.parts:
        return _decoded(part, octets, limit)
    first, last = part.parts[0], part.parts[-1]
    if part.is_multipart:
        # Without the lines of the boundary.
        before = b"".join(bytes(octets[part.body : first.start]).rstrip(b"\r\n").rpartition(b"\n")[:2])
        behind = bytes(octets[last.end : part.end]).lstrip(b"\r\n").partition(b"\n")[2]
        return guess(before + behind)[:limit]
    found = mime.fields(bytes(octets[first.start : first.body]))
    return "".join(f"{guess(name)}: {mime.text(value)}\r\n" for name, value in found)[:limit]


def _decoded(part: tree.Part, octets: memoryview, limit: int) -> str:
    characters = decoder(part.charset)
    texts: list[str] = []
    length = 0
    for piece in decoded(_pieces(octets[part.body : part.end]), part.encoding):
        if length >= limit:
            break
        texts.append(characters.decode(piece))
        length += len(texts[-1])
    else:
        texts.append(characters.decode(b"", final=True))
    return "".join(texts)[: max(limit, 0)]


def _pieces(octets: memoryview) -> Iterator[bytes]:
    for start in range(0, len(octets), _PIECE):
        yield bytes(octets[start : start + _PIECE])
