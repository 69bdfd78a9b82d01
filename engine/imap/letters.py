"""Messages as they are read for a session: records, what is derived from them, and their octets. All of it blocks."""

from collections.abc import Collection, Iterator, Sequence
from typing import Final

from engine.index import Index
from engine.mailbox import Mailboxes
from engine.mailbox.records import Records, thread_id
from engine.mime import fields
from engine.mime.digest import Digest, digest
from engine.mime.part import Part
from engine.mime.threads import root

PIECE: Final = 256 * 1024
"""Octets that are read at once."""

WHOLE: Final = 64 * 1024
"""Octets of a message that is read whole, whatever is wanted of it."""


class Letter:
    """One message. Offsets count from its first octet, those of its parts from the first of its content."""

    __slots__ = ("_digest", "_header", "_octets", "_shelf", "heading", "key", "received", "size", "uid")

    def __init__(self, shelf: "Shelf", row: tuple[int, bytes, int, int, bytes]) -> None:
        """Of a record: UID, key of the content, octets, Unix milliseconds of its arrival, fields before the content."""
        self._shelf = shelf
        self.uid, self.key, self.size, self.received, self.heading = row
        self._octets: bytes | None = None
        self._digest: Digest | None = None
        self._header: bytes | None = None

    def know(self, *, content: bytes | None = None, header: bytes | None = None, digest: Digest | None = None) -> None:
        """What has been read already; ``header`` is that of the content."""
        if content is not None:
            self._octets = self.heading + content
        if header is not None:
            self._header = self.heading + header
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
            self._digest = digest(lambda: self.content(0, self.size), self.received / 1000)
        return self._digest

    @property
    def message(self) -> Part:
        return self.digest.message

    @property
    def thread_id(self) -> str:
        """MessageGone where it must be read for that."""
        return thread_id(root(self.digest.message_id, self.digest.references), self.key)

    @property
    def header(self) -> bytes:
        """The header section, the empty line at its end included."""
        if self._header is None:
            gathered = b""
            for piece in self.pieces(0, self.size):
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
        shelf = self._shelf
        return shelf.mailboxes.part(*shelf.place, self.uid, start, max(0, min(end, self.size) - start))

    def pieces(self, start: int, end: int) -> Iterator[bytes]:
        """The same, some at a time."""
        end = min(end, self.size)
        if self._octets is not None:
            yield self._octets[start:end]
            return
        for at in range(start, end, PIECE):
            yield self.read(at, min(at + PIECE, end))

    def content(self, start: int, end: int) -> Iterator[bytes]:
        """Of the content, which is what the offsets of parts count in."""
        shift = len(self.heading)
        return self.pieces(start + shift, end + shift)


class Shelf:
    """The messages of one mailbox."""

    def __init__(self, mailboxes: Mailboxes, index: Index, account: int, mailbox: int) -> None:
        self.mailboxes = mailboxes
        self.index = index
        self.place = account, mailbox

    def records(self, uids: Sequence[int]) -> Records:
        """Those of the messages that are there. UIDs ascend."""
        return self.mailboxes.of(*self.place, uids)

    def letters(
        self, uids: Sequence[int], *, digests: bool = False, headers: Collection[bytes] | None = None
    ) -> list[Letter]:
        """The same to be read, with what the index knows of them.

        ``headers``: the header fields, in lower case, that are wanted of each; empty: all; None: none.
        """
        return self.opened(uids, digests=digests, headers=headers)[1]

    def opened(
        self, uids: Sequence[int], *, digests: bool = False, headers: Collection[bytes] | None = None
    ) -> tuple[Records, list[Letter]]:
        """``records`` and ``letters``."""
        found, headings = self.mailboxes.headed(*self.place, uids)
        keys = found.content_keys()
        rows = zip(found.uids, keys, found.sizes, found.received, headings, strict=True)
        letters = [Letter(self, row) for row in rows]
        if digests:
            for letter, known in zip(letters, self.index.digests(keys), strict=True):
                letter.know(digest=known)
        if headers is not None:
            for letter, header in zip(letters, self.index.headers(keys, headers), strict=True):
                letter.know(header=header)
        return found, letters

    def read(self, letters: Sequence[Letter]) -> None:
        """Read those whole that are small, all at once. MessageGone."""
        small = [letter for letter in letters if letter.size <= WHOLE]
        contents = self.mailboxes.octets([letter.key for letter in small])
        for letter, content in zip(small, contents, strict=True):
            letter.know(content=content)
