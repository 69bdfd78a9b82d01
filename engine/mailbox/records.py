"""Messages in columns: of each number that the store has of a message, one array for all of them."""

import base64
import hashlib
import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from engine.mailbox.layout import Databases, mailbox_key, uid_of
from engine.mailbox.rows import restated
from engine.mailbox.snapshot import Snapshot
from engine.mailbox.states import SPAN, Block, Items, lows
from engine.protocols.imap.sets import places

_CONTENT = 24  # octets of the key of the content, with which a record begins
_FIXED = 68  # octets of a record without the heading


@dataclass(frozen=True, slots=True)
class Records:
    """Messages in the order of UIDs: item n of each column is of the same one. Do not change them."""

    contents: bytes  # their keys, one after the other
    uids: "array[int]"
    flags: "array[int]"  # an octet each
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
    columns = [array("I"), array("B"), *(array("Q") for _ in range(5))]
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


def whole(snapshot: Snapshot, databases: Databases, account: int, mailbox: int) -> Records:
    """All messages of a mailbox, in two scans."""
    own = mailbox_key(account, mailbox)
    found = _as_they_came(snapshot.scan(databases.message, own))
    _bring_up(found, snapshot.scan(databases.state, own))
    return found


def some(snapshot: Snapshot, databases: Databases, account: int, mailbox: int, items: Items) -> Records:
    """Messages whose records were read in this snapshot. Keys ascend."""
    found = _as_they_came(items)
    _bring_up(found, snapshot.numbered(databases.state, mailbox_key(account, mailbox), _blocks(found.uids)))
    return found


def current(snapshot: Snapshot, databases: Databases, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
    """Records whose keys begin with ``prefix``, one by one, each with the state that its message has now."""
    known, block = b"", Block()
    for key, octets in snapshot.scan(databases.message, prefix):
        name = key[:12] + b"\0" + key[12:15]  # UID / SPAN
        if name != known:
            stored, known = snapshot.get(databases.state, name), name
            block = Block.parse(stored) if stored is not None else Block()
        state = block.get(key[15])
        yield key, octets if state is None else restated(octets, *state)


def headings(items: Items) -> list[bytes]:
    """The header fields of each delivery alone."""
    return [value[_FIXED:] for _, value in items]


def stored(
    snapshot: Snapshot, databases: Databases, account: int, mailbox: int, uids: Sequence[int]
) -> list[tuple[bytes, bytes]]:
    """The records of those of the messages that are there. UIDs ascend."""
    return snapshot.numbered(databases.message, mailbox_key(account, mailbox), uids)


def _as_they_came(items: Iterable[tuple[bytes, bytes]]) -> Records:
    """Of records: keys and values, as they follow one another."""
    uids, contents, flags, rest = [], [], [], []
    for key, value in items:
        uids.append(key[12:])
        contents.append(value[:_CONTENT])
        flags.append(value[_CONTENT + 3 : _CONTENT + 4])
        rest.append(value[_CONTENT + 4 : _FIXED])
    numbers = _column("Q", rest)
    five = [numbers[start::5] for start in range(5)]
    return Records(b"".join(contents), _column("I", uids), array("B", b"".join(flags)), *five)


def _bring_up(found: Records, blocks: Iterable[tuple[bytes, bytes]]) -> None:
    """Let new columns say what has become of the messages since they came."""
    for key, octets in blocks:
        first = uid_of(key) * SPAN
        start = bisect_left(found.uids, first)
        stop = bisect_left(found.uids, first + SPAN, start)
        if start == stop:
            continue
        block, there = Block.parse(octets), lows(found.uids[start:stop])
        rows = block.rows(there)
        if len(rows) == len(there) and isinstance(rows, range):
            _lay(found, range(start, stop), block.columns(rows.start, rows.stop))
        else:
            own = [place for place, low in enumerate(there, start) if low in block.lows]
            known = [[column[row] for row in rows] for column in block.columns(0, len(block))]
            _lay(found, own, known)


def _lay(found: Records, places: Sequence[int], columns: Iterable[Sequence[int]]) -> None:
    for column, numbers in zip((found.flags, found.bits, found.modseqs), columns, strict=True):
        put(column, places, numbers)


def put(column: "array[int]", places: Sequence[int], numbers: Sequence[int]) -> None:
    """Set items of a column, to those of another one where the places follow one another."""
    if isinstance(places, range):
        column[places.start : places.stop] = array(column.typecode, numbers)
    else:
        for place, number in zip(places, numbers, strict=True):
            column[place] = number


def _blocks(uids: "array[int]") -> Sequence[int]:
    """The numbers of blocks in which they may be, ascending."""
    if not uids:
        return ()
    span = range(uids[0] // SPAN, uids[-1] // SPAN + 1)
    return span if len(span) <= len(uids) else sorted({uid // SPAN for uid in uids})


def _column(code: str, numbers: list[bytes]) -> "array[int]":
    column = array(code, b"".join(numbers))
    if sys.byteorder == "little":
        column.byteswap()
    return column
