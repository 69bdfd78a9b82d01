"""Content fields and their parameters (RFC 2045 5.1, RFC 2183), with continuations and charsets (RFC 2231)."""

import re
from collections.abc import Iterator
from urllib.parse import quote_from_bytes, unquote_to_bytes

from engine.mime.charsets import decode, guess
from engine.mime.words import decoded

Parameters = tuple[tuple[bytes, bytes], ...]
"""Names and values as they were sent, quotes removed. What RFC 2231 makes of them: see `continued` and `value_of`."""

LIMIT = 200
"""Parameters of one field that are read."""

_TOKEN = re.compile(rb"[^\s\0-\x20()<>@,;:\\\"/\[\]?=\x7f]++")
_GAP = re.compile(rb"[\s;]*+")
_NAME = re.compile(rb"([^\s=;\"()]++)\s*+(?:=\s*+)?")
_QUOTED = re.compile(rb'"((?>(?:[^"\\]++|\\.)*))"?', re.DOTALL)
_STRING = re.compile(rb'("(?>(?:[^"\\]++|\\.)*)"?)', re.DOTALL)
_SLASH = re.compile(rb"\s*+/\s*+")
_BARE = re.compile(rb"[^;]*+")
_PAIR = re.compile(rb"\\(.)", re.DOTALL)
_COMMENT = re.compile(rb"\((?>(?:[^()\\]++|\\.)*)\)", re.DOTALL)
_CONTINUED = re.compile(rb"([^*]++)\*(\d{1,3})(\*)?")
_AS_THEY_ARE = "!#$&+-.^_`{|}~"
"""Signs of an extended value that are not encoded, beside letters and digits (RFC 2231 7, attribute-char)."""


def media_type(value: bytes) -> tuple[bytes, bytes, Parameters] | None:
    """Type, subtype and parameters of a Content-Type that is unfolded; None where it is malformed (RFC 2045 5.2)."""
    value = without_comments(value)
    first = _TOKEN.match(value)
    if first is None:
        return None
    kind, end = first[0], first.end()
    slash = _SLASH.match(value, end)
    second = _TOKEN.match(value, slash.end()) if slash else None
    if second is None:
        return None
    return kind, second[0], parameters(value, second.end())


def token_and_parameters(value: bytes) -> tuple[bytes, Parameters]:
    """What a Content-Disposition says; the token is empty where there is none."""
    value = without_comments(value)
    first = _TOKEN.match(value)
    return (first[0], parameters(value, first.end())) if first else (b"", ())


def without_comments(value: bytes) -> bytes:
    """The value without comments outside of quotes, white space around it stripped."""
    if b"(" not in value:
        return value.strip()
    pieces = []
    for number, piece in enumerate(_STRING.split(value)):
        pieces.append(piece if number % 2 else _COMMENT.sub(b" ", piece))
    return b"".join(pieces).strip()


def parameters(value: bytes, start: int = 0) -> Parameters:
    """What follows from ``start``, up to LIMIT; a value without quotes may hold what RFC 2045 forbids there."""
    found: list[tuple[bytes, bytes]] = []
    position = start
    while len(found) < LIMIT:
        position = _GAP.match(value, position).end()  # type: ignore[union-attr]
        name = _NAME.match(value, position)
        if name is None:
            rest = _BARE.match(value, position)
            if position >= len(value) or rest is None:
                break
            position = max(rest.end(), position + 1)
            continue
        position = name.end()
        if b"=" not in name[0]:
            continue
        quoted = _QUOTED.match(value, position)
        if quoted:
            found.append((name[1], _PAIR.sub(rb"\1", quoted[1])))
            position = _BARE.match(value, quoted.end()).end()  # type: ignore[union-attr]
        else:
            bare = _BARE.match(value, position)
            found.append((name[1], bare[0].rstrip()))  # type: ignore[index]
            position = bare.end()  # type: ignore[union-attr]
    return tuple(found)


