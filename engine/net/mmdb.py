"""Databases by IP address in MaxMind's format, MMDB 2.0: what a file says of an address, read where it lies.

A binary tree over the bits of an address, behind it values, and at the end a table that says how the tree is to be read
(https://maxmind.github.io/MaxMind-DB/). All of it may be damaged.
"""

import ipaddress
import struct
from collections.abc import Callable, Mapping
from typing import Any

MARK = b"\xab\xcd\xefMaxMind.com"
"""What stands before the table at the end."""

_TAIL = 128 * 1024
"""Octets from the end in which it must be."""

_GAP = 16
"""Octets between the tree and the values."""

_DEPTH = 32
_VALUES = 10_000
"""Values within each other, and of one address: a pointer may lead back."""

_POINTED_FROM = (0, 2048, 526_336, 0)
"""By the number of octets that a pointer has beyond its first two: what is added to it."""

_SIZED_FROM = {29: 29, 30: 285, 31: 65_821}
"""By what five bits say of a size: what is added to the octets that follow, one to three."""

Read = Callable[[int, int], bytes]
"""So many octets from a place on, or what there is of them."""


class MmdbError(Exception):
    """It cannot be read; the text says why."""


class Mmdb:
    """One database. ``find`` looks an address up."""

    def __init__(self, read: Read, size: int) -> None:
        """``size``: octets of all of it. MmdbError."""
        start = max(0, size - _TAIL)
        before, mark, _ = read(start, size - start).rpartition(MARK)
        if not mark:
            raise MmdbError("it is no database of MaxMind's format")
        table = start + len(before) + len(MARK)
        told = _Values(read, table, size).value(0)
        self._read = read
        self._nodes = _number(told, "node_count", range(2**32))
        self._bits = _number(told, "record_size", (24, 28, 32))
        self._version = _number(told, "ip_version", (4, 6))
        _number(told, "binary_format_major_version", (2,))
        self._values = self._nodes * self._bits // 4 + _GAP
        self._end = table - len(MARK)
        if self._values > self._end:
            raise MmdbError("it is cut off")

    def find(self, address: str) -> Any:
        """What is said of it; None: nothing. MmdbError; ValueError for what is no address."""
        octets = _octets(address)
        if self._version == 6:
            octets = octets.rjust(16, b"\0")  # those of IPv4 lie at ::/96
        elif len(octets) == 16:
            return None
        node = 0
        for octet in octets:
            for bit in range(7, -1, -1):
                node = self._next(node, octet >> bit & 1)
                if node == self._nodes:
                    return None
                if node > self._nodes:
                    return _Values(self._read, self._values, self._end).value(node - self._nodes - _GAP)
        return None

    def _next(self, node: int, side: int) -> int:
        """The record on that side of a node: another node, or how many nodes there are, or beyond that a value."""
        width = self._bits // 4
        octets = self._read(node * width, width)
        if len(octets) < width:
            raise MmdbError("it is cut off")
        if self._bits == 28:  # the octet in the middle has the highest bits of both
            high = octets[3] >> 4 if side == 0 else octets[3] & 15
            return high << 24 | int.from_bytes(octets[4 * side : 4 * side + 3], "big")
        return int.from_bytes(octets[side * width // 2 : (side + 1) * width // 2], "big")


def _octets(address: str) -> bytes:
    found = ipaddress.ip_address(address.partition("%")[0])
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return (mapped or found).packed


def _number(told: Any, name: str, known: range | tuple[int, ...]) -> int:
    value = told.get(name) if isinstance(told, Mapping) else None
    if not isinstance(value, int) or value not in known:
        raise MmdbError(f"its {name} is {value!r}")
    return value


class _Values:
    """Values between two places, for one look. Pointers count from the first."""

    def __init__(self, read: Read, start: int, end: int) -> None:
        self._read = read
        self._start = start
        self._end = end
        self._left = _VALUES

    def value(self, place: int) -> Any:
        """MmdbError."""
        return self._value(place, 0)[0]

    def _octets(self, place: int, count: int) -> bytes:
        start = self._start + place
        octets = self._read(start, count) if place >= 0 and start + count <= self._end else b""
        if len(octets) < count:
            raise MmdbError("a value is cut off")
        return octets

    def _value(self, place: int, depth: int) -> tuple[Any, int]:
        """The value, and the place behind it."""
        self._left -= 1
        if depth > _DEPTH or self._left < 0:
            raise MmdbError("values without an end")
        first = self._octets(place, 1)[0]
        place += 1
        kind = first >> 5
        if kind == 1:
            return self._pointed(first, place, depth)
        if kind == 0:
            kind, place = self._octets(place, 1)[0] + 7, place + 1
        size, place = self._size(first & 31, place)
        if kind == 7:
            return self._table(size, place, depth)
        if kind == 11:
            return self._list(size, place, depth)
        if kind == 14:
            return bool(size), place
        parse = _PARSERS.get(kind)
        if parse is None:
            raise MmdbError(f"a value of kind {kind}")
        return parse(self._octets(place, size)), place + size

    def _pointed(self, first: int, place: int, depth: int) -> tuple[Any, int]:
        more = first >> 3 & 3
        octets = self._octets(place, more + 1)
        high = (first & 7) << 8 * (more + 1) if more < 3 else 0
        target = high + int.from_bytes(octets, "big") + _POINTED_FROM[more]
        return self._value(target, depth + 1)[0], place + more + 1

    def _size(self, said: int, place: int) -> tuple[int, int]:
        if said not in _SIZED_FROM:
            return said, place
        more = said - 28
        return _SIZED_FROM[said] + int.from_bytes(self._octets(place, more), "big"), place + more

    def _table(self, size: int, place: int, depth: int) -> tuple[dict[str, Any], int]:
        found = {}
        for _ in range(size):
            name, place = self._value(place, depth + 1)
            value, place = self._value(place, depth + 1)
            found[str(name)] = value
        return found, place

    def _list(self, size: int, place: int, depth: int) -> tuple[list[Any], int]:
        found = []
        for _ in range(size):
            value, place = self._value(place, depth + 1)
            found.append(value)
        return found, place


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "replace")


def _unsigned(octets: bytes) -> int:
    return int.from_bytes(octets, "big")


def _signed(octets: bytes) -> int:
    return int.from_bytes(octets.rjust(4, b"\0"), "big", signed=True)


def _real(octets: bytes) -> float:
    form = {4: ">f", 8: ">d"}.get(len(octets))
    if form is None:
        raise MmdbError(f"a number of {len(octets)} octets")
    found: float = struct.unpack(form, octets)[0]
    return found


_PARSERS: Mapping[int, Callable[[bytes], Any]] = {
    2: _text,
    3: _real,
    4: bytes,
    5: _unsigned,
    6: _unsigned,
    8: _signed,
    9: _unsigned,
    10: _unsigned,
    15: _real,
}
