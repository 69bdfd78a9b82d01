"""A header section as a list of fields, read tolerantly: lines may end in CRLF or LF (RFC 5322 2.2, 4.5).

`engine.authentication.fields` is its strict counterpart, which keeps every octet and doubts what is malformed.
"""

import re
from collections.abc import Iterable

from engine.mime.charsets import guess
from engine.mime.words import decoded

_FIELD = re.compile(rb"^([!-9;-~]++)[ \t]*+:(.*+(?>(?:\n[ \t].*+)*))", re.MULTILINE)
_LINES = re.compile(rb"^(?:([!-9;-~]++)[ \t]*+:)?.*+(?>(?:\n[ \t].*+)*)\n?", re.MULTILINE)
_EMPTY_LINE = re.compile(rb"(?:\A|\n)\r?\n")
_FOLD = re.compile(rb"\r?\n(?=[ \t])|[\r\n\0]")

Fields = list[tuple[bytes, bytes]]


def fields(section: bytes) -> Fields:
    """Name and value as they stand, topmost first; values keep their folds. Lines that are no field are left out."""
    return _FIELD.findall(section)


def named(section: bytes, name: bytes) -> Fields:
    """Those of ``fields`` that have this name, which is in lower case: without a look at the others."""
    lower, found = section.lower(), []
    at = 0 if lower.startswith(name) else lower.find(b"\n" + name) + 1 or -1
    while at >= 0:
        field = _FIELD.match(section, at)
        if field is not None and field[1].lower() == name:
            found.append((field[1], field[2]))
        at = lower.find(b"\n" + name, at) + 1 or -1
    return found


def end_of_header(octets: bytes) -> int:
    """Where the header section ends, the empty line included; -1 where it does not end in these octets."""
    found = _EMPTY_LINE.search(octets)
    return found.end() if found else -1


def unfolded(value: bytes) -> bytes:
    """The value in one line, without white space around it, nor NUL, which IMAP can not carry."""
    value = value.strip()
    return _FOLD.sub(b"", value) if b"\n" in value or b"\r" in value or b"\0" in value else value


def text(value: bytes) -> str:
    """What a reader is shown: unfolded, its encoded words decoded, octets of no charset guessed."""
    return decoded(guess(unfolded(value)))


def only(section: bytes, names: Iterable[bytes], *, negate: bool = False) -> bytes:
    """The fields of these names, or all others, with the empty line: HEADER.FIELDS and .NOT (RFC 9051 6.4.5.1)."""
    wanted = {name.lower() for name in names}
    kept = []
    for match in _LINES.finditer(section):
        line = match[0]
        if not line.strip(b"\r\n"):
            break
        if match[1] is not None and (match[1].lower() in wanted) != negate:
            kept.append(line)
    if kept and not kept[-1].endswith(b"\n"):
        kept[-1] += b"\r\n"
    return b"".join(kept) + (b"\n" if section.endswith(b"\n") and not section.endswith(b"\r\n") else b"\r\n")
