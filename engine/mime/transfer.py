"""Bodies without their transfer encoding, in chunks (RFC 2045 6, RFC 3516)."""

import binascii
import re
from collections.abc import Iterable, Iterator

from engine.mime.content import ENCODINGS

HELD = 64 * 1024
"""Octets at most that are held back until it is known whether a line ends behind them."""

_NOT_BASE64 = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="))
_PADDING = re.compile(rb"=+")
_TRAILING = re.compile(rb"(?<![ \t])[ \t]++(?=\r?\n)")  # is deleted, RFC 2045 6.7 rule 3
_NO_ESCAPE = re.compile(rb"=(?![0-9A-Fa-f]{2}|\r?\n)")
_UNSETTLED = re.compile(rb"(?<!=)=++(?:[ \t\r]*+|[0-9A-Fa-f])\Z|(?<![ \t\r=])[ \t\r]*+\Z")


def is_known(encoding: bytes) -> bool:
    """Whether `decoded` knows the encoding; where not, IMAP answers UNKNOWN-CTE (RFC 3516 4.3)."""
    name = encoding.lower()
    return name in ENCODINGS or name in _DECODERS


def decoded(chunks: Iterable[bytes], encoding: bytes) -> Iterator[bytes]:
    """The octets that the body stands for, whatever is wrong with it; of an unknown encoding, the body as it is."""
    decoder = _DECODERS.get(encoding.lower())
    return iter(chunks) if decoder is None else decoder(chunks)


def _base64(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """What is no base64 is passed over; padding ends a sequence, and another may follow (RFC 2045 6.8)."""
    rest = b""
    for chunk in chunks:
        *whole, rest = _PADDING.split(rest + chunk.translate(None, _NOT_BASE64))
        octets = [_sequence(sequence) for sequence in whole]
        length = len(rest) & ~3
        octets.append(binascii.a2b_base64(rest[:length]))
        rest = rest[length:]
        if joined := b"".join(octets):
            yield joined
    if last := _sequence(rest):
        yield last


def _sequence(octets: bytes) -> bytes:
    if len(octets) % 4 == 1:
        octets = octets[:-1]
    return binascii.a2b_base64(octets + b"=" * (-len(octets) % 4))


def _quoted_printable(chunks: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        data = rest + chunk
        held = _UNSETTLED.search(data, max(len(data) - HELD, 0))
        end = held.start() if held else len(data)
        rest = data[end:]
        if octets := _settled(data[:end]):
            yield octets
    if octets := _settled(rest.rstrip(b" \t").removesuffix(b"=")):
        yield octets


def _settled(data: bytes) -> bytes:
    if b" \r" in data or b" \n" in data or b"\t" in data:
        data = _TRAILING.sub(b"", data)
    return binascii.a2b_qp(_NO_ESCAPE.sub(b"=3D", data))  # it would drop what follows an "=" that is no escape


_DECODERS = {b"base64": _base64, b"quoted-printable": _quoted_printable}
