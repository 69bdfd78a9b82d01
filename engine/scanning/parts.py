"""The parts of a message that are files."""

from collections.abc import Iterable, Iterator

from engine.mime import rewriting
from engine.mime.part import Part
from engine.mime.structure import DEPTH, PARTS
from engine.scanning.unpacking import PIECE


def attachments(root: Part) -> list[Part]:
    """The parts that are files: all but the texts that a reader is shown. Deeper than can be told, all of the rest."""
    leaves = [part for part in root.walk() if not part.parts]
    return [part for part in leaves if not _is_shown(part)]


def _is_shown(part: Part) -> bool:
    return part.media in {b"text/plain", b"text/html"} and not part.is_attachment and not rewriting.name(part)


def is_overfull(root: Part) -> bool:
    """Whether there may be parts that nobody has told apart."""
    return sum(1 for _ in root.walk()) >= PARTS or _depth(root) >= DEPTH


def _depth(part: Part) -> int:
    return 1 + max(map(_depth, part.parts), default=0)


def has_none(octets: bytes) -> bool:
    """Whether a message has no attachments for certain: all Content fields, wherever they stand, are those of texts.

    It costs a tenth of finding the parts. Where text looks like a field the answer is no, and somebody else must look.
    """
    small = b"\n" + octets.lower()
    place = small.find(b"\ncontent-")
    while place >= 0:
        end = small.find(b"\n", place + 1)
        while end >= 0 and small[end + 1 : end + 2] in {b" ", b"\t"}:
            end = small.find(b"\n", end + 1)
        name, _, value = small[place + 9 : end if end >= 0 else None].partition(b":")
        if not _is_of_text(name.rstrip(), value.strip()):
            return False
        place = small.find(b"\ncontent-", place + 9)
    return True


def _is_of_text(name: bytes, value: bytes) -> bool:
    if name == b"type":
        is_known = value.startswith((b"text/plain", b"text/html", b"multipart/")) and b"digest" not in value
        return is_known and b"name" not in value
    if name == b"disposition":
        return value == b"inline"
    return name != b"transfer-encoding" or value in _ENCODINGS


_ENCODINGS = {b"7bit", b"8bit", b"quoted-printable", b"base64"}


class Forward:
    """Ranges of octets of a content that comes in chunks, asked for in their order: it is gone through once."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._chunk, self._at, self._place = b"", 0, 0  # what is in hand, its offset, and where in the content we are

    def between(self, start: int, end: int) -> Iterator[bytes]:
        """The octets from there to there, in pieces of at most PIECE."""
        self._place = max(self._place, start)
        while self._place < end:
            while self._at + len(self._chunk) <= self._place:
                self._at += len(self._chunk)
                self._chunk = next(self._chunks, b"")
                if not self._chunk:
                    return
            first = self._place - self._at
            piece = self._chunk[first : min(first + PIECE, end - self._at)]
            self._place += len(piece)
            yield piece