def parameter(among: Parameters, name: bytes) -> bytes:
    """The plain value of a parameter in lower case, such as a charset; empty where there is none."""
    for key, value in among:
        if key.lower() == name:
            return value
    return value_of(among, name).encode() if any(key.lower().startswith(name + b"*") for key, _ in among) else b""


def continued(among: Parameters) -> Parameters:
    """Continuations put together, as BODYSTRUCTURE must have them (RFC 2231 8); charsets are left to the client."""
    sections = _sections(among)
    whole: list[tuple[bytes, bytes]] = []
    for key, value in among:
        section = _CONTINUED.fullmatch(key)
        if section is None or 0 not in sections.get(section[1].lower(), {0: ()}):
            whole.append((key, value))
        elif known := sections.pop(section[1].lower(), None):  # in the place of the first that was sent
            whole.append(_together(section[1], [known[0], *_in_order(known)]))
    return tuple(whole)


def _together(name: bytes, pieces: list[tuple[bytes, bool]]) -> tuple[bytes, bytes]:
    """An extended value if one of the pieces is."""
    if not any(is_encoded for _, is_encoded in pieces):
        return name, b"".join([value for value, _ in pieces])
    encoded = [
        value if is_encoded else quote_from_bytes(value, safe=_AS_THEY_ARE).encode() for value, is_encoded in pieces
    ]
    return name + b"*", (b"" if pieces[0][1] else b"''") + b"".join(encoded)


def value_of(among: Parameters, name: bytes) -> str:
    """The value as text: continued and in a charset by RFC 2231, else with encoded words, as mailers write them."""
    pieces, charset = _pieces(among, name)
    if pieces:
        return decode(b"".join(pieces), charset) if charset else guess(b"".join(pieces))
    for key, value in among:
        if key.lower() == name:
            return decoded(guess(value))
    return ""


def values_of(among: Parameters, name: bytes) -> Iterator[str]:
    """Every value of a parameter that is no empty one, that of `value_of` first: where there are several, by RFC 2231
    and plain, or the same one twice, readers differ in which they take."""
    found = [value_of(among, name)]
    for written, value in among:
        key = written.lower()
        if key == name:
            found.append(decoded(guess(value)))
        elif key == name + b"*":
            found.append(value_of(((key, value),), name))
    return filter(None, dict.fromkeys(found))


def _pieces(among: Parameters, name: bytes) -> tuple[list[bytes], str]:
    """The octets of an extended or continued parameter, in order, and their charset (RFC 2231 3, 4)."""
    for written, value in among:
        if written.lower() == name + b"*":
            return _first(value, is_encoded=True)
    sections = _sections(among).get(name, {})
    if 0 not in sections:
        return [], ""
    pieces, charset = _first(sections[0][0], is_encoded=sections[0][1])
    pieces.extend(unquote_to_bytes(value) if encoded else value for value, encoded in _in_order(sections))
    return pieces, charset


def _sections(among: Parameters) -> dict[bytes, dict[int, tuple[bytes, bool]]]:
    """Of each continued parameter, by its name in lower case: its sections by number, and whether they are encoded."""
    sections: dict[bytes, dict[int, tuple[bytes, bool]]] = {}
    for key, value in among:
        if section := _CONTINUED.fullmatch(key.lower()):
            sections.setdefault(section[1], {}).setdefault(int(section[2]), (value, bool(section[3])))
    return sections


def _in_order(sections: dict[int, tuple[bytes, bool]]) -> Iterator[tuple[bytes, bool]]:
    number = 1
    while number in sections:
        yield sections[number]
        number += 1


def _first(value: bytes, *, is_encoded: bool) -> tuple[list[bytes], str]:
    if not is_encoded:
        return [value], ""
    charset, quote, rest = value.partition(b"'")
    if not quote or b"'" not in rest:
        return [unquote_to_bytes(value)], "utf-8"
    return [unquote_to_bytes(rest.partition(b"'")[2])], charset.decode("ascii", "replace")
