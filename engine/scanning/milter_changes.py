"""A message as a milter sees it, and the changes of header and body that it asks for."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from msgspec import structs

from engine.message import HEADER_LIMIT, Message, end_of_header
from engine.protocols.milter import CHUNK, AddHeader, Change, ChangeHeader, InsertHeader, ReplaceBody

_FIELDS = re.compile(rb"[^\n]*+(?>(?:\n[ \t][^\n]*+)*)(?:\n|\Z)")
_NAME = re.compile(rb"([!-9;-~]+)[ \t]*:")
_LINE_END = re.compile(rb"\r\n?|\n")

_LINE = 890
"""Octets of a line that stay together: those of the name come before the first one."""

Span = tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class _Field:
    """A header field, or a line between them that is none and has no name."""

    octets: bytes
    name: bytes  # in lower case
    span: Span | None = None  # where it lies in the content, if it has come with it
    hidden: bool = False  # from milters
    changed: bool = False
    deleted: bool = False  # it still counts: milters number the fields that they have seen

    @property
    def is_intact(self) -> bool:
        return self.span is not None and not self.changed


class Seen:
    """What a milter sees of a message: all but the Received field that we have put on it, as Postfix does it.

    ``fields`` has name and value of each, topmost first; the value from behind the colon on, with its folds.
    """

    def __init__(self, message: Message) -> None:
        self._message = message
        section, self._ended = _header_section(message)
        self._header_end = len(section)
        left_out = message.envelope.left_out
        came = [field for field in _split(section, came=True) if not _is_within(field.span, left_out)]
        self._fields = _without_own_received([*_split(message.envelope.prepended), *came], message)
        self.fields = [_shown(field) for field in self._fields if field.name and not field.hidden]

    def body(self) -> Iterator[bytes]:
        """In pieces of CHUNK octets at most."""
        for chunk in _from(self._message, self._header_end + 2 * self._ended):
            for start in range(0, len(chunk), CHUNK):
                yield chunk[start : start + CHUNK]

    def changed(self, changes: Iterable[Change], *, leading_space: bool) -> Message:
        """The message with these changes of its header and body; those of its envelope are left to others.

        ``leading_space``: values begin with the blank behind the colon, where there is to be one.
        """
        fields = list(self._fields)
        body: list[bytes] = []
        for change in changes:
            if isinstance(change, ReplaceBody):
                body.append(change.octets)
            elif (edit := _EDITS.get(type(change))) is not None:
                edit(fields, change, leading_space)
        alive = [field for field in fields if not field.deleted]
        if body:
            return self._rewritten(alive, b"\r\n" + _LINE_END.sub(b"\r\n", b"".join(body)))
        top = next((place for place, field in enumerate(alive) if field.is_intact), len(alive))
        if all(field.is_intact for field in alive[top:]):
            return self._with_top(alive[:top], fields)
        return self._rewritten(alive, b"".join(_from(self._message, self._header_end)))

    def _with_top(self, top: Sequence[_Field], fields: Sequence[_Field]) -> Message:
        """The content stays; other fields stand on it, and some of its own do not go on."""
        envelope = self._message.envelope
        prepended = b"".join(field.octets for field in top)
        gone = {field.span for field in fields if field.span and (field.deleted or field.changed)}
        if prepended == envelope.prepended and not gone:
            return self._message
        left_out = tuple(sorted({*envelope.left_out, *gone}))
        changed = structs.replace(envelope, prepended=prepended, left_out=left_out)
        return structs.replace(self._message, envelope=changed)

    def _rewritten(self, fields: Sequence[_Field], rest: bytes) -> Message:
        return self._message.with_content(b"".join(field.octets for field in fields) + rest)


def _header_section(message: Message) -> tuple[bytes, bool]:
    """That of the content, without the empty line behind it; and whether there is one."""
    gathered = b""
    for chunk in message.content.chunks():
        gathered += chunk
        if (end := end_of_header(gathered)) is not None:
            return gathered[:end], True
        if len(gathered) >= HEADER_LIMIT:
            break
    return gathered[:HEADER_LIMIT], False


def _from(message: Message, start: int) -> Iterator[bytes]:
    """The content from an octet on."""
    for chunk in message.content.chunks():
        if start < len(chunk):
            yield chunk[start:] if start else chunk
        start = max(start - len(chunk), 0)


def _split(section: bytes, *, came: bool = False) -> list[_Field]:
    found = []
    for match in _FIELDS.finditer(section):
        if match[0]:
            named = _NAME.match(match[0])
            found.append(_Field(match[0], named[1].lower() if named else b"", match.span() if came else None))
    return found


def _shown(field: _Field) -> tuple[bytes, bytes]:
    name, _, value = field.octets.partition(b":")
    return name.rstrip(b" \t"), value.rstrip(b"\r\n")


def _is_within(span: Span | None, ranges: Iterable[Span]) -> bool:
    return span is not None and any(start <= span[0] < end for start, end in ranges)


def _without_own_received(fields: list[_Field], message: Message) -> list[_Field]:
    for place, field in enumerate(fields):
        if field.name == b"received":
            if field.span is None or str(message.id).encode() in field.octets:
                fields[place] = replace(field, hidden=True)
            break
    return fields


def _written(name: str, value: str, leading_space: bool) -> _Field:
    """A field with lines that end as they must and are folded; nothing in it can begin another one."""
    lines = _LINE_END.split(value.encode("utf-8", "surrogateescape").replace(b"\0", b""))
    kept = [piece for line in (lines[0], *(line for line in lines[1:] if line.strip())) for piece in _pieces(line)]
    folded = b"\r\n".join([kept[0], *(line if line[:1] in b" \t" else b"\t" + line for line in kept[1:])])
    blank = b"" if leading_space else b" "
    encoded = name.encode("ascii")
    return _Field(encoded + b":" + blank + folded + b"\r\n", encoded.lower())


def _pieces(line: bytes) -> Iterator[bytes]:
    """A line as it is, or where no server takes one so long (RFC 5322 2.1.1), in pieces."""
    yield line[:_LINE]
    for start in range(_LINE, len(line), _LINE):
        yield line[start : start + _LINE]


def _add(fields: list[_Field], change: AddHeader, leading_space: bool) -> None:
    """Below what others have put on the message and above what it came with, so that it breaks no signature."""
    place = next((place for place, field in enumerate(fields) if field.span is not None), len(fields))
    fields.insert(place, _written(change.name, change.value, leading_space))


def _insert(fields: list[_Field], change: InsertHeader, leading_space: bool) -> None:
    places = [place for place, field in enumerate(fields) if not field.deleted]
    place = places[change.place] if change.place < len(places) else len(fields)
    fields.insert(place, _written(change.name, change.value, leading_space))


def _change(fields: list[_Field], change: ChangeHeader, leading_space: bool) -> None:
    name = change.name.lower().encode()
    seen = [field for field in fields if field.name == name and not field.hidden]
    place = max(change.place, 1) - 1
    if place >= len(seen):
        if change.value:
            _add(fields, AddHeader(change.name, change.value), leading_space)
        return
    old = seen[place]
    if change.value:
        new = _written(change.name, change.value, leading_space)
        fields[fields.index(old)] = _Field(new.octets, name, old.span, changed=True)
    else:
        fields[fields.index(old)] = replace(old, deleted=True)


_EDITS: Mapping[type, Callable[[list[_Field], Any, bool], None]] = {
    AddHeader: _add,
    InsertHeader: _insert,
    ChangeHeader: _change,
}
