"""FETCH (RFC 9051 6.4.5): what is wanted of messages."""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final, TypeAlias

from msgspec import Struct

from engine.protocols.imap.cursor import Cursor, Malformed, decoded
from engine.protocols.imap.search import partial_range
from engine.protocols.imap.sets import MOST, SequenceSet
from engine.protocols.imap.strings import astring

ATTRIBUTES: Final = frozenset({
    "BODY", "BODYSTRUCTURE", "EMAILID", "ENVELOPE", "FLAGS", "INTERNALDATE", "MODSEQ", "RFC822.SIZE", "SAVEDATE",
    "THREADID", "UID",
})  # fmt: skip
"""What is kept of a message ready made."""

MACROS: Mapping[str, tuple[str, ...]] = {
    "FAST": ("FLAGS", "INTERNALDATE", "RFC822.SIZE"),
    "ALL": ("FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE"),
    "FULL": ("FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE", "BODY"),
}

# Items in parentheses without strings, few enough to be remembered.
_PLAIN = re.compile(rb'\((?>(?:[^()"{\r\n]|\([^()"{\r\n]{0,500}\)){1,200})\)')
_ITEM = re.compile(rb"[A-Za-z0-9.]++")
_PART = re.compile(rb"[1-9][0-9]{0,8}(?>(?:\.[1-9][0-9]{0,8})*)")
_TEXT = re.compile(rb"HEADER\.FIELDS\.NOT|HEADER\.FIELDS|HEADER|TEXT|MIME", re.IGNORECASE)
_BREAK = re.compile(rb"[\r\n\x00]")
_PARTIAL = re.compile(rb"<([0-9]{1,19})\.([1-9][0-9]{0,18})>")


class Attribute(Struct, frozen=True):
    name: str  # of ATTRIBUTES


class Preview(Struct, frozen=True):
    """RFC 8970. ``lazy``: only where it is ready."""

    lazy: bool = False


class Section(Struct, frozen=True):
    """A part of a message (RFC 9051 6.4.5.1)."""

    part: tuple[int, ...] = ()  # empty: the message
    text: str = ""  # HEADER HEADER.FIELDS HEADER.FIELDS.NOT TEXT MIME; empty: all of it
    fields: tuple[str, ...] = ()  # names, for HEADER.FIELDS


class Body(Struct, frozen=True):
    """Octets of a message as they are. ``label`` is what the response names them by."""

    section: Section
    label: bytes
    peek: bool = True  # False: it makes the message \\Seen
    partial: tuple[int, int] | None = None  # the first octet from 0, and how many


class Binary(Struct, frozen=True):
    """Octets of a part, decoded (RFC 3516)."""

    part: tuple[int, ...]
    label: bytes
    peek: bool = True
    partial: tuple[int, int] | None = None


class BinarySize(Struct, frozen=True):
    part: tuple[int, ...]
    label: bytes


Item: TypeAlias = Attribute | Preview | Body | Binary | BinarySize


class Fetch(Struct, frozen=True):
    messages: SequenceSet
    uid: bool
    items: tuple[Item, ...]  # each once; with ``uid`` UID, with CONDSTORE's modifiers MODSEQ among them
    changed_since: int | None = None  # RFC 7162 3.1.4.1
    vanished: bool = False  # RFC 7162 3.2.6
    partial: tuple[int, int] | None = None  # RFC 9394 3.2, see search.Returns

    @property
    def sets_seen(self) -> bool:
        return any(isinstance(item, Body | Binary) and not item.peek for item in self.items)


class _Modifiers(Struct):
    """What may follow the items."""

    changed_since: int | None = None
    vanished: bool = False
    partial: tuple[int, int] | None = None


def fetch(cursor: Cursor, *, uid: bool) -> Fetch:
    cursor.space()
    messages = cursor.sequence_set(uid=uid)
    cursor.space()
    items = _items(cursor)
    found = _modifiers(cursor, uid=uid)
    if found.changed_since is not None:
        items = (*items, Attribute("MODSEQ"))
    if uid:
        items = (Attribute("UID"), *items)
    items = tuple(dict.fromkeys(items))
    cursor.condstore = Attribute("MODSEQ") in items
    return Fetch(messages, uid, items, found.changed_since, found.vanished, found.partial)


def _items(cursor: Cursor) -> tuple[Item, ...]:
    if not cursor.sees(b"("):
        return _macro(cursor)
    if cursor.sees_match(_PLAIN):
        return _plain(cursor.match(_PLAIN, "Fetch items")[0])
    return cursor.items(lambda: fetch_item(cursor))


@lru_cache(maxsize=256)
def _plain(octets: bytes) -> tuple[Item, ...]:
    """The items in parentheses. A client says the same ones thousands of times."""
    cursor = Cursor(octets)
    items = cursor.items(lambda: fetch_item(cursor))
    cursor.end()
    return items


def _macro(cursor: Cursor) -> tuple[Item, ...]:
    start = cursor.position
    name = cursor.match(_ITEM, "A fetch item")[0].decode("ascii").upper()
    if name in MACROS:
        return tuple(Attribute(item) for item in MACROS[name])
    cursor.position = start
    return (fetch_item(cursor),)


