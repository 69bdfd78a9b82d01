"""What a header field says in all messages of a mailbox, one behind the other: so that SEARCH goes through it once."""

import threading
from array import array
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, TypeAlias

from engine.imap.texts import Header, values, values_of

MOST: Final = 32 * 1024 * 1024
"""Octets of all columns that are kept: some 100 a message of most mailboxes."""

_END: Final = b"\xff"
"""Behind each value: no octet of UTF-8, so that nothing is found across two of them."""

_KEY: Final = 24
"""Octets of the key of a content."""

Place: TypeAlias = tuple[int, int, bytes]
"""An account, one of its mailboxes, and the name of a header field in small letters."""


@dataclass(frozen=True, slots=True)
class Column:
    """The values of one field, folded as texts are compared, in UTF-8. ``unknown`` are places of which nobody knew."""

    contents: bytes  # keys, as those of a view
    text: bytes
    starts: "array[int]"  # of each message in the text, and the end
    unknown: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """Octets that it takes, about."""
        return len(self.contents) + len(self.text) + self.starts.itemsize * len(self.starts)

    def found(self, needle: bytes) -> list[int]:
        """The places of messages that have the text in a field. The empty one is in every field."""
        text, starts = self.text, self.starts
        if not needle:
            return [place for place in range(len(starts) - 1) if starts[place] < starts[place + 1]]
        places = []
        at = text.find(needle)
        while at >= 0:
            place = bisect_right(starts, at) - 1
            places.append(place)
            at = text.find(needle, starts[place + 1])
        return places

    def upto(self, place: int) -> "Column":
        """That of the messages before that place alone."""
        if place >= len(self.starts) - 1:
            return self
        unknown = tuple([one for one in self.unknown if one < place])
        return Column(self.contents[: place * _KEY], self.text[: self.starts[place]], self.starts[: place + 1], unknown)

    def with_more(self, contents: bytes, entries: Sequence[bytes | None]) -> "Column":
        """With messages behind it, by ``entries``; ``contents`` are the keys of all then."""
        first, texts = len(self.starts) - 1, [one or b"" for one in entries]
        starts = self.starts[:-1]
        starts.extend(accumulate(map(len, texts), initial=self.starts[-1]))
        unknown = (place for place, one in enumerate(entries, first) if one is None)
        return Column(contents, b"".join([self.text, *texts]), starts, (*self.unknown, *unknown))


def entries(sections: Sequence[bytes | None], header: Header) -> list[bytes | None]:
    """What stands in a column of messages with these header sections, where they are known."""
    if not header.is_quick:
        return [None if one is None else b"".join([value + _END for value in values(one, header)]) for one in sections]
    found: list[bytes | None] = [None if section is None else b"" for section in sections]
    for place, value in values_of(sections, header):
        found[place] = (found[place] or b"") + value + _END
    return found


_NOTHING: Final = Column(b"", b"", array("Q", [0]))


class Columns:
    """Those that were asked for lately, for all sessions of a process and their threads."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Place, Column] = OrderedDict()
        self._asked: OrderedDict[Place, None] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def of(self, place: Place) -> Column | None:
        """What is known, which may be of other messages by now. None: it is new, and to look once takes less time."""
        with self._lock:
            column = self._kept.get(place)
            if column is not None:
                self._kept.move_to_end(place)
                return column
            if place in self._asked:
                return _NOTHING
            self._asked[place] = None
            if len(self._asked) > 1000:
                self._asked.popitem(last=False)
            return None

    def keep(self, place: Place, column: Column) -> None:
        with self._lock:
            self._drop(place)
            self._kept[place] = column
            self._size += column.size
            while self._size > MOST:
                self._drop(next(iter(self._kept)))

    def _drop(self, place: Place) -> None:
        column = self._kept.pop(place, None)
        if column is not None:
            self._size -= column.size
