"""The files in a zip archive, read in bounded pieces (APPNOTE.TXT of PKWARE, 6.3.10).

The standard library's reader makes an object for each file of the directory before anybody can count them, and takes
overlapping files for what they say.
"""

import struct
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple

from engine.scanning.unpacking import PIECE, Flaw, bunzipped, inflated, unlzmaed

ENCRYPTED, UTF_8 = 0x1, 0x800
AES = 99

_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_COMMENT = 65535


class Overlap(Flaw):
    """Files share octets, so that they unpack to more than there is: a bomb."""


class TooMany(Flaw):
    """There are more files than are looked at."""


class Entry(NamedTuple):
    """A file in the archive."""

    names: frozenset[str]  # by the directory, and by itself: programs differ in which they believe
    encrypted: bool
    method: int
    start: int  # of its octets
    size: int  # packed


def entries(file: BinaryIO, most: int) -> list[Entry]:
    """All files, in the order of their octets. Flaw, Overlap, TooMany."""
    try:
        found = sorted((_local(file, *one) for one in _directory(file, most)), key=lambda entry: entry.start)
    except (struct.error, ValueError, OverflowError) as error:
        raise Flaw(f"it is damaged: {error}") from error
    place = 0
    for entry in found:
        if entry.start < place:
            raise Overlap("files overlap")
        place = entry.start + entry.size
    return [entry for entry in found if not any(name.endswith("/") and not entry.size for name in entry.names)]


def _directory(file: BinaryIO, most: int) -> Iterator[tuple[tuple[int, ...], bytes, bytes, int]]:
    """Each record of the central directory with its name and extra field, and by how much offsets are off."""
    size = file.seek(0, 2)
    tail_at = max(size - _END.size - _COMMENT, 0)
    file.seek(tail_at)
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0:
        raise Flaw("it has no directory")
    _, _, _, _, count, length, offset, _ = _END.unpack_from(tail, at)
    end = tail_at + at
    if 0xFFFF in {count} or 0xFFFFFFFF in {length, offset}:
        file.seek(max(end - _LOCATOR.size, 0))
        mark, _, where, _ = _LOCATOR.unpack(file.read(_LOCATOR.size))
        if mark == b"PK\x06\x07":
            file.seek(where)
            mark, *_, count, length, offset = _END_64.unpack(file.read(_END_64.size))
            if mark != b"PK\x06\x06":
                raise Flaw("its directory is not where it says")
            end = where
    if count > most:
        raise TooMany(f"it has {count} files")
    start = end - length
    if start < 0:
        raise Flaw("its directory begins before it")
    file.seek(start)
    shift = start - offset  # something stands in front of the archive
    # To the end of the directory, whatever number it gives: programs differ in which of the two they believe.
    while file.tell() < end:
        fields = _ENTRY.unpack(file.read(_ENTRY.size).ljust(_ENTRY.size, b"\0"))
        if fields[0] != b"PK\x01\x02":
            if count > 0:
                raise Flaw("its directory is damaged")
            return  # its signature (4.3.13)
        count -= 1
        most -= 1
        if most < 0:
            raise TooMany("it has more files than it says")
        name, extra = file.read(fields[10]), file.read(fields[11])
        place = file.seek(fields[12], 1)
        yield fields, name, extra, shift
        file.seek(place)
    if count > 0:
        raise Flaw("its directory is cut off")


def _local(file: BinaryIO, fields: tuple[int, ...], name: bytes, extra: bytes, shift: int) -> Entry:
    _, _, _, flags, method, _, _, _, packed, unpacked, *_, offset = fields
    wide = _wide(extra, [unpacked, packed, offset])
    packed, offset = wide[1], wide[2]
    file.seek(offset + shift)
    mark, _, local_flags, _, _, _, _, _, _, name_length, extra_length = _LOCAL.unpack(file.read(_LOCAL.size))
    if mark != b"PK\x03\x04":
        raise Flaw("a file is not where the directory says")
    own = file.read(name_length)
    names = frozenset(one.decode("utf-8" if flags & UTF_8 else "cp437", "replace") for one in (name, own))
    encrypted = bool((flags | local_flags) & ENCRYPTED) or method == AES
    return Entry(names, encrypted, method, offset + shift + _LOCAL.size + name_length + extra_length, packed)


def _wide(extra: bytes, values: list[int]) -> list[int]:
    """The values, those that do not fit taken from the field of ZIP64 (4.5.3)."""
    place = 0
    while place + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, place)
        if kind == 1:
            numbers = iter(struct.unpack_from(f"<{length // 8}Q", extra, place + 4))
            return [next(numbers, value) if value == 0xFFFFFFFF else value for value in values]
        place += 4 + length
    return values


def pieces(file: BinaryIO, entry: Entry) -> Iterator[bytes]:
    """The octets of a file, unpacked. Flaw where it is damaged, or packed in a way that nobody here knows."""
    method = _METHODS.get(entry.method)
    if method is None:
        raise Flaw(f"a file is packed by method {entry.method}")
    return method(_packed(file, entry))


def _packed(file: BinaryIO, entry: Entry) -> Iterator[bytes]:
    place, end = entry.start, entry.start + entry.size
    while place < end:
        file.seek(place)
        piece = file.read(min(PIECE, end - place))
        if not piece:
            raise Flaw("it is cut off")
        place += len(piece)
        yield piece


_METHODS: dict[int, Callable[[Iterator[bytes]], Iterator[bytes]]] = {
    0: lambda packed: packed,
    8: inflated,
    12: bunzipped,
    14: unlzmaed,
}
