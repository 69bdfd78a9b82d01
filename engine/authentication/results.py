"""The Authentication-Results field (RFC 8601): how it is written, and who it claims to be from."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from engine.net.dns import a_labels

NAME = "Authentication-Results"

LINE = 78
"""Characters of a line before it is folded where it can be (RFC 5322 2.1.1)."""

VALUE_LIMIT = 256
"""Characters of one value that are written: any domain name fits, and no line comes near 998 (RFC 5322 2.1.1)."""

FIELD_LIMIT = 8192
"""Characters of a field that is read: a longer one was made to be slow to read."""

_TOKEN = re.compile(r"[!#-'*+.0-9A-Z^-~-]+")  # RFC 2045 5.1
_ADDRESS = re.compile(r"[!#-'*+.0-9A-Z^-~-]*@[A-Za-z0-9_.-]+")
_UNPRINTABLE = re.compile(r"[^ -~]")
_TO_QUOTE = re.compile(r'(["\\])')
_TO_ESCAPE = re.compile(r"([()\\])")

_PIECE = re.compile(
    r"(?P<space>[ \t\r\n]+)|"
    r'"(?P<quoted>(?>(?:[^"\\]++|\\.?)*))(?P<end>"|\Z)|'
    r'(?P<word>[^ "();=\x00-\x1f\x7f]+)|'
    r"(?P<mark>.)",
    re.DOTALL,
)
_PLAIN_HEAD = re.compile(r"[ \t\r\n]*([A-Za-z0-9._-]+)(?:[ \t\r\n]+1)?[ \t\r\n]*;")
_IN_COMMENT = re.compile(r"[^()\\]+|\\.?|(?P<mark>[()])", re.DOTALL)
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Finding:
    """One result: ``Finding("spf", "pass", (("smtp.mailfrom", "example.org"),), comment="…")``."""

    method: str
    result: str
    properties: tuple[tuple[str, str], ...] = ()
    comment: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Parsed:
    """A field that was understood. Names and results are in lower case; comments are gone."""

    authserv_id: str
    findings: tuple[Finding, ...]


def field(authserv_id: str, findings: Sequence[Finding]) -> bytes:
    """The whole field, folded, CRLF at its end. Whatever the values hold, it is one field of printable ASCII."""
    segments = [[*_words(finding)] for finding in findings] or [["none"]]
    lines = [f"{NAME}: {_value(authserv_id)}"]
    for segment in segments:
        lines[-1] += ";"
        lines += _folded(segment)
    return "".join(f"{line}\r\n" for line in lines).encode("ascii")


def body(authserv_id: str, findings: Sequence[Finding]) -> str:
    """What ``field`` writes behind the colon, on one line."""
    told = ("; " + " ".join(_words(finding)) for finding in findings)
    return _value(authserv_id) + ("".join(told) or "; none")


def parse(text: str) -> Parsed | None:
    """What stands behind the colon, folded or not; None where it is not what RFC 8601 2.2 allows.

    What many write is let pass: a semicolon at the end, empty values, and "=" in values that are not quoted.
    """
    if len(text) > FIELD_LIMIT:
        return None
    segments: list[list[_Piece]] = [[]]
    for piece in _pieces(text):
        if piece.kind == "flaw":
            return None
        if piece.kind == ";":
            segments.append([])
        else:
            segments[-1].append(piece)
    head = segments[0]
    if any(piece.kind != "word" for piece in head) or not 1 <= len(head) <= 2:
        return None
    if len(head) == 2 and not head[1].text.isdigit():  # the version of the field, which is 1
        return None
    if len(segments) > 2 and not segments[-1]:
        segments.pop()
    if len(segments) == 2 and [piece.text.lower() for piece in segments[1]] == ["none"]:
        return Parsed(head[0].text, ())
    findings = [_finding(segment) for segment in segments[1:]]
    if not findings or None in findings:
        return None
    return Parsed(head[0].text, tuple(finding for finding in findings if finding is not None))


def claims(text: str, authserv_id: str) -> bool:
    """Whether a field is one that we would be thought to have written (RFC 8601 5).

    That is one whose authserv-id is ours, and any that is malformed and names us anywhere: who reads it may make of it
    what they like.
    """
    own, named = _known(authserv_id)
    plain = _PLAIN_HEAD.match(text)
    if plain and (_compared(plain[1]) == own or not named.search(text)):
        return _compared(plain[1]) == own  # nearly every field that there is
    found = parse(text)
    if found is not None:
        return _compared(found.authserv_id) == own
    without_marks = "".join(piece.text for piece in _pieces(text[:FIELD_LIMIT]))
    return bool(named.search(text) or named.search(without_marks))


@lru_cache
def _known(authserv_id: str) -> tuple[str, re.Pattern[str]]:
    """Our name as it compares, and what finds it in a text."""
    names = "|".join(map(re.escape, {authserv_id, _compared(authserv_id)}))
    return _compared(authserv_id), re.compile(rf"(?<![\w.-])(?:{names})(?![\w-]|\.\w)", re.IGNORECASE)


def _compared(authserv_id: str) -> str:
    # Before RFC 7601 a version could follow a slash.
    name = authserv_id.partition("/")[0].strip().removesuffix(".")
    try:
        return a_labels(name)
    except ValueError:
        return name.lower()


# -- reading


class _Piece(NamedTuple):
    """``kind`` is "word", "=", ";", or "flaw". ``glued``: nothing stands between it and the piece before."""

    kind: str
    text: str
    glued: bool


def _pieces(text: str) -> Iterator[_Piece]:
    place = 0
    glued = False
    while place < len(text):
        match = _PIECE.match(text, place)
        assert match is not None
        place = match.end()
        if match["space"]:
            glued = False
        elif match["mark"] == "(":
            place = _end_of_comment(text, place)
            glued = False
            if place < 0:
                yield _Piece("flaw", "", glued)
                return
        elif match["quoted"] is not None:
            kind = "word" if match["end"] else "flaw"
            yield _Piece(kind, _QUOTED_PAIR.sub(r"\1", match["quoted"]), glued)
            glued = True
        elif match["mark"]:
            yield _Piece(match["mark"] if match["mark"] in ";=" else "flaw", match["mark"], glued)
            glued = True
        else:
            yield _Piece("word", match["word"], glued)
            glued = True


def _end_of_comment(text: str, place: int) -> int:
    """Where a comment that began just before ``place`` ends (RFC 5322 3.2.2: they nest); -1: nowhere."""
    depth = 1
    while match := _IN_COMMENT.match(text, place):
        place = match.end()
        depth += {"(": 1, ")": -1, None: 0}[match["mark"]]
        if not depth:
            return place
    return -1


def _finding(pieces: list[_Piece]) -> Finding | None:
    pairs = [*_pairs(pieces)]
    if not pairs or None in pairs:
        return None
    (method, result), *others = (pair for pair in pairs if pair is not None)
    reason = others.pop(0)[1] if others and others[0][0] == "reason" else ""
    return Finding(method.partition("/")[0], result.lower(), tuple(others), reason=reason)


def _pairs(pieces: list[_Piece]) -> Iterator[tuple[str, str] | None]:
    """``name=value``, and None for what is not."""
    name = ""
    rest = iter([*pieces, _Piece("", "", False)])
    piece = next(rest)
    while piece.kind:
        while piece.kind == "word" and (not name or name.endswith((".", "/")) or piece.text.startswith((".", "/"))):
            name += piece.text
            piece = next(rest)
        if piece.kind != "=" or not name:
            yield None
            return
        value, has_value, piece = "", False, next(rest)
        while piece.kind and (piece.glued if has_value else piece.kind == "word"):
            value, has_value, piece = value + piece.text, True, next(rest)
        yield name.lower(), value
        name = ""


# -- writing


def _words(finding: Finding) -> Iterator[str]:
    yield f"{finding.method}={finding.result}"
    if finding.comment:
        yield "(" + _TO_ESCAPE.sub(r"\\\1", _printable(finding.comment)) + ")"
    if finding.reason:
        yield "reason=" + _quoted(_printable(finding.reason))
    yield from (f"{name}={_value(value)}" for name, value in finding.properties)


def _folded(words: Iterable[str]) -> Iterator[str]:
    """Lines, none longer than need be. A word is not broken."""
    line = ""
    for word in words:
        if line and len(line) + 1 + len(word) > LINE:
            yield line
            line = ""
        line += f" {word}" if line else f"\t{word}"
    yield line


def _value(text: str) -> str:
    printable = _printable(text)
    return printable if _TOKEN.fullmatch(printable) or _ADDRESS.fullmatch(printable) else _quoted(printable)


def _quoted(text: str) -> str:
    return '"' + _TO_QUOTE.sub(r"\\\1", text) + '"'


def _printable(text: str) -> str:
    return _UNPRINTABLE.sub("?", text[:VALUE_LIMIT])
