"""The XML or JSON in what arrives as a report: bare, in gzip, zip, or a message, by content and not by name."""

import email
import email.policy
import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Literal, TypeAlias

Form: TypeAlias = Literal["XML", "JSON"]

LIMIT = 64 * 2**20
"""Octets of one file, packed and unpacked: the largest reports have some megabytes, a bomb has more."""

MEMBERS = 100
"""Files of an archive, and parts of a message, that are looked at."""

DEPTH = 3
"""An archive in a message that came attached to another is as deep as it gets."""

_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_BEGINNINGS: dict[Form, Callable[[bytes], bool]] = {
    "XML": lambda octets: octets.startswith(_MARKS) or octets[:64].lstrip().startswith(b"<"),
    "JSON": lambda octets: octets[:64].removeprefix(_MARKS[0]).lstrip().startswith(b"{"),
}
_ZIP = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    OverflowError,
    LookupError,
    RuntimeError,
    ValueError,
)
"""What zipfile raises for an archive that is broken somewhere: it says BadZipFile only for what it looks for."""


class Unreadable(ValueError):
    """The text says why, for people."""


class NoReport(Unreadable):
    """There is nothing in it that might be one."""


def unpacked(octets: bytes, form: Form = "XML", limit: int = LIMIT) -> list[bytes]:
    """All XML, or JSON, in a file, at least one; ``limit``: octets that may come out of it in all. Unreadable."""
    found = list(_Unpacking(_BEGINNINGS[form], limit).found(octets, DEPTH))
    if not found:
        raise NoReport(f"it holds no {form}, bare or in gzip, zip or a message")
    return found


class _Unpacking:
    """One file, and how many octets more may come out of it."""

    def __init__(self, begins: Callable[[bytes], bool], limit: int) -> None:
        self._begins = begins
        self._limit = self._left = limit

    def found(self, octets: bytes, depth: int) -> Iterator[bytes]:
        if len(octets) > LIMIT:
            raise Unreadable(f"it has more than {LIMIT // 2**20} MiB")
        if octets.startswith(b"\x1f\x8b"):
            yield from self._deeper(self._gunzipped(octets), depth)
        elif octets.startswith(b"PK\x03\x04"):
            for member in self._members(octets):
                yield from self._deeper(member, depth)
        elif self._begins(octets):
            yield octets
        elif depth == DEPTH:
            yield from self._parts(octets, depth)

    def _deeper(self, octets: bytes, depth: int) -> Iterator[bytes]:
        if depth:
            yield from self.found(octets, depth - 1)

    def _gunzipped(self, octets: bytes) -> bytes:
        stream = zlib.decompressobj(31)
        try:
            return self._taken(stream.decompress(octets, self._left + 1))
        except zlib.error as error:
            raise Unreadable(f"its gzip is damaged: {error}") from error

    def _members(self, octets: bytes) -> Iterator[bytes]:
        try:
            with zipfile.ZipFile(io.BytesIO(octets)) as archive:
                members = [member for member in archive.infolist() if not member.is_dir()]
                for member in members[:MEMBERS]:
                    if member.compress_type not in _ZIP or member.flag_bits & 1:
                        raise Unreadable("its zip archive has a file that is encrypted or packed in a rare way")
                    with archive.open(member) as stream:
                        yield self._taken(stream.read(self._left + 1))
        except Unreadable:
            raise
        except _DAMAGE as error:
            raise Unreadable(f"its zip archive is damaged: {error}") from error

    def _parts(self, octets: bytes, depth: int) -> Iterator[bytes]:
        """What is attached to a message, or to one that is attached to it; its text is for people."""
        message = email.message_from_bytes(octets, policy=email.policy.compat32)
        if not message.keys():
            return
        for number, part in enumerate(message.walk()):
            if number >= MEMBERS:
                return
            payload = part.get_payload(decode=True)
            if isinstance(payload, bytes) and part.get_content_type() not in ("text/plain", "text/html"):
                yield from self._deeper(self._taken(payload.lstrip()), depth)

    def _taken(self, octets: bytes) -> bytes:
        self._left -= len(octets)
        if self._left < 0:
            raise Unreadable(f"more than {self._limit // 2**20} MiB come out of it: a bomb, and no report")
        return octets
