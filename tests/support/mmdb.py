"""Writes small databases in MaxMind's format, as publishers of them do."""

import ipaddress
import struct
from collections.abc import Mapping
from typing import Any

from engine.net.mmdb import MARK


def mmdb(networks: Mapping[str, Any], *, bits: int = 24, version: int = 6, **table: Any) -> bytes:
    """A whole file: what is said of each network. Networks must not lie in each other. ``table``: other metadata."""
    nodes: list[list[Any]] = [[None, None]]
    values = bytearray()
    for network, value in networks.items():
        place = len(values)
        values += written(value)
        _put(nodes, _path(network, version), place)
    told = {
        "binary_format_major_version": 2, "binary_format_minor_version": 0, "build_epoch": 1_790_000_000,
        "database_type": "Test-Country", "description": {"en": "of a test"}, "ip_version": version,
        "languages": ["en"], "node_count": len(nodes), "record_size": bits,
    }  # fmt: skip
    tree = b"".join(_node([_record(one, len(nodes)) for one in node], bits) for node in nodes)
    return tree + bytes(16) + bytes(values) + MARK + _table(told | table)


def _path(network: str, version: int) -> str:
    found = ipaddress.ip_network(network)
    before = "0" * 96 if version == 6 and found.version == 4 else ""
    return before + "".join(f"{octet:08b}" for octet in found.network_address.packed)[: found.prefixlen]


def _put(nodes: list[list[Any]], path: str, place: int) -> None:
    node = 0
    for bit in path[:-1]:
        if nodes[node][int(bit)] is None:
            nodes.append([None, None])
            nodes[node][int(bit)] = ("node", len(nodes) - 1)
        node = nodes[node][int(bit)][1]
    nodes[node][int(path[-1])] = ("value", place)


def _record(one: Any, count: int) -> int:
    if one is None:
        return count
    kind, number = one
    found: int = number if kind == "node" else count + 16 + number
    return found


def _node(records: list[int], bits: int) -> bytes:
    left, right = records
    if bits == 28:
        middle = (left >> 24) << 4 | right >> 24
        return (left & 0xFFFFFF).to_bytes(3, "big") + bytes([middle]) + (right & 0xFFFFFF).to_bytes(3, "big")
    return left.to_bytes(bits // 8, "big") + right.to_bytes(bits // 8, "big")


def written(value: Any) -> bytes:
    """A value as it stands in the file. ``(place,)`` is a pointer."""
    match value:
        case tuple():
            return _pointer(*value)
        case bool():
            return _head(14, int(value))
        case str():
            octets = value.encode()
            return _head(2, len(octets)) + octets
        case int():
            return _integer(5 if value < 2**16 else 6 if value < 2**32 else 9, value)
        case float():
            return _head(3, 8) + struct.pack(">d", value)
        case dict():
            return _head(7, len(value)) + b"".join(written(key) + written(one) for key, one in value.items())
        case list():
            return _head(11, len(value)) + b"".join(map(written, value))
    raise TypeError(value)


def _table(told: Mapping[str, Any]) -> bytes:
    """Each number in the width that the format has for it: libmaxminddb insists."""
    kinds = {"node_count": 6, "build_epoch": 9}
    pairs = [
        written(name) + (_integer(kinds.get(name, 5), value) if isinstance(value, int) else written(value))
        for name, value in told.items()
    ]
    return _head(7, len(pairs)) + b"".join(pairs)


def _integer(kind: int, value: int) -> bytes:
    octets = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return _head(kind, len(octets)) + octets


def _pointer(place: int) -> bytes:
    for more, start, end in ((0, 0, 2048), (1, 2048, 526_336), (2, 526_336, 134_744_064)):
        if place < end:
            far = place - start
            return bytes([1 << 5 | more << 3 | far >> 8 * (more + 1)]) + (far % 256 ** (more + 1)).to_bytes(
                more + 1, "big"
            )
    return bytes([1 << 5 | 3 << 3]) + place.to_bytes(4, "big")


def _head(kind: int, size: int) -> bytes:
    said, more = (
        (size, b"") if size < 29
        else (29, (size - 29).to_bytes(1, "big")) if size < 285
        else (30, (size - 285).to_bytes(2, "big")) if size < 65_821
        else (31, (size - 65_821).to_bytes(3, "big"))
    )  # fmt: skip
    return bytes([kind << 5 | said]) + more if kind < 8 else bytes([said, kind - 7]) + more
