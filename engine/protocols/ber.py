"""BER (ITU-T X.690), as far as LDAP goes (RFC 4511 5.1): definite lengths, tags of one octet."""

from collections.abc import Iterator

BOOLEAN, INTEGER, OCTETS, ENUMERATED, SEQUENCE, SET = 0x01, 0x02, 0x04, 0x0A, 0x30, 0x31

_LONGEST_LENGTH = 4
"""Octets of a length: 4 GiB."""


class Malformed(ValueError):
    """Octets that are no BER, or not what was to come; the text says what."""


def element(tag: int, *contents: bytes) -> bytes:
    """One element."""
    content = b"".join(contents)
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def octets(value: bytes | str, tag: int = OCTETS) -> bytes:
    """An OCTET STRING; text in UTF-8."""
    return element(tag, value.encode() if isinstance(value, str) else value)


def integer(value: int, tag: int = INTEGER) -> bytes:
    """An INTEGER, or an ENUMERATED."""
    return element(tag, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def boolean(value: bool, tag: int = BOOLEAN) -> bytes:
    return element(tag, b"\xff" if value else b"\x00")


def extent(data: bytes | bytearray, start: int = 0) -> tuple[int, int] | None:
    """Where the content of the element at ``start`` begins and ends; None: more octets must come. Malformed."""
    if len(data) < start + 2:
        return None
    if data[start] & 0x1F == 0x1F:
        raise Malformed("a tag of more than one octet")
    first = data[start + 1]
    if first < 0x80:
        return start + 2, start + 2 + first
    count = first & 0x7F
    if not 0 < count <= _LONGEST_LENGTH:
        raise Malformed("a length without an end, or of too many octets")
    begin = start + 2 + count
    if len(data) < begin:
        return None
    return begin, begin + int.from_bytes(data[start + 2 : begin], "big")


def elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each element in ``data``. Malformed."""
    start = 0
    while start < len(data):
        found = extent(data, start)
        if found is None or found[1] > len(data):
            raise Malformed("an element that is cut off")
        begin, end = found
        yield data[start], data[begin:end]
        start = end


def number(content: bytes) -> int:
    """The value of an INTEGER or ENUMERATED. Malformed."""
    if not 0 < len(content) <= 8:
        raise Malformed("a number of no or too many octets")
    return int.from_bytes(content, "big", signed=True)
