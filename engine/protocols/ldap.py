"""LDAP (RFC 4511), the client's side: requests in octets, answers out of them. Bind, search and StartTLS."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from engine.protocols.ber import (
    ENUMERATED,
    INTEGER,
    SEQUENCE,
    Malformed,
    boolean,
    element,
    elements,
    extent,
    integer,
    number,
    octets,
)

BASE, SUBTREE = 0, 2
"""How far a search goes: the entry alone, or all below it too."""

SUCCESS, SIZE_LIMIT_EXCEEDED, NO_SUCH_OBJECT = 0, 4, 32

REFUSED = frozenset({NO_SUCH_OBJECT, 48, 49, 50, 53})
"""What a bind with a wrong password, or of one who may not log in, is answered with: noSuchObject,
inappropriateAuthentication, invalidCredentials, insufficientAccessRights, unwillingToPerform. RFC 4511 A.1"""

LARGEST = 2**24
"""Octets of one answer: far more than an entry with its addresses."""

_BIND, _UNBIND, _SEARCH, _EXTENDED = 0x60, 0x42, 0x63, 0x77
_ENTRY, _REFERENCE = 0x64, 0x73
_DONE = {0x61: "bind", 0x65: "search", 0x78: "extended"}
_START_TLS = "1.3.6.1.4.1.1466.20037"  # RFC 4511 4.14.1


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry that was found. Attributes have their names in lower case."""

    dn: str
    attributes: Mapping[str, tuple[bytes, ...]]


@dataclass(frozen=True, slots=True)
class Done:
    """How a request ended."""

    code: int
    text: str


Answer: TypeAlias = Entry | Done


def bind(identity: int, dn: str, password: str) -> bytes:
    """A simple bind. An empty password would log nobody in, and succeed (RFC 4513 5.1.2): ValueError."""
    if dn and not password:
        raise ValueError("a bind without a password proves nothing")
    return _message(identity, element(_BIND, integer(3), octets(dn), octets(password, 0x80)))


def search(
    identity: int, base: str, scope: int, wanted: bytes, attributes: Iterable[str], *, size: int, seconds: int
) -> bytes:
    """``wanted`` is a filter in BER; at most ``size`` entries, and ``seconds`` of the server's time."""
    return _message(
        identity,
        element(
            _SEARCH,
            octets(base),
            integer(scope, ENUMERATED),
            integer(0, ENUMERATED),  # aliases are not followed
            integer(size),
            integer(seconds),
            boolean(False),
            wanted,
            element(SEQUENCE, *map(octets, attributes)),
        ),
    )


def start_tls(identity: int) -> bytes:
    return _message(identity, element(_EXTENDED, octets(_START_TLS, 0x80)))


def unbind(identity: int) -> bytes:
    return _message(identity, element(_UNBIND))


class Answers:
    """What the server has said so far."""

    def __init__(self) -> None:
        self._octets = bytearray()

    @property
    def empty(self) -> bool:
        return not self._octets

    def receive(self, data: bytes) -> None:
        self._octets += data

    def next(self, identity: int) -> Answer | None:
        """The next answer to a request; None: more octets must come. Malformed for what is none.

        References to other servers are passed over. What answers no request is the server's last word.
        """
        while (found := self._message()) is not None:
            answered, tag, content = found
            if tag == _REFERENCE:
                continue
            if answered != identity or (tag != _ENTRY and tag not in _DONE):
                raise Malformed(f"the server says what was not asked: {_text_of(tag, content)}")
            return _entry(content) if tag == _ENTRY else _done(content)
        return None

    def _message(self) -> tuple[int, int, bytes] | None:
        whole = extent(self._octets)
        if whole is not None and whole[1] > LARGEST:
            raise Malformed("an answer that is too large")
        if whole is None or whole[1] > len(self._octets):
            return None
        if self._octets[0] != SEQUENCE:
            raise Malformed("no LDAP message")
        content = bytes(self._octets[whole[0] : whole[1]])
        del self._octets[: whole[1]]
        parts = list(elements(content))
        if len(parts) < 2 or parts[0][0] != INTEGER:
            raise Malformed("no LDAP message")
        return number(parts[0][1]), *parts[1]


def _message(identity: int, operation: bytes) -> bytes:
    return element(SEQUENCE, integer(identity), operation)


def _entry(content: bytes) -> Entry:
    (_, dn), (_, attributes), *_ = _at_least(2, content)
    found = {}
    for _, attribute in elements(attributes):
        (_, name), (_, values), *_ = _at_least(2, attribute)
        found[_text(name).lower()] = tuple(value for _, value in elements(values))
    return Entry(_text(dn), found)


def _done(content: bytes) -> Done:
    (tag, code), _, (_, text), *_ = _at_least(3, content)
    if tag != ENUMERATED:
        raise Malformed("a result without a code")
    return Done(number(code), _text(text))


def _at_least(count: int, content: bytes) -> list[tuple[int, bytes]]:
    found = list(elements(content))
    if len(found) < count:
        raise Malformed("an answer that lacks something")
    return found


def _text_of(tag: int, content: bytes) -> str:
    try:
        return (_done(content).text if tag in _DONE else "") or f"an answer of kind {tag:#x}"
    except Malformed:
        return f"an answer of kind {tag:#x}"


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