def _modifiers(cursor: Cursor, *, uid: bool) -> _Modifiers:
    found = _Modifiers()
    if cursor.accept(b" ") and not cursor.at_end:
        cursor.items(lambda: _modifier(cursor, found))
    # RFC 7162 3.2.6, RFC 9394 3.2
    if found.vanished and (found.changed_since is None or not uid):
        raise Malformed("VANISHED goes with UID FETCH and CHANGEDSINCE")
    if found.partial is not None and not uid:
        raise Malformed("PARTIAL goes with UID FETCH")
    return found


def _modifier(cursor: Cursor, found: _Modifiers) -> None:
    name = cursor.word("A modifier")
    if name == "CHANGEDSINCE":
        cursor.space()
        found.changed_since = cursor.number("A mod-sequence")
    elif name == "VANISHED":
        cursor.require("QRESYNC")
        found.vanished = True
    elif name == "PARTIAL":
        cursor.space()
        found.partial = partial_range(cursor)
    else:
        raise Malformed(f"The modifier {name} is unknown here")


def fetch_item(cursor: Cursor) -> Item:
    """One thing that is wanted; NOTIFY has them too."""
    name = cursor.match(_ITEM, "A fetch item")[0].decode("ascii").upper()
    if cursor.sees(b"["):
        if name not in SECTIONS:
            raise Malformed(f"{name} has no section")
        return SECTIONS[name](cursor)
    if name in WHOLE:
        return WHOLE[name]
    if name == "PREVIEW":
        return Preview(lazy=cursor.accept_word(b" (LAZY)"))
    if name not in ATTRIBUTES:
        raise Malformed(f"The fetch item {name} is unknown here")
    return Attribute(name)


# What IMAP4rev1 has besides; the response says the old name (RFC 3501 6.4.5).
WHOLE: Mapping[str, Item] = {
    "RFC822": Body(Section(), b"RFC822", peek=False),
    "RFC822.HEADER": Body(Section(text="HEADER"), b"RFC822.HEADER"),
    "RFC822.TEXT": Body(Section(text="TEXT"), b"RFC822.TEXT", peek=False),
}


def _body(cursor: Cursor, *, peek: bool) -> Item:
    cursor.expect(b"[")
    part = _part(cursor)
    section = Section(part)
    if not cursor.sees(b"]"):
        if part:
            cursor.expect(b".")
        section = _section(cursor, part)
    cursor.expect(b"]")
    partial = _partial(cursor)
    return Body(section, b"BODY[%b]%b" % (_shown(section), _origin(partial)), peek, partial)


def _section(cursor: Cursor, part: tuple[int, ...]) -> Section:
    text = cursor.match(_TEXT, "A section")[0].decode("ascii").upper()
    if text == "MIME" and not part:
        raise Malformed("MIME needs the number of a part")
    if not text.startswith("HEADER.FIELDS"):
        return Section(part, text)
    cursor.space()
    return Section(part, text, cursor.items(lambda: _field(cursor)))


def _field(cursor: Cursor) -> str:
    name = cursor.astring("A field name")
    if _BREAK.search(name):
        raise Malformed("A field name holds no line break")  # it comes back in the label
    return decoded(name, "A field name")


def _binary(cursor: Cursor, *, peek: bool) -> Item:
    part = _bracketed(cursor)
    partial = _partial(cursor)
    return Binary(part, b"BINARY[%b]%b" % (_dotted(part), _origin(partial)), peek, partial)


def _binary_size(cursor: Cursor) -> Item:
    part = _bracketed(cursor)
    return BinarySize(part, b"BINARY.SIZE[%b]" % _dotted(part))


SECTIONS: Mapping[str, Callable[[Cursor], Item]] = {
    "BODY": lambda cursor: _body(cursor, peek=False),
    "BODY.PEEK": lambda cursor: _body(cursor, peek=True),
    "BINARY": lambda cursor: _binary(cursor, peek=False),
    "BINARY.PEEK": lambda cursor: _binary(cursor, peek=True),
    "BINARY.SIZE": _binary_size,
}


def _bracketed(cursor: Cursor) -> tuple[int, ...]:
    cursor.expect(b"[")
    part = _part(cursor)
    cursor.expect(b"]")
    return part


def _part(cursor: Cursor) -> tuple[int, ...]:
    if not cursor.sees_match(_PART):
        return ()
    numbers = cursor.match(_PART, "The number of a part")[0].split(b".")
    if len(numbers) > 100:
        raise Malformed("The part lies too deep")
    return tuple(map(int, numbers))


def _partial(cursor: Cursor) -> tuple[int, int] | None:
    if not cursor.sees(b"<"):
        return None
    said = cursor.match(_PARTIAL, "A range of octets")
    first, count = int(said[1]), int(said[2])
    if first > MOST or count > MOST:
        raise Malformed("A range of octets is out of range")
    return first, count


def _shown(section: Section) -> bytes:
    words = [word for word in (_dotted(section.part), section.text.encode()) if word]
    names = b" (%b)" % b" ".join(astring(name.encode()) for name in section.fields) if section.fields else b""
    return b".".join(words) + names


def _dotted(part: tuple[int, ...]) -> bytes:
    return b".".join(b"%d" % number for number in part)


def _origin(partial: tuple[int, int] | None) -> bytes:
    return b"" if partial is None else b"<%d>" % partial[0]
