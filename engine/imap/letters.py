"""Messages as they are read for a session: records, what is derived from them, and their octets. All of it blocks."""

from collections.abc import Collection, Iterator, Sequence
from typing import Final

from engine.index import Index
from engine.mailbox import Mailboxes
from engine.mailbox.rows import MessageRow
from engine.mailbox.views import thread_id
from engine.mime import fields
from engine.mime.digest import Digest, digest
from engine.mime.part import Part
from engine.mime.threads import root

PIECE: Final = 64 * 1024
"""Octets that are read at once."""

WHOLE: Final = 64 * 1024
"""Octets of a message that is read whole, whatever is wanted of it."""


class Letter:
    """One message. Offsets count from its first octet, those of its parts from the first of its content."""

    __slots__ = ("_digest", "_header", "_mailboxes", "_octets", "_place", "row", "uid")

    def __init__(self, mailboxes: Mailboxes, place: tuple[int, int], uid: int, row: MessageRow) -> None:
        self._mailboxes = mailboxes
        self._place = place
        self.uid = uid
        self.row = row
        self._octets: bytes | None = None
        self._digest: Digest | None = None
        self._header: bytes | None = None

    @property
    def shift(self) -> int:
        """Octets before the content: header fields of this delivery alone."""
        return len(self.row.heading)

    def know(self, *, octets: bytes | None = None, header: bytes | None = None, digest: Digest | None = None) -> None:
        """What has been read already; ``header`` is that of the content."""
        if octets is not None:
            self._octets = octets
        if header is not None:
            self._header = self.row.heading + header
        if digest is not None:
            self._digest = digest

    @property
    def is_whole(self) -> bool:
        """Whether all its octets have been read."""
        return self._octets is not None

    @property
    def digest(self) -> Digest:
        """MessageGone where it must be read for that."""
        if self._digest is None:
            self._digest = digest(lambda: self.content(0, self.row.size), self.row.received / 1000)
        return self._digest

    @property
    def message(self) -> Part:
        return self.digest.message

    @property
    def thread_id(self) -> str:
        """MessageGone where it must be read for that."""
        return thread_id(root(self.digest.message_id, self.digest.references), self.row.content)

    @property
    def header(self) -> bytes:
        """The header section, the empty line at its end included."""
        if self._header is None:
            gathered = b""
            for piece in self.pieces(0, self.row.size):
                gathered += piece
                if (end := fields.end_of_header(gathered)) >= 0:
                    gathered = gathered[:end]
                    break
            self._header = gathered
        return self._header

    def read(self, start: int, end: int) -> bytes:
        """The octets ``start:end``. MessageGone."""
        if self._octets is not None:
            return self._octets[start:end]
        return self._mailboxes.part(*self._place, self.uid, start, max(0, min(end, self.row.size) - start))

    def pieces(self, start: int, end: int) -> Iterator[bytes]:
        """The same, some at a time."""
        end = min(end, self.row.size)
        if self._octets is not None:
            yield self._octets[start:end]
            return
        for at in range(start, end, PIECE):
            yield self.read(at, min(at + PIECE, end))

    def content(self, start: int, end: int) -> Iterator[bytes]:
        """Of the content, which is what the offsets of parts count in."""
        return self.pieces(start + self.shift, end + self.shift)


class Shelf:
    """The messages of one mailbox."""

    def __init__(self, mailboxes: Mailboxes, index: Index, account: int, mailbox: int) -> None:
        self.mailboxes = mailboxes
        self.index = index
        self.place = account, mailbox

    def rows(self, uids: Sequence[int]) -> dict[int, MessageRow]:
        """The records of those of the messages that are there, in the order of UIDs."""
        return self.mailboxes.rows(*self.place, uids)

    def letters(
        self, uids: Sequence[int], *, digests: bool = False, headers: Collection[bytes] | None = None
    ) -> list[Letter]:
        """Those of the messages that are there, with what the index knows of them.

        ``headers``: the header fields, in lower case, that are wanted of each; empty: all; None: none.
        """
        letters = [Letter(self.mailboxes, self.place, uid, row) for uid, row in self.rows(uids).items()]
        keys = [letter.row.content for letter in letters]
        if digests:
            for letter, known in zip(letters, self.index.digests(keys), strict=True):
                letter.know(digest=known)
        if headers is not None:
            for letter, header in zip(letters, self.index.headers(keys, headers), strict=True):
                letter.know(header=header)
        return letters

    def open(self, letters: Sequence[Letter]) -> None:
        """Read those whole that are small, all at once. MessageGone."""
        small = [letter for letter in letters if letter.row.size <= WHOLE]
        octets = self.mailboxes.octets([letter.row for letter in small])
        for letter, whole in zip(small, octets, strict=True):
            letter.know(octets=whole)
