"""What the data of responses mean: LIST, FETCH, and the like. What makes no sense is None, never an error."""

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from engine.protocols.imap import dates, names
from engine.protocols.imap.sets import MOST
from engine.protocols.imap_client.answers import Streamed, Token, Untagged

_MOST_FLAGS: Final = 200
_LONGEST_NAME: Final = 1000


class Listed(Struct, frozen=True):
    """A mailbox of the server. ``raw`` is its name as the server says it, and wants it said."""

    raw: bytes
    separator: str  # empty: there are no levels
    attributes: frozenset[str]  # in small letters, such as "\\\\sent"

    @property
    def name(self) -> str:
        """As people know it: modified UTF-7, or what is no such thing as UTF-8 (RFC 6855), or else as Latin-1."""
        for utf8 in (False, True):
            if (found := names.decode(self.raw, utf8=utf8)) is not None:
                return found
        return self.raw.decode("latin-1")


class Fetched(Struct, frozen=True):
    """A message. What was not told is empty."""

    uid: int
    size: int | None = None  # RFC822.SIZE, which some servers only guess
    flags: tuple[str, ...] | None = None
    received: int = 0  # Unix milliseconds; 0: not told
    content: bytes | Streamed | None = None
    asked: bool = False  # whether the content was told of, be it NIL


def listed(item: Untagged) -> Listed | None:
    """What LIST says of a mailbox (RFC 9051 7.3.1)."""
    match item.words:
        case (str() as kind, tuple() as said, separator, bytes() | str() as name, *_) if kind.upper() == "LIST":
            raw = name if isinstance(name, bytes) else name.encode("latin-1")
            if not raw or len(raw) > _LONGEST_NAME or any(octet in raw for octet in b"\0\r\n"):
                return None
            attributes = frozenset(word.lower() for word in said[:_MOST_FLAGS] if isinstance(word, str))
            between = separator.decode("latin-1") if isinstance(separator, bytes) else ""
            return Listed(raw, between if len(between) == 1 else "", attributes)
    return None


def fetched(item: Untagged) -> Fetched | None:
    """What FETCH says of a message (RFC 9051 7.5.2); None without a UID: a server says so of others' changes."""
    match item.words:
        case (str() as number, str() as kind, tuple() as said, *_) if kind.upper() == "FETCH" and number.isdecimal():
            pairs = {name.upper(): value for name, value in _pairs(said)}
            uid = _number(pairs.get("UID"), MOST)
            if not uid:
                return None
            flags, content = pairs.get("FLAGS"), pairs.get("BODY[]")
            return Fetched(
                uid,
                _number(pairs.get("RFC822.SIZE"), 2**63 - 1),
                _flags(flags) if isinstance(flags, tuple) else None,
                _moment(pairs.get("INTERNALDATE")),
                content if isinstance(content, bytes | Streamed) else None,
                "BODY[]" in pairs,
            )
    return None


def number_of(item: Untagged, kind: str) -> int | None:
    """The number that stands before a word: ``* 17 EXISTS``."""
    match item.words:
        case (str() as number, str() as word, *_) if word.upper() == kind:
            return _number(number, MOST)
    return None


def _pairs(said: tuple[Token, ...]) -> Iterator[tuple[str, Token]]:
    for name, value in zip(said[::2], said[1::2], strict=False):
        if isinstance(name, str):
            yield name, value


def _number(value: Token, most: int) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 20 and int(value) <= most:
        return int(value)
    return None


def _flags(value: tuple[Token, ...]) -> tuple[str, ...]:
    return tuple(flag for flag in value[:_MOST_FLAGS] if isinstance(flag, str))


def _moment(value: Token) -> int:
    moment = dates.parse_date_time(value) if isinstance(value, bytes) else None
    return max(0, round(moment.timestamp() * 1000)) if moment is not None else 0
