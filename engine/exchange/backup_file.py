"""The file that holds the backup of one mailbox: named sections in compressed blocks, each with a checksum.

    file     = "PSTBKUP1" block*
    block    = length u32 (of the octets after the sum), sum 16, compressed
    sum      = BLAKE2b-128 of the sum before (of the first block: 16 zeros) and the compressed octets
    compressed = zlib of MessagePack: [section, items]

Numbers are big endian. The first section is ``about``, one map: ``format`` (of the mailbox store), ``address``,
``made`` (Unix seconds). Then one section for each database of the store (``engine.mailbox.putback.SECTIONS``), items
[key, value]; then ``content``, items [key, octets, more]: a large content is several items one after the other, the
last has ``more`` false. The last block is ``end``, without which a file is not whole; its items are the keys of
contents that went while the backup was made. A section may be any number of blocks. Sums go on from block to block, so
that none can be missing, twice, or in another place.
"""

import hashlib
import struct
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import msgpack

MAGIC = b"PSTBKUP1"

BLOCK = 2**20
"""Octets that are gathered before they are compressed: enough for zlib, little to hold."""

LONGEST = 2**28
"""Octets of a block, compressed or not: more means damage, and must not fill the memory."""

LEVEL = 3
"""Of zlib: twice as quick as its default, for a few hundredths more of disk."""

_HEAD = struct.Struct(">I16s")
_NOTHING = bytes(16)


class Damaged(ValueError):
    """The file is no backup, or not as it was written."""


class Writer:
    """Writes a backup to a binary file. OSError."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._sum = _NOTHING
        self._section = ""
        self._items: list[Any] = []
        self._size = 0
        file.write(MAGIC)

    def put(self, section: str, item: Any, size: int) -> None:
        """One more item of a section; ``size``: about how many octets it has."""
        if section != self._section or self._size >= BLOCK:
            self._block()
            self._section = section
        self._items.append(item)
        self._size += size

    def end(self, gone: list[bytes]) -> None:
        """Everything has been put, but for these contents."""
        self._block()
        self._section, self._items = "end", gone
        self._block(always=True)

    def _block(self, *, always: bool = False) -> None:
        if self._items or always:
            octets = zlib.compress(msgpack.packb([self._section, self._items]), LEVEL)
            self._sum = _chained(self._sum, octets)
            self._file.write(_HEAD.pack(len(octets), self._sum) + octets)
        self._items, self._size = [], 0


def read(file: BinaryIO) -> Iterator[tuple[str, list[Any]]]:
    """The blocks of a backup from its beginning: section and items. Damaged, at any of them, or at a missing end."""
    if file.read(len(MAGIC)) != MAGIC:
        raise Damaged("it is no backup of a mailbox")
    before = _NOTHING
    while head := file.read(_HEAD.size):
        if len(head) < _HEAD.size:
            break
        length, expected = _HEAD.unpack(head)
        octets = file.read(length) if length <= LONGEST else b""
        before = _chained(before, octets)
        if len(octets) < length or before != expected:
            raise Damaged(f"it is damaged before octet {file.tell()}")
        section, items = _unpacked(octets)
        yield section, items
        if section == "end":
            if file.read(1):
                raise Damaged("something follows its end")
            return
    raise Damaged("its end is missing")


def _unpacked(octets: bytes) -> tuple[str, list[Any]]:
    try:
        section, items = msgpack.unpackb(_inflated(octets))
    except (ValueError, zlib.error, msgpack.UnpackException) as error:
        raise Damaged(f"a block cannot be read: {error}") from error
    return section, items


def _inflated(octets: bytes) -> bytes:
    """What was compressed. ValueError when it is more than a block may have, or less than whole."""
    inflating = zlib.decompressobj()
    found = inflating.decompress(octets, LONGEST)
    if not inflating.eof or inflating.unused_data:
        raise ValueError("it is not whole, or too large")
    return found


def _chained(before: bytes, octets: bytes) -> bytes:
    return hashlib.blake2b(before + octets, digest_size=16).digest()
