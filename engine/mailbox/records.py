"""Messages in columns: of each number that the store has of a message, one array for all of them."""

import base64
import hashlib
import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from engine.mailbox.layout import Databases, mailbox_key
from engine.mailbox.snapshot import Snapshot
from engine.protocols.imap.sets import places

_CONTENT = 24  # octets of the key of the content, with which a record begins
_FIXED = 68  # octets of a record without the heading


Items = Sequence[tuple[bytes, bytes]]
"""Messages as they are stored: keys and values."""


@dataclass(frozen=True, slots=True)
class Records:
    """Messages in the order of UIDs: item n of each column is of the same one. Do not change them."""

    contents: bytes  # their keys, one after the other
    uids: "array[int]"
    flags: "array[int]"
    bits: "array[int]"  # keywords
    modseqs: "array[int]"
    sizes: "array[int]"  # octets
    received: "array[int]"  # Unix milliseconds
    saved: "array[int]"  # Unix milliseconds

    def __len__(self) -> int:
        return len(self.uids)

    def content(self, index: int) -> bytes:
        """The key of a message's content."""
        return self.contents[index * _CONTENT : (index + 1) * _CONTENT]

    def content_keys(self, places: Iterable[int] | None = None) -> list[bytes]:
        """The keys of the contents of the messages in these places; None: of all."""
        contents = self.contents
        if places is None:
            places = range(len(self))
        return [contents[place * _CONTENT : place * _CONTENT + _CONTENT] for place in places]

    def email_id(self, index: int) -> str:
        """EMAILID of RFC 8474."""
        return email_id(self.content(index))

    @property
    def columns(self) -> "tuple[array[int], ...]":
        return self.uids, self.flags, self.bits, self.modseqs, self.sizes, self.received, self.saved

    def some(self, uids: Sequence[int]) -> "Records":
        """Those of the messages that are among these."""
        return self.at(places(uids, self.uids))

    def at(self, places: Sequence[int]) -> "Records":
        """Those in these places, which ascend."""
        if isinstance(places, range):
            start, stop = places.start, places.stop
            contents = self.contents[start * _CONTENT : stop * _CONTENT]
            return Records(contents, *[column[start:stop] for column in self.columns])
        contents = b"".join(self.content_keys(places))
        return Records(contents, *[array(one.typecode, map(one.__getitem__, places)) for one in self.columns])

    def without(self, ranges: Iterable[tuple[int, int]]) -> "Records":
        """All but those whose UIDs are in these ranges, which ascend."""
        cuts = [(bisect_left(self.uids, first), bisect_right(self.uids, last)) for first, last in ranges]
        starts = [0, *(end for _, end in cuts)]
        kept = [
            range(start, end) for start, end in zip(starts, [*(start for start, _ in cuts), len(self)], strict=True)
        ]
        return joined([self.at(places) for places in kept if places]) if cuts else self


def joined(parts: Sequence[Records]) -> Records:
    """One after the other."""
    if len(parts) == 1:
        return parts[0]
    columns = [array("I"), array("I"), *(array("Q") for _ in range(5))]
    for part in parts:
        for column, more in zip(columns, part.columns, strict=True):
            column.extend(more)
    return Records(b"".join([part.contents for part in parts]), *columns)


def email_id(content: bytes) -> str:
    """EMAILID of RFC 8474, by the key of the content: copies of a message share it, and nothing else does."""
    return "M" + base64.urlsafe_b64encode(content).decode()


def thread_id(root: bytes, content: bytes) -> str:
    """THREADID of RFC 8474, by the Message-ID of the first of its thread; where that is empty, by its own content."""
    return "T" + base64.urlsafe_b64encode(hashlib.blake2b(root or content, digest_size=15).digest()).decode()


def parsed(items: Iterable[tuple[bytes, bytes]]) -> Records:
    """Of what is stored: keys and values, as they follow one another."""
    uids, contents, flags, rest = [], [], [], []
    for key, value in items:
        uids.append(key[12:])
        contents.append(value[:_CONTENT])
        flags.append(value[_CONTENT : _CONTENT + 4])
        rest.append(value[_CONTENT + 4 : _FIXED])
    numbers = _column("Q", rest)
    five = [numbers[start::5] for start in range(5)]
    return Records(b"".join(contents), _column("I", uids), _column("I", flags), *five)


def uids_of(items: Items) -> "array[int]":
    return _column("I", [key[12:] for key, _ in items])


def headings(items: Items) -> list[bytes]:
    """The header fields of each delivery alone."""
    return [value[_FIXED:] for _, value in items]


def stored(
    snapshot: Snapshot, databases: Databases, account: int, mailbox: int, uids: Sequence[int]
) -> list[tuple[bytes, bytes]]:
    """Those of the messages that are there. UIDs ascend."""
    return snapshot.numbered(databases.message, mailbox_key(account, mailbox), uids)


def _column(code: str, numbers: list[bytes]) -> "array[int]":
    column = array(code, b"".join(numbers))
    if sys.byteorder == "little":
        column.byteswap()
    return column
