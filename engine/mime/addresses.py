"""Address lists as they are met (RFC 5322 3.4 and 4.4), in the form of an IMAP envelope (RFC 9051 7.5.2).

Nothing is refused: a broken address keeps as much as can be told. `engine.authentication.author` is the strict reader.
"""

import re
from typing import NamedTuple


class Address(NamedTuple):
    """Octets as sent, without quotes, encoded words left.

    ``host`` is empty where an address has none. It is None at the two ends of a group: the begin has the group's name
    for its mailbox, the end has None.
    """

    name: bytes | None
    route: bytes | None
    mailbox: bytes | None
    host: bytes | None


END_OF_GROUP = Address(None, None, None, None)

LIMIT = 64 * 1024
"""Octets of a field that are read: some thousand addresses."""

_BETWEEN = re.compile(rb"[ \t\r\n,;]*+")

# Most addresses: a name of words or in quotes and an address in angle brackets, or that address alone.
_WORD = rb"[^][()<>@,:;\"\\ \t\r\n]++"
_PLAIN = re.compile(
    rb"""(?:(?:"([^"\\\r\n]*+)"[ \t\r\n]*+|([^][()<>@,:;"\\\r\n]*+))<(%b)@(%b)>|(%b)@(%b))[ \t\r\n]*+(?:,|\Z)"""
    % ((_WORD,) * 4)
)
_TOKEN = re.compile(
    rb"""
    (?P<space>[ \t\r\n]++)
    | "(?P<quoted>(?>(?:[^"\\]++|\\.)*))"?
    | (?P<literal>\[(?>(?:[^][\\]++|\\.)*)\]?)
    | (?P<special>[<>@,;:])
    | (?P<comment>\()
    | (?P<atom>[^\s"[<>@,;:(]++)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT = re.compile(rb"[^()\\]++|\\.|[()]", re.DOTALL)
_PAIR = re.compile(rb"\\(.)", re.DOTALL)
_SPACES = re.compile(rb"[ \t\r\n]+")
_ROUTE_GOES_ON = re.compile(rb"[ \t\r\n,]*+@[^@,;:<>]++[,:]")


def addresses(value: bytes) -> list[Address]:
    """All addresses of a field's value, groups marked by their two ends."""
    found: list[Address] = []
    position = 0
    value = value[:LIMIT]
    while (position := _BETWEEN.match(value, position).end()) < len(value):  # type: ignore[union-attr]
        plain = _PLAIN.match(value, position)
        if plain is None:
            position = _Reader(value, position).into(found)
            continue
        quoted, words, mailbox, host, bare, bare_host = plain.groups()
        name = quoted if quoted is not None else words.strip() if words else None
        found.append(Address(name or None, None, mailbox or bare, host or bare_host))
        position = plain.end()
    return found


class _Reader:
    """Reads from somewhere between two addresses: one address, or a group whole."""

    def __init__(self, value: bytes, position: int) -> None:
        self._value, self._position = value, position
        self._forget()

    def _forget(self) -> None:
        self._words: list[bytes] = []  # outside of <>, with a white space as an empty word
        self._angle: list[bytes] | None = None  # inside of it
        self._comment = b""
        self._is_closed = False

    def into(self, found: list[Address]) -> int:
        """Append what is found; where to go on."""
        in_group = False
        while token := _TOKEN.match(self._value, self._position):
            self._position = token.end()
            special = token["special"] or b""
            in_angle = self._angle is not None and not self._is_closed
            if special == b"," and self._is_in_route():
                self._take(token, special)
            elif special == b"," or (special == b";" and (in_group or not in_angle)):
                self._add(found)
                if not in_group:
                    return self._position
                if special == b";":
                    found.append(END_OF_GROUP)
                    return self._position
            elif special == b":" and not in_angle and not in_group and b"@" not in self._words:
                found.append(Address(None, None, _phrase(self._words), None))
                self._forget()
                in_group = True
            else:
                self._take(token, special)
        self._add(found)
        if in_group:
            found.append(END_OF_GROUP)
        return self._position

    def _is_in_route(self) -> bool:
        """Whether a comma stands between two hosts of a route (RFC 5322 4.4, obs-route)."""
        angle = self._angle
        if not angle or angle[0] != b"@" or b":" in angle or self._is_closed:
            return False
        return _ROUTE_GOES_ON.match(self._value, self._position) is not None

    def _take(self, token: re.Match[bytes], special: bytes) -> None:
        if token["comment"]:
            self._take_comment()
        elif special == b"<" and self._angle is None:
            self._angle = []
        elif special == b">" and self._angle is not None:
            self._is_closed = True
        elif self._angle is not None and not self._is_closed:
            if not token["space"]:
                self._angle.append(_word(token))
        elif not self._is_closed:
            self._words.append(b"" if token["space"] else _word(token))

    def _take_comment(self) -> None:
        """Comments nest (RFC 5322 3.2.2); the last one of an address names its owner, as RFC 822 mailers wrote it."""
        start, depth = self._position, 1
        while depth and (piece := _COMMENT.match(self._value, self._position)):
            depth += (piece[0] == b"(") - (piece[0] == b")")
            self._position = piece.end()
        self._comment = _PAIR.sub(rb"\1", self._value[start : self._position - (not depth)]).strip()

    def _add(self, found: list[Address]) -> None:
        words, angle = self._words, self._angle
        if angle is not None:
            route, mailbox, host = _split(angle)
            name = _phrase(words) or self._comment
        elif b"@" in words:
            route, mailbox, host = _split([word for word in words if word])
            name = self._comment
        else:
            route, mailbox, host, name = None, _phrase(words), b"", self._comment
        if mailbox or host or (angle is not None and name):
            found.append(Address(name or None, route, mailbox, host))
        self._forget()


def _word(token: re.Match[bytes]) -> bytes:
    quoted = token["quoted"]
    return token[0] if quoted is None else _PAIR.sub(rb"\1", quoted) if b"\\" in quoted else quoted


def _phrase(words: list[bytes]) -> bytes:
    return _SPACES.sub(b" ", b" ".join(b"".join(word or b" " for word in words).split()))


def _split(words: list[bytes]) -> tuple[bytes | None, bytes, bytes]:
    """Route (RFC 5322 4.4), local part and domain of what stands in angle brackets."""
    route = None
    if words and words[0] == b"@" and b":" in words:
        colon = words.index(b":")
        route, words = b"".join(words[:colon]), words[colon + 1 :]
    if b"@" not in words:
        return route, b"".join(words), b""
    at = len(words) - 1 - words[::-1].index(b"@")
    return route, b"".join(words[:at]), b"".join(words[at + 1 :])
