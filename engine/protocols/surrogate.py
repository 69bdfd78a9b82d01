"""Surrogates: internationalized header fields (RFC 6532) in ASCII, for readers that know nothing else (RFC 6858)."""

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from email.utils import getaddresses
from email.utils import quote as escaped
from urllib.parse import quote

import idna

HEADER_LIMIT = 256 * 1024
"""Octets of a header section that are held to be looked at. Of a longer one the rest is passed on as it is."""

REMOVED = "non-ascii-address@internationalized-address.invalid"
"""Stands for an address that ASCII cannot express (RFC 2606 2); its display name says which it was."""

_END = re.compile(rb"(?:\A|\n)\r?\n")
_FIELDS = re.compile(rb"(?<=\n)(?![ \t])")
_FOLD = re.compile(r"\r?\n(?=[ \t])")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_PARAMETER = re.compile(r'; *([!#$%&+.^_`{|}~0-9A-Za-z-]+)\*? *= *("(?:[^"\\]|\\.)*"|[^;"]*)')
_ESCAPED = re.compile(r"\\(.)")
_WORD = 45  # octets in an encoded word, which has 75 characters at most (RFC 2047 2)


def in_ascii(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """A message in pieces, with a header section in ASCII. Fields of other octets than UTF-8 stay as they are."""
    held = bytearray()
    end = None
    for piece in pieces:
        held += piece
        end = _END.search(held)
        if end or len(held) > HEADER_LIMIT:
            break
    size = end.end() if end else len(held)
    yield surrogate(bytes(held[:size])) + held[size:]
    yield from pieces


def surrogate(header: bytes) -> bytes:
    """A header section in ASCII (RFC 6858 2): Subject, addresses and MIME parameters encoded, other fields left out."""
    return header if header.isascii() else b"".join(map(_field, _FIELDS.split(header)))


def _field(field: bytes) -> bytes:
    if field.isascii():
        return field
    try:
        name, _, value = field.decode().partition(":")
    except UnicodeDecodeError:
        return field
    encode = _ENCODERS.get(name.strip().lower())
    if encode is None:
        return b""
    return f"{name}: {encode(_CONTROL.sub(' ', _FOLD.sub('', value)).strip())}\r\n".encode("ascii", "replace")


def _words(text: str) -> str:
    """Encoded words, one a line (RFC 2047)."""
    chunks = [b""]
    for octets in map(str.encode, text):
        if len(chunks[-1]) + len(octets) > _WORD:
            chunks.append(b"")
        chunks[-1] += octets
    return "\r\n ".join(f"=?utf-8?b?{base64.b64encode(chunk).decode()}?=" for chunk in chunks)


def _addresses(text: str) -> str:
    found = [(name, address) for name, address in getaddresses([text]) if name or address]
    return ",\r\n ".join(_mailbox(name, address) for name, address in found or [(text, "")])


def _mailbox(name: str, address: str) -> str:
    ascii_only = _ascii_address(address)
    if not ascii_only:
        name = f"{name} {address}".strip()
    shown = f'"{escaped(name)}"' if name.isascii() else _words(name)
    return f"{shown if name else ''} <{ascii_only or REMOVED}>".strip()


def _ascii_address(address: str) -> str:
    """The same address in ASCII: where only the domain is not, by its A-label. Empty: there is none."""
    local, _, domain = address.rpartition("@")
    if not local.isascii() or not local:
        return ""
    try:
        return f"{local}@{domain if domain.isascii() else idna.encode(domain, uts46=True).decode()}"
    except UnicodeError:
        return ""


def _parameters(text: str) -> str:
    """MIME parameters by RFC 2231."""

    def encoded(found: re.Match[str]) -> str:
        name, value = found[1], found[2].strip()
        if value.isascii():
            return found[0]
        if value.startswith('"'):
            value = _ESCAPED.sub(r"\1", value[1:-1])
        return f"; {name}*=utf-8''{quote(value, safe='')}"

    return _PARAMETER.sub(encoded, text)


_ADDRESS_FIELDS = ("from", "sender", "reply-to", "to", "cc", "bcc")

_ENCODERS: Mapping[str, Callable[[str], str]] = {
    "subject": _words,
    **dict.fromkeys((*_ADDRESS_FIELDS, *(f"resent-{name}" for name in _ADDRESS_FIELDS)), _addresses),
    **dict.fromkeys(("content-type", "content-disposition"), _parameters),
}
