"""What is written into the search field, as a search key: ``from:ann has:attachment before:2026-01-01 -draft``."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from engine.mime.search import folded
from engine.protocols.imap.search_keys import (
    And,
    Contains,
    Dated,
    Everything,
    HasFlag,
    HeaderContains,
    Not,
    Or,
    SearchKey,
    Sized,
)

LONGEST: Final = 1000
"""Characters of a search."""

TERMS: Final = 30
"""Terms of a search."""

EVERYWHERE: Final = frozenset({"anywhere", "all", "everywhere"})
"""What ``in:`` says for all mailboxes."""

_TERM = re.compile(r'(-?)(?:([A-Za-z]+):)?(?:"([^"]*)"?|(\S+))')
_DAY = re.compile(r"(\d{4})[-/](\d{1,2})(?:[-/](\d{1,2}))?")
_AGO = re.compile(r"(\d{1,4})([dwmy])", re.IGNORECASE)
_SIZE = re.compile(r"(\d{1,10})([kmg]?)b?", re.IGNORECASE)
_DAYS: Final = {"d": 1, "w": 7, "m": 30, "y": 365}
_UNITS: Final = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}

_STATES: Final[Mapping[str, SearchKey]] = {
    "unread": Not(HasFlag("\\Seen")),
    "unseen": Not(HasFlag("\\Seen")),
    "read": HasFlag("\\Seen"),
    "seen": HasFlag("\\Seen"),
    "flagged": HasFlag("\\Flagged"),
    "starred": HasFlag("\\Flagged"),
    "answered": HasFlag("\\Answered"),
    "draft": HasFlag("\\Draft"),
    "deleted": HasFlag("\\Deleted"),
}


_NAMELESS = str.maketrans({"đ": "d", "Đ": "D", "ł": "l", "Ł": "L", "ø": "o", "Ø": "O", "ß": "ss"})

_NONE: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True)
class Search:
    """A search that was read."""

    key: SearchKey
    box: str = ""  # a name; in EVERYWHERE: all; empty: where the person is
    attached: bool | None = None  # None: whether or not something is attached
    mistakes: tuple[str, ...] = ()  # terms that make no sense


def read(text: str, today: date, labels: Mapping[str, str] = _NONE) -> Search:
    """Whatever was written is a search: what is no operator is looked for as it stands.

    ``labels``: keywords by the names that their owner has given them, as ``plain`` has them.
    """
    keys, mistakes = list[SearchKey](), list[str]()
    box, attached, either = "", None, False
    for match in list(_TERM.finditer(text[:LONGEST]))[:TERMS]:
        minus, name, quoted, bare = match.groups()
        value, name = (quoted if quoted is not None else bare), (name or "").lower()
        if not name and not minus and quoted is None and bare == "OR" and keys:
            either = True
            continue
        if name == "label":
            value = labels.get(plain(value), value)
        if name == "in":
            box = value
        elif name == "has" and value.lower().removesuffix("s") in ("attachment", "file"):
            attached = not minus
        else:
            key = _key(name, value, today) if name in OPERATORS else Contains("TEXT", _plain(name, value))
            if key is None:
                mistakes.append(match[0])
                continue
            key = Not(key) if minus else key
            keys.append(Or(keys.pop(), key) if either else key)
        either = False
    return Search(_all(keys), box, attached, tuple(mistakes))


def _all(keys: list[SearchKey]) -> SearchKey:
    return And(tuple(keys)) if len(keys) > 1 else keys[0] if keys else Everything()


def _plain(name: str, value: str) -> str:
    return f"{name}:{value}" if name else value


def _key(name: str, value: str, today: date) -> SearchKey | None:
    return OPERATORS[name](value, today) if value else None


def _in_field(field: str) -> Callable[[str, date], SearchKey | None]:
    return lambda value, _: Contains(field, value)


def _state(value: str, _: date) -> SearchKey | None:
    return _STATES.get(value.lower())


def _label(value: str, _: date) -> SearchKey | None:
    return HasFlag(value) if value.isascii() and value.isprintable() else None


def _sized(larger: bool) -> Callable[[str, date], SearchKey | None]:
    def key(value: str, _: date) -> SearchKey | None:
        found = _SIZE.fullmatch(value)
        return Sized(larger, int(found[1]) * _UNITS[found[2].lower()]) if found is not None else None

    return key


def _dated(comparison: str) -> Callable[[str, date], SearchKey | None]:
    def key(value: str, today: date) -> SearchKey | None:
        day = _day(value, today)
        return Dated("INTERNAL", comparison, day) if day is not None else None  # type: ignore[arg-type]

    return key


def _aged(older: bool) -> Callable[[str, date], SearchKey | None]:
    """``older:2w``, ``newer:3d``."""

    def key(value: str, today: date) -> SearchKey | None:
        found = _AGO.fullmatch(value)
        if found is None:
            return None
        day = today - timedelta(days=int(found[1]) * _DAYS[found[2].lower()])
        return Dated("INTERNAL", "BEFORE" if older else "SINCE", day)

    return key


def _day(value: str, today: date) -> date | None:
    if value.lower() in ("today", "yesterday"):
        return today - timedelta(days=value.lower() == "yesterday")
    found = _DAY.fullmatch(value)
    try:
        return date(int(found[1]), int(found[2]), int(found[3] or 1)) if found is not None else None
    except ValueError:
        return None


OPERATORS: Final[Mapping[str, Callable[[str, date], SearchKey | None]]] = {
    "from": _in_field("FROM"),
    "to": _in_field("TO"),
    "cc": _in_field("CC"),
    "bcc": _in_field("BCC"),
    "subject": _in_field("SUBJECT"),
    "body": _in_field("BODY"),
    "list": lambda value, _: HeaderContains("list-id", value),
    "is": _state,
    "label": _label,
    "larger": _sized(True),
    "smaller": _sized(False),
    "before": _dated("BEFORE"),
    "on": _dated("ON"),
    "after": _dated("SINCE"),
    "since": _dated("SINCE"),
    "older": _aged(True),
    "newer": _aged(False),
}


def plain(text: str) -> str:
    """In one case and without accents: who types "nguyen" may mean Nguyễn."""
    if text.isascii():
        return text.lower()
    parted = unicodedata.normalize("NFD", folded(text).translate(_NAMELESS))
    return "".join(one for one in parted if not unicodedata.combining(one))
