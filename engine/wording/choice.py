"""In which language somebody is written to: by what their message says, by their domain, or as it is set."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from engine.wording.words import BUILT_IN, ENGLISH, Words, built_in

RANGES = 20
"""Languages of one field that are looked at."""

FIELD_LIMIT = 1000
"""Characters of one field that are."""

# RFC 4647 2.1, with the weight that RFC 3282 3 gives it.
_RANGE = re.compile(r"([A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8}){0,8})(?:[ \t]*;[ \t]*q[ \t]*=[ \t]*([01](?:\.[0-9]{0,3})?))?")

READS = ("Accept-Language", "X-Accept-Language")
"""Fields that say what the author reads (RFC 3282 3), before the setting of their domain."""

WRITES = ("Content-Language",)
"""Fields that say what the message is written in (RFC 3282 2), behind that."""


@dataclass(frozen=True, slots=True)
class Languages:
    """The languages that there are, and when each is taken.

    ``own`` are an operator's, which go before those that come along. ``domains`` has a language by domain of the
    sender, as it compares. ``follow``: what the message says counts.
    """

    own: Mapping[str, Words] = field(default_factory=dict)
    default: str = ENGLISH
    domains: Mapping[str, str] = field(default_factory=dict)
    follow: bool = True

    @property
    def known(self) -> frozenset[str]:
        return frozenset((*self.own, *BUILT_IN))

    def words(self, language: str) -> Words:
        """The words of a language of ``known``."""
        own = self.own.get(language)
        return built_in(language) if own is None else own

    def at_hand(self) -> "Languages":
        """The same, with all of their words read: later there may be no descriptor left to read them with."""
        for language in BUILT_IN:
            built_in(language)
        return self

    def chosen(self, domain: str, said: Mapping[str, str | None]) -> Words:
        """For a sender at that domain, whose message has the fields ``said``, by their names in READS and WRITES."""
        return self.words(next(self._wanted(domain, said), self.default))

    def written_to(self, domain: str, chosen: str = "") -> Words:
        """For somebody of ours at that domain, who may have chosen a language for themselves."""
        return self.words(chosen) if chosen in self.known else self.chosen(domain, {})

    def _wanted(self, domain: str, said: Mapping[str, str | None]) -> Iterator[str]:
        if self.follow:
            yield from self._of(said.get(name) for name in READS)
        if domain in self.domains:
            yield self.domains[domain]
        if self.follow:
            yield from self._of(said.get(name) for name in WRITES)

    def _of(self, values: Iterable[str | None]) -> Iterator[str]:
        for value in values:
            if value and (found := preferred(value, self.known)):
                yield found


def preferred(value: str, known: Iterable[str]) -> str:
    """The best of the languages that a field names and we know; empty where there is none (RFC 4647 3.4)."""
    there = set(known)
    for _, language in sorted(_ranges(value), key=lambda found: -found[0]):
        tag = language.lower()
        while tag:
            if tag in there:
                return tag
            tag = tag.rpartition("-")[0]
    return ""


def _ranges(value: str) -> Iterator[tuple[float, str]]:
    for text in value[:FIELD_LIMIT].split(",")[:RANGES]:
        found = _RANGE.fullmatch(text.strip())
        if found is not None and (weight := min(float(found[2] or 1), 1.0)) > 0:
            yield weight, found[1]
