"""The words of one language, as a file of TOML has them: those that come along, and those of an operator."""

import re
import string
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import msgspec
from msgspec import Struct

from engine.protocols.dsn import ACTIONS

BUILT_IN = ("de", "en", "es", "fr", "ja", "vi")
"""Languages that come along, each a file beside this one."""

ENGLISH = "en"

FILE_LIMIT = 64 * 1024
"""Octets of a file of words."""

LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[a-z0-9]{2,8}){0,3}")
"""A tag that a file may have for its name (RFC 5646), in lower case."""

_DATE = re.compile(r"(?:[^%]|%[YmdHMS%])+")
_REASON = re.compile(r"\d{1,2}\.\d{1,3}")
_PLACEHOLDERS: Mapping[str, frozenset[str]] = {
    "server": frozenset({"hostname"}),
    "happened": frozenset({"date"}),
    "said": frozenset({"server"}),
    "keep_trying": frozenset({"date"}),
}


class Flawed(ValueError):
    """A file of words cannot be used; the text names it and says why."""


class Words(Struct, frozen=True, forbid_unknown_fields=True):
    """What stands in such a file. Texts are lines for a person; ``{…}`` is filled in.

    ``happened`` is by action, of what is reported, and so are ``subject`` and ``advice``. ``reason`` says what an
    enhanced code means (RFC 3463), by its subject and detail: "1.1", whatever its class.
    """

    name: str  # who the letter is from
    server: str  # {hostname}
    date: str  # for strftime, numbers only: %Y %m %d %H %M %S
    said: str  # {server}
    said_unnamed: str
    keep_trying: str  # {date}
    subject: dict[str, str]
    happened: dict[str, str]  # {date}
    advice: dict[str, str]
    reason: dict[str, str]
    language: str = ""

    def why(self, code: str) -> str:
        """What an enhanced code means; empty where there are no words for it."""
        return self.reason.get(code.partition(".")[2], "")


def words(octets: bytes, language: str) -> Words:
    """The words in a file. Flawed with everything that is wrong."""
    if len(octets) > FILE_LIMIT:
        raise Flawed(f"has more than {FILE_LIMIT // 1024} KiB")
    try:
        found = msgspec.convert(tomllib.loads(octets.decode()) | {"language": language}, Words, strict=True)
    except (ValueError, RecursionError) as error:  # what is no UTF-8, no TOML, or lacks something
        raise Flawed(str(error)) from error
    if problems := list(_problems(found)):
        raise Flawed("; ".join(problems))
    return found


def _problems(found: Words) -> Iterator[str]:
    for table in ("subject", "happened", "advice"):
        texts = getattr(found, table)
        yield from (f"{table} lacks {action}" for action in ACTIONS if not texts.get(action))
        yield from (
            f"{table} has {name}, which is none of {', '.join(ACTIONS)}" for name in texts if name not in ACTIONS
        )
    yield from (f'reason has "{code}", which is no "1.1"' for code in found.reason if not _REASON.fullmatch(code))
    if not _DATE.fullmatch(found.date):
        yield "date may have %Y, %m, %d, %H, %M and %S, and no other %"
    for place, text in _texts(found):
        yield from _flaws(place, text)


def _texts(found: Words) -> Iterator[tuple[str, str]]:
    for name in ("name", "server", "said", "said_unnamed", "keep_trying"):
        yield name, getattr(found, name)
    for table in ("subject", "happened", "advice", "reason"):
        yield from ((f"{table}.{name}", text) for name, text in getattr(found, table).items())


def _flaws(place: str, text: str) -> Iterator[str]:
    allowed = _PLACEHOLDERS.get(place.partition(".")[0], frozenset())
    try:
        pieces = list(string.Formatter().parse(text))
    except ValueError as error:
        yield f"{place}: {error}; a brace of its own is written twice"
        return
    for _, name, form, conversion in pieces:
        if name is not None and (name not in allowed or form or conversion):
            may = f"there is {{{'}, {'.join(sorted(allowed))}}}" if allowed else "nothing is filled in here"
            yield f"{place}: {{{name}}} is unknown; {may}"
    if place in ("name", *(f"subject.{action}" for action in ACTIONS)) and not text.isprintable():
        yield f"{place} must be one line"
    if not text.strip():
        yield f"{place} is empty"


@cache
def built_in(language: str) -> Words:
    """The words of a language that comes along."""
    return words((Path(__file__).parent / f"{language}.toml").read_bytes(), language)


def read_folder(folder: Path) -> dict[str, Words]:
    """The words in a folder, by language: each file is named by its tag, "de.toml". OSError, Flawed.

    Flawed names every file that cannot be used.
    """
    found, flaws = {}, []
    for path in sorted(folder.glob("*.toml")):
        try:
            if not LANGUAGE.fullmatch(path.stem):
                raise Flawed('is to be named by a language, like "de.toml" or "pt-br.toml"')
            found[path.stem] = words(path.read_bytes(), path.stem)
        except Flawed as flaw:
            flaws.append(f"{path.name}: {flaw}")
    if flaws:
        raise Flawed("\n".join(flaws))
    return found
