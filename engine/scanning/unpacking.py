"""Octets out of compressed ones, in pieces of bounded size, whatever goes in."""

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from itertools import chain

PIECE = 64 * 1024
"""Octets that are read, and unpacked, at once."""

MEMORY = 64 * 1024 * 1024
"""Octets that a decompressor may take: what `xz -9` wants."""

_GZIP = 31
_RAW = -15


class Flaw(Exception):
    """It cannot be read; the text says why."""


def gunzipped(packed: Iterator[bytes]) -> Iterator[bytes]:
    """A gzip file, of one member or several (RFC 1952). Flaw."""
    return _inflated(packed, _GZIP)


def inflated(packed: Iterator[bytes]) -> Iterator[bytes]:
    """A deflate stream (RFC 1951). Flaw."""
    return _inflated(packed, _RAW)


def _inflated(packed: Iterator[bytes], bits: int) -> Iterator[bytes]:
    one = zlib.decompressobj(bits)
    ended = False
    try:
        for data in packed:
            rest = data
            while rest:
                if one.eof:
                    if bits == _RAW or not rest.startswith(b"\x1f\x8b"):
                        return  # what follows is none of it
                    one = zlib.decompressobj(bits)
                if out := one.decompress(rest, PIECE):
                    yield out
                rest = one.unused_data if one.eof else one.unconsumed_tail
            ended = one.eof
        if last := one.flush(PIECE):
            yield last
    except zlib.error as error:
        raise Flaw(f"it is damaged: {error}") from error
    if not (ended or one.eof):
        raise Flaw("it is cut off")


def bunzipped(packed: Iterator[bytes]) -> Iterator[bytes]:
    """A bzip2 file, of one stream or several. Flaw."""
    return _decompressed(packed, bz2.BZ2Decompressor)


def unxzed(packed: Iterator[bytes]) -> Iterator[bytes]:
    """An .xz or .lzma file, of one stream or several. Flaw."""
    return _decompressed(packed, lambda: lzma.LZMADecompressor(lzma.FORMAT_AUTO, memlimit=MEMORY))


def unlzmaed(packed: Iterator[bytes]) -> Iterator[bytes]:
    """LZMA as zip archives have it, its properties in front (APPNOTE.TXT 5.8.8). Flaw."""
    first = next(packed, b"")
    size = int.from_bytes(first[2:4], "little")
    properties = first[4 : 4 + size]
    if len(properties) != 5 or (size_of := int.from_bytes(properties[1:], "little")) > MEMORY:
        raise Flaw("its properties are none")
    base, rest = properties[0] % 9, properties[0] // 9
    filters = [{"id": lzma.FILTER_LZMA1, "dict_size": size_of, "lc": base, "lp": rest % 5, "pb": rest // 5}]
    return _decompressed(
        chain([first[4 + size :]], packed), lambda: lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters)
    )


def _decompressed(
    packed: Iterator[bytes], make: Callable[[], bz2.BZ2Decompressor | lzma.LZMADecompressor]
) -> Iterator[bytes]:
    whole = 0
    try:
        one = make()  # which refuses properties that cannot be
        for data in packed:
            rest = data
            while rest or not one.needs_input:
                if one.eof:
                    rest = rest.lstrip(b"\0")  # what fills an .xz file up
                    if not rest:
                        break
                    one = make()
                out, rest = one.decompress(rest, PIECE), b""
                if out:
                    yield out
                if one.eof:
                    whole += 1
                    rest = one.unused_data
                    if not rest:
                        break
    except (OSError, EOFError, lzma.LZMAError, ValueError) as error:
        if whole:
            return  # what follows is none of it
        raise Flaw(f"it is damaged: {error}") from error
    if not whole and not isinstance(one, lzma.LZMADecompressor):
        raise Flaw("it is cut off")
