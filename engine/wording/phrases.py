"""What the engine says, in the reader's language: texts that are whole and English by the time a page has them.

Reasons lie in the queue and the history, mistakes come through sockets, and commands and events say the same in
English. So a catalogue in `catalogue/LANGUAGE` has their forms, "{} is no address", and a text is known by its
form. What is of no form is the word of another server or of a person, and stays as it is.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, lru_cache
from pathlib import Path
from string import Formatter
from typing import Final, NamedTuple

from babel.messages.pofile import read_po
from babel.numbers import get_decimal_symbol, get_group_symbol

LONGEST: Final = 4000
"""Characters of a text that is looked at: it may have come from anywhere."""

_DEPTH: Final = 4
"""Texts within texts: "the hook fails: cannot read FILE: no such file"."""

_HEADS: Final = 4
"""Colons of a text that are looked behind."""

_PARTS: Final = 100
"""Lines of a text that are looked at each for itself."""

_ENOUGH: Final = 6
"""Letters that a form must have: "{} more" is ours only within another text."""

_REMEMBERED: Final = 4096
"""Texts of a language that are remembered: lists say the same again and again."""

_REPLY = re.compile(r"[245]\d\d[ -]")
"""So begins what another server has said (RFC 5321 4.2), which may be one like this."""

_FOLDER: Final = Path(__file__).parent / "catalogue"
_MEASURE = re.compile(
    r"(\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)( (?:octets|seconds|minutes|hours|days|ms|[kKMGT]?i?B))?"
)


class Form(NamedTuple):
    """A text with places for values."""

    pieces: tuple[str, ...]  # what stands before, between and behind the values
    longest: str  # of these
    translation: str  # for str.format
    is_broad: bool  # so little stands in it that others may well say so

    def values(self, text: str) -> list[str] | None:
        """Those in a text of this form. It takes time in proportion to the text, whatever is in it."""
        first, *between, last = self.pieces
        at, end, found = len(first), len(text) - len(last), []
        if self.longest not in text or at > end or not text.startswith(first) or not text.endswith(last):
            return None
        for piece in between:
            next_ = text.find(piece, at, end)
            if next_ < 0:
                return None
            found.append(text[at:next_])
            at = next_ + len(piece)
        return [*found, text[at:end]]


class Phrases:
    """The texts of one language. ``said`` and ``figure`` are what other modules want."""

    def __init__(self, catalogue: Mapping[str, str], language: str) -> None:
        forms = {text: pieces(text) for text in catalogue}
        self._whole = {found[0]: catalogue[text].format() for text, found in forms.items() if len(found) == 1}
        some = [_form(found, catalogue[text]) for text, found in forms.items() if len(found) > 1]
        # The one that says most is meant: "{} is no address: {}" before "{}: {}".
        self._forms = sorted(some, key=lambda form: -sum(map(len, form.pieces)))
        self._signs = {".": get_decimal_symbol(language), ",": get_group_symbol(language)}
        self.said = lru_cache(_REMEMBERED)(self._said)

    def _said(self, text: str) -> str:
        """A text of the engine in this language; any other as it is."""
        return text if len(text) > LONGEST else self._known(text, _DEPTH) or text

    def _known(self, text: str, depth: int) -> str:
        """Empty where it is none of ours."""
        if found := self._whole.get(text):
            return found
        if not depth or _REPLY.match(text):
            return ""
        is_whole = depth == _DEPTH
        found = self._of_form(text, depth - 1, is_whole=is_whole) or (self._of_lines(text, depth) if is_whole else "")
        return found or self._behind(text, depth - 1)

    def _of_form(self, text: str, depth: int, *, is_whole: bool) -> str:
        found = None
        for form in self._forms:
            if not (is_whole and form.is_broad) and (values := form.values(text)) is not None:
                found = found or (form, values)
                if not any(": " in value for value in values):  # else it may be a text of ours behind another one
                    found = form, values
                    break
        return found[0].translation.format(*(self._value(value, depth) for value in found[1])) if found else ""

    def _value(self, value: str, depth: int) -> str:
        """A number is written as in this language; what may itself be a text of ours is."""
        return self.figure(value) if _MEASURE.fullmatch(value) else self._known(value, depth) or value

    def figure(self, text: str) -> str:
        """A number, perhaps with its unit; a version or a code may look like one without."""
        found = _MEASURE.fullmatch(text)
        if found is None:
            return text
        number = "".join(self._signs.get(sign, sign) for sign in found[1]) if found[2] or "," in text else found[1]
        unit = found[2] or ""
        return self._known(f"{found[1]}{unit}", 1).replace(found[1], number) or number + unit

    def _of_lines(self, text: str, depth: int) -> str:
        """Several in one, each for itself."""
        for sign in ("\n", "; "):
            if 0 < text.count(sign) < _PARTS:
                parts = text.split(sign)
                known = [self._known(part, depth - 1) for part in parts]
                if any(known):
                    return sign.join(found or part for found, part in zip(known, parts, strict=True))
        return ""

    def _behind(self, text: str, depth: int) -> str:
        """What somebody's name stands before: "pipeline.toml:3: is required"."""
        for head in _heads(text):
            rest = text[len(head) :]
            if found := self._whole.get(rest) or (self._of_form(rest, depth, is_whole=False) if depth else ""):
                return head + found
        return ""


def _form(found: tuple[str, ...], translation: str) -> Form:
    letters = sum(map(str.isalpha, "".join(found)))
    return Form(found, max(found, key=len), translation, letters < (_ENOUGH if not found[0] else 4))


def _heads(text: str) -> Iterator[str]:
    at = 0
    for _ in range(_HEADS):
        at = text.find(": ", at) + 2
        if at < 2:
            return
        yield text[:at]


def pieces(text: str) -> tuple[str, ...]:
    """What stands around the places of values in a text of the catalogue."""
    found, so_far = [], ""
    for literal, name, _, _ in Formatter().parse(text):
        so_far += literal
        if name is not None:
            found.append(so_far)
            so_far = ""
    return (*found, so_far)


@cache
def phrases(language: str) -> Phrases | None:
    """Those of a language; None where there are none: for the one that the engine speaks, and those without pages."""
    if not (_FOLDER / language).is_dir():
        return None
    return Phrases(dict(read_catalogue(language)), language)


def read_catalogue(language: str) -> Iterable[tuple[str, str]]:
    """The texts of a language, each with what it is in English."""
    for path in sorted((_FOLDER / language).glob("*.po")):
        with path.open("rb") as file:
            yield from ((str(one.id), str(one.string)) for one in read_po(file, locale=language) if one.id)


def said(language: str, text: str) -> str:
    """A text of the engine in that language; any other as it is."""
    known = phrases(language)
    return known.said(text) if known is not None else text


def figure(language: str, text: str) -> str:
    """A number or a measure as that language writes it: "4.1 GB" is "4,1 GB", and "30 days" is "30 ngày"."""
    known = phrases(language)
    return known.figure(text) if known is not None else text
