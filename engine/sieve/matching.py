"""Comparators (RFC 4790, 5051) and match types (RFC 5228 2.7, RFC 5231): whether values fit keys."""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from engine import regex

_UPPER = {letter: letter - 32 for letter in range(ord("a"), ord("z") + 1)}


def _ascii(text: str) -> str:
    return text.upper() if text.isascii() else text.translate(_UPPER)


def _same(text: str) -> str:
    return text


def _unicode(text: str) -> str:
    # RFC 5051 2: titlecase of each character, then its decomposition.
    return text.upper() if text.isascii() else unicodedata.normalize("NFKD", "".join(map(str.title, text)))


def _numeric(text: str) -> tuple[bool, int]:
    """A text that begins with no digit is greater than every number, and equal to its like (RFC 4790 9.1.1)."""
    match = re.match(r"[0-9]{1,40}", text)
    return (False, int(match[0])) if match else (True, 0)


COMPARATORS: Mapping[str, Callable[[str], object]] = {
    "i;octet": _same,
    "i;ascii-casemap": _ascii,
    "i;ascii-numeric": _numeric,
    "i;unicode-casemap": _unicode,
}
"""What is made of two texts before they are compared."""

_RELATIONS: Mapping[str, Callable[[object, object], bool]] = {
    "gt": lambda one, other: one > other,  # type: ignore[operator]
    "ge": lambda one, other: one >= other,  # type: ignore[operator]
    "lt": lambda one, other: one < other,  # type: ignore[operator]
    "le": lambda one, other: one <= other,  # type: ignore[operator]
    "eq": lambda one, other: one == other,
    "ne": lambda one, other: one != other,
}


@dataclass(frozen=True, slots=True)
class Match:
    """How values are held against keys. ``spend`` hears how many characters are looked at, and may stop it by raising.

    ``found`` is called with the match variables of a match that sets them (RFC 5229 3.2).
    """

    kind: str
    comparator: str
    relation: str
    regex_limit: int
    spend: Callable[[int], None]
    found: Callable[[list[str]], None] | None

    def any(self, values: Sequence[str], keys: Sequence[str]) -> bool:
        """Whether some value fits some key; for ``count``, whether their number does. ValueError: a wrong regex."""
        if self.kind == "count":
            values = [str(len(values))]
        one = _KINDS[self.kind]
        return any(one(self, value, key) for value in values for key in keys)

    def _prepared(self, text: str) -> object:
        self.spend(len(text) + 1)
        return COMPARATORS[self.comparator](text)

    def _is(self, value: str, key: str) -> bool:
        return self._prepared(value) == self._prepared(key)

    def _contains(self, value: str, key: str) -> bool:
        whole, part = self._prepared(value), self._prepared(key)
        return isinstance(whole, str) and isinstance(part, str) and part in whole

    def _relates(self, value: str, key: str) -> bool:
        return _RELATIONS[self.relation](self._prepared(value), self._prepared(key))

    def _matches(self, value: str, key: str) -> bool:
        # Each run of fixed characters is looked for once from each place of the value.
        self.spend((len(value) + 1) * (len(key) // 16 + 1))
        match = _wildcards(key, self.comparator).fullmatch(value)
        if match is not None and self.found is not None:
            self.found([match[0], *match.groups()])
        return match is not None

    def _regex(self, value: str, key: str) -> bool:
        expression = regex.compiled(key, casemap=self.comparator != "i;octet", limit=self.regex_limit)
        if not expression.matches(value, self.spend):
            return False
        if self.found is not None:
            self.found(expression.groups(value, self.spend) or [])
        return True


_KINDS: Mapping[str, Callable[[Match, str, str], bool]] = {
    "is": Match._is,
    "contains": Match._contains,
    "matches": Match._matches,
    "regex": Match._regex,
    "value": Match._relates,
    "count": Match._relates,
}


@lru_cache(maxsize=1024)
def _wildcards(pattern: str, comparator: str) -> re.Pattern[str]:
    """A pattern with ``*`` and ``?`` as a regular expression that never goes back to an earlier ``*``.

    Each ``*`` takes as little as it can (RFC 5229 3.2): what follows it, up to the next one, is looked for from left to
    right, and once found is left where it is. The last run alone is bound to the end.
    """
    runs: list[list[str]] = [[]]
    at = 0
    while at < len(pattern):
        character = pattern[at]
        if character == "*":
            runs.append([])
        elif character == "?":
            runs[-1].append("(.)")
        else:
            if character == "\\" and at + 1 < len(pattern):
                at += 1
            runs[-1].append(re.escape(pattern[at]))
        at += 1
    first, *others = ["".join(run) for run in runs]
    text = first + "".join(f"(?>(.*?){run})" for run in others[:-1])
    if others:
        text += f"(.*){others[-1]}"
    flags = {"i;octet": re.DOTALL, "i;ascii-casemap": re.DOTALL | re.IGNORECASE | re.ASCII}
    return re.compile(text, flags.get(comparator, re.DOTALL | re.IGNORECASE))
