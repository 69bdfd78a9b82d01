"""Sieve's words (RFC 5228 8.1): text in, tokens with their places out."""

import enum
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from engine.sieve.errors import Mistake, ScriptError

LARGEST = 2**63 - 1
"""The largest number; RFC 5228 2.4.1 asks for 2^31 - 1."""

_FACTORS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}

# The names of the groups are those of Kind, but for what is skipped and what is wrong.
_TOKEN = re.compile(
    r"""
    (?P<SKIP> [ \t\n]++ | \#[^\n]*+ | /\*(?>(?:[^*]++|\*(?!/))*)\*/ )
  | (?P<MULTILINE> text:[ \t]*+(?:\#[^\n]*+)?\n (?P<lines> (?>(?:(?!\.\n|\.\Z)[^\n]*+\n)*) ) \.(?:\n|\Z) )
  | (?P<QUOTED> "(?>(?:[^"\\]++|\\.)*)" )
  | (?P<NUMBER> [0-9]++[KMG]? (?![A-Za-z0-9_]) )
  | (?P<TAG> :[A-Za-z_][A-Za-z0-9_]*+ )
  | (?P<NAME> (?!text:[ \t]*+(?:\#[^\n]*+)?\n) [A-Za-z_][A-Za-z0-9_]*+ )
  | (?P<MARK> [][(){};,] )
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_STUFFED = re.compile(r"^\.(?=\.)", re.MULTILINE)


class Kind(enum.Enum):
    STRING = "a string"
    NUMBER = "a number"
    TAG = "a tag"
    NAME = "a word"
    MARK = "a mark"
    END = "the end of the script"


@dataclass(frozen=True, slots=True)
class Token:
    """``value`` is a string as it is meant, a number, or a word, tag or mark; words and tags in lower case."""

    kind: Kind
    value: str | int
    at: int

    def __str__(self) -> str:
        return self.kind.value if self.kind in {Kind.STRING, Kind.END} else f"`{self.value}`"


class Source:
    """The text of a script, its lines ended by LF alone, and where in it something stands."""

    def __init__(self, octets: bytes, limit: int) -> None:
        self.text = ""
        self._starts = [0]
        if len(octets) > limit:
            raise self.error(0, f"the script is longer than {limit} octets")
        try:
            self.text = octets.decode("utf-8").removeprefix("\ufeff").replace("\r\n", "\n")
        except UnicodeDecodeError as error:
            line = octets.count(b"\n", 0, error.start) + 1
            raise ScriptError((Mistake(line, 1, "the script is not in UTF-8"),)) from error
        self._starts += [match.end() for match in re.finditer("\n", self.text)]
        if strange := re.search(r"[\0\r]", self.text):
            raise self.error(strange.start(), "a script holds no NUL, and no CR but before LF")

    def mistake(self, at: int, text: str) -> Mistake:
        line = bisect_right(self._starts, at)
        return Mistake(line, at - self._starts[line - 1] + 1, text)

    def error(self, at: int, text: str) -> ScriptError:
        return ScriptError((self.mistake(at, text),))


def tokens(source: Source) -> Iterator[Token]:
    """The words of a script, the end of it last. ScriptError for what is none."""
    text, at = source.text, 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise source.error(at, _unreadable(text, at))
        if match.lastgroup != "SKIP":
            yield _token(source, match)
        at = match.end()
    yield Token(Kind.END, "", at)


def _token(source: Source, match: re.Match[str]) -> Token:
    at, text = match.start(), match[0]
    if match["lines"] is not None:
        return Token(Kind.STRING, _STUFFED.sub("", match["lines"]).replace("\n", "\r\n"), at)
    if match["QUOTED"]:
        return Token(Kind.STRING, _ESCAPE.sub(r"\1", text[1:-1]).replace("\n", "\r\n"), at)
    if match["NUMBER"]:
        digits = text.rstrip("KMGkmg")
        number = int(digits) * _FACTORS[text[len(digits) :].upper()] if len(digits) < 20 else LARGEST + 1
        if number > LARGEST:
            raise source.error(at, f"a number is at most {LARGEST}")
        return Token(Kind.NUMBER, number, at)
    kind = Kind.MARK if match["MARK"] else Kind.TAG if match["TAG"] else Kind.NAME
    return Token(kind, text.lower(), at)


def _unreadable(text: str, at: int) -> str:
    if text[at] == '"':
        return "a string begins here that does not end"
    if text[at : at + 5].lower() == "text:":
        return "a text begins here that does not end with a line of one dot"
    if text.startswith("/*", at):
        return "a comment begins here that does not end"
    if text[at] == "-":
        return "a number has no sign"
    if text[at].isdigit():
        return "a number is digits, and K, M or G"
    return f"{text[at]!r} has no meaning here"
