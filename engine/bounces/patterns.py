"""The table of patterns: what replies say, read from files, and made into one classifier."""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import msgspec

from engine.bounces.classes import CLASSES, UNKNOWN, About, Class, Retry, is_own
from engine.bounces.heard import Heard, Phase
from engine.bounces.phrases import Phrases
from engine.regex import Regex, compiled

OURS = "patterns.toml"

LARGEST_EXPRESSION = 2_000
"""Steps of an expression, its repetitions written out."""


class BadPatterns(ValueError):
    """A table that cannot be used; the text says which pattern, and why."""


class _Written(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"name": "class"}):
    """A pattern as it stands in the file."""

    name: str
    texts: tuple[str, ...] = ()
    match: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    status: tuple[str, ...] = ()
    phases: tuple[Phase, ...] = ()


class _Declared(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A class of the operator's own as it stands in the file."""

    name: str
    about: About = "site"
    permanent: bool = False
    retry: Retry = "usual"
    text: str = ""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"classes": "class"}):
    classes: tuple[_Declared, ...] = ()
    pattern: tuple[_Written, ...] = ()


class Table(NamedTuple):
    """What a file says: classes of its own, and patterns in their order."""

    classes: Mapping[str, Class]
    patterns: "list[Pattern]"


@dataclass(frozen=True, slots=True)
class Pattern:
    """What a reply must be, for a class. ``codes`` and ``status`` are beginnings and endings; empty: any."""

    which: Class
    texts: tuple[str, ...] = ()
    expressions: tuple[Regex, ...] = ()
    codes: tuple[str, ...] = ()
    status: frozenset[str] = frozenset()
    phases: tuple[Phase, ...] = ()

    def allows(self, heard: Heard) -> bool:
        """Whether all holds but for the text."""
        if self.codes and not (str(heard.code) if heard.code else "none").startswith(self.codes):
            return False
        if self.status and heard.status not in self.status and f"x{heard.status[1:]}" not in self.status:
            return False
        return not self.phases or heard.phase in self.phases


class Finding(NamedTuple):
    """The class of a reply. ``by`` is what it was known by, for people; ``in_words``: not by its codes alone."""

    which: Class
    permanent: bool
    by: str = ""
    in_words: bool = False

    @property
    def name(self) -> str:
        return self.which.name

    @property
    def retry(self) -> Retry:
        """When to try again what is not refused for good."""
        return "never" if self.permanent else self.which.retry


class Classifier:
    """Patterns in their order: of those that fit, the first counts. Made once, it may be used by all threads."""

    def __init__(self, patterns: Iterable[Pattern]) -> None:
        self._patterns = tuple(patterns)
        texts = [(text, rank) for rank, pattern in enumerate(self._patterns) for text in pattern.texts]
        self._texts = texts
        self._phrases = Phrases([text for text, _ in texts])
        self._others = [rank for rank, one in enumerate(self._patterns) if one.expressions or not one.texts]

    def classify(self, text: str, *, code: int = 0, status: str = "", phase: Phase = "") -> Finding:
        """The class of a reply, as it was heard or as others quote it."""
        return self.of(Heard.of(text, code=code, status=status, phase=phase))

    def of(self, heard: Heard) -> Finding:
        """The class of what was heard."""
        met: dict[int, int] = {}
        for number in sorted(self._phrases.found(heard.text)):
            met.setdefault(self._texts[number][1], number)
        for rank in sorted({*met, *self._others}):
            pattern = self._patterns[rank]
            if pattern.allows(heard) and (rank in met or _fits(pattern, heard)):
                by = self._texts[met[rank]][0] if rank in met else _condition(heard)
                in_words = rank in met or bool(pattern.expressions)
                return Finding(pattern.which, _is_permanent(heard, pattern.which), by, in_words)
        return Finding(UNKNOWN, _is_permanent(heard, UNKNOWN))


def _fits(pattern: Pattern, heard: Heard) -> bool:
    if pattern.expressions:
        return any(one.matches(heard.text, _free) for one in pattern.expressions)
    return not pattern.texts


def _free(_work: int) -> None:
    """What an expression costs is bounded by the length of the text, which `Heard` bounds."""


def _condition(heard: Heard) -> str:
    return " ".join(filter(None, (str(heard.code or ""), heard.status)))


def _is_permanent(heard: Heard, which: Class) -> bool:
    """The reply's code decides (RFC 5321 4.2.1), then the enhanced one, then what the class usually is."""
    first = str(heard.code)[0] if heard.code else heard.status[:1]
    return first == "5" if first in ("4", "5") else which.permanent


def parse(text: str) -> Table:
    """The text of a file. BadPatterns."""
    try:
        written = msgspec.convert(tomllib.loads(text), _File)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise BadPatterns(str(error).replace("`$.", "`")) from error
    own = {one.name: _class(number, one) for number, one in enumerate(written.classes, 1)}
    if len(own) < len(written.classes):
        raise BadPatterns("two classes have the same name")
    classes = {**CLASSES, **own}
    return Table(own, [_made(number, one, classes) for number, one in enumerate(written.pattern, 1)])


def _class(number: int, declared: _Declared) -> Class:
    if not is_own(declared.name):
        raise BadPatterns(
            f"class {number}: {declared.name!r} is no name for a class of your own, such as x-night-shift"
        )
    return Class(declared.name, declared.about, declared.permanent, declared.retry, declared.text or declared.name)


def _made(number: int, written: _Written, classes: Mapping[str, Class]) -> Pattern:
    if written.name not in classes:
        raise BadPatterns(f"pattern {number}: there is no class {written.name}")
    if not any((written.texts, written.match, written.codes, written.status, written.phases)):
        raise BadPatterns(f"pattern {number}: it has no condition, and would fit everything")
    for text in written.texts:
        if not text.strip("* "):
            raise BadPatterns(f"pattern {number}: {text!r} would be found in everything")
    try:
        expressions = tuple(compiled(one, casemap=True, limit=LARGEST_EXPRESSION) for one in written.match)
    except ValueError as error:
        raise BadPatterns(f"pattern {number}: {error}") from error
    texts = tuple(text.lower() for text in written.texts)
    return Pattern(classes[written.name], texts, expressions, written.codes, frozenset(written.status), written.phases)


def read(path: Path) -> Table:
    """A file of the operator's. BadPatterns, OSError."""
    return parse(path.read_text(encoding="utf-8"))


@cache
def ours() -> tuple[Pattern, ...]:
    """The patterns that come with us."""
    return tuple(parse((files("engine.bounces") / OURS).read_text(encoding="utf-8")).patterns)


def classifier(path: Path | None = None) -> Classifier:
    """All patterns: those of the file, if there is one, before ours. BadPatterns, OSError."""
    theirs: Sequence[Pattern] = read(path).patterns if path is not None else ()
    return Classifier((*theirs, *ours())) if theirs else usual()


@cache
def usual() -> Classifier:
    """By our patterns alone."""
    return Classifier(ours())
