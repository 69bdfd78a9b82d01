"""Packets of the milter protocol: a length of four octets, a code of one, and data (libmilter: mfdef.h)."""

import struct

VERSION = 6
OLDEST_VERSION = 2

CHUNK = 65535
"""Octets of data in a packet that a milter takes (MILTER_CHUNK_SIZE, MILTER_MAX_DATA_SIZE)."""

ANSWER_LIMIT = 1024 * 1024
"""Octets of a packet that we take: what the largest negotiable MILTER_MAX_DATA_SIZE lets milters assume."""

_LENGTH = struct.Struct("!I")


class MilterError(Exception):
    """The milter broke the protocol; the text says how. The connection is of no more use."""


def packet(code: bytes, data: bytes = b"") -> bytes:
    return _LENGTH.pack(len(data) + 1) + code + data


def text(value: str) -> bytes:
    """A text as it goes into a packet, ended by NUL."""
    return value.encode("utf-8", "surrogateescape").replace(b"\0", b"") + b"\0"


def number(value: int) -> bytes:
    return _LENGTH.pack(value)


def texts(data: bytes, what: str) -> list[str]:
    """The texts of a packet, each ended by NUL. MilterError."""
    if not data.endswith(b"\0"):
        raise MilterError(f"{what} does not end")
    return [piece.decode("utf-8", "surrogateescape") for piece in data[:-1].split(b"\0")]


def numbered(data: bytes, what: str) -> tuple[int, bytes]:
    """The number that a packet begins with, and the rest. MilterError."""
    if len(data) < _LENGTH.size:
        raise MilterError(f"{what} is too short")
    return _LENGTH.unpack_from(data)[0], data[_LENGTH.size :]


class Packets:
    """Finds packets in what arrives, however it is cut."""

    def __init__(self) -> None:
        self._arrived = bytearray()

    def feed(self, octets: bytes) -> None:
        self._arrived += octets

    def next(self) -> tuple[bytes, bytes] | None:
        """Code and data of the next packet; None: it is not whole yet. MilterError when it is none."""
        arrived = self._arrived
        if len(arrived) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(arrived)
        if not 0 < length <= ANSWER_LIMIT:
            raise MilterError(f"an answer of {length} octets")
        end = _LENGTH.size + length
        if len(arrived) < end:
            return None
        code, data = bytes(arrived[4:5]), bytes(arrived[5:end])
        del arrived[:end]
        return code, data

    @property
    def pending(self) -> bool:
        """Whether there are octets that no packet has used up."""
        return bool(self._arrived)
