"""The files in a tar archive, one after the other as it comes (POSIX.1-1988 ustar, POSIX.1-2001 pax, GNU).

The standard library's reader takes a name as long as the archive says into memory.
"""

from collections.abc import Iterator

from engine.scanning.unpacking import PIECE, Flaw

BLOCK = 512

LONGEST = 64 * 1024
"""Octets of a name, or of a pax header, that are read."""

_FILES = {b"0", b"\0", b"7", b"S"}
_WITHOUT_CONTENT = {b"1", b"2", b"3", b"4", b"5", b"6"}


class Reader:
    """Octets to be taken from chunks, so many at once."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def pieces(self, size: int) -> Iterator[bytes]:
        """So many octets, or fewer where there are no more."""
        while size > 0:
            if not self._rest:
                self._rest = next(self._chunks, b"")
                if not self._rest:
                    return
            piece, self._rest = self._rest[:size], self._rest[size:]
            size -= len(piece)
            yield piece

    def take(self, size: int) -> bytes:
        return b"".join(self.pieces(size))


class Member:
    """A file in the archive. Its octets come once."""

    def __init__(self, name: str, size: int, reader: Reader) -> None:
        self.name = name
        self._left = size
        self._reader = reader

    def pieces(self) -> Iterator[bytes]:
        """Its octets. Flaw where they end too early."""
        while self._left > 0:
            piece = self._reader.take(min(PIECE, self._left))
            if not piece:
                raise Flaw("it is cut off")
            self._left -= len(piece)
            yield piece


def members(chunks: Iterator[bytes]) -> Iterator[Member]:
    """The files, in their order; what nobody has taken of one is passed over. Flaw."""
    reader = Reader(chunks)
    given = ""
    while any(header := reader.take(BLOCK)):
        if len(header) < BLOCK or not _is_sound(header):
            raise Flaw("it is damaged")
        kind, size = header[156:157], _number(header[124:136])
        if kind in {b"L", b"x"}:
            text = _short(reader, size)
            given = _text(text.rstrip(b"\0")) if kind == b"L" else _path(text) or given
            continue
        if kind in _WITHOUT_CONTENT:
            size = 0
        if kind == b"S" and header[482:483] != b"\0":
            while reader.take(BLOCK)[504:505] not in {b"\0", b""}:
                pass
        member = Member(given or _name(header), size, reader)
        if kind in _FILES:
            yield member
        for _ in member.pieces():
            pass
        reader.take(-size % BLOCK)
        if kind not in {b"K", b"g"}:
            given = ""


def _short(reader: Reader, size: int) -> bytes:
    if size > LONGEST:
        raise Flaw("a name is too long")
    text = reader.take(size)
    reader.take(-size % BLOCK)
    return text


def _is_sound(header: bytes) -> bool:
    return _number(header[148:156]) == sum(header) - sum(header[148:156]) + 8 * 32


def _number(field: bytes) -> int:
    if field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    digits = field.strip(b" \0").split(b"\0")[0]
    try:
        return int(digits or b"0", 8)
    except ValueError as error:
        raise Flaw("it is damaged") from error


def _name(header: bytes) -> str:
    name, prefix = header[:100].split(b"\0")[0], header[345:500].split(b"\0")[0]
    is_ustar = header[257:263] == b"ustar\0"
    return _text(prefix + b"/" + name if prefix and is_ustar else name)


def _path(records: bytes) -> str:
    """The path that a pax header gives: lines of "length key=value"."""
    for record in records.split(b"\n"):
        _, _, rest = record.partition(b" ")
        key, _, value = rest.partition(b"=")
        if key == b"path":
            return _text(value)
    return ""


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "replace")
