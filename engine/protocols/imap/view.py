"""How one session numbers the messages of its mailbox, and which news it may be told when (RFC 9051 5.2, 7.5.1)."""

import enum
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from engine.protocols.imap import sets
from engine.protocols.imap.sets import STAR, SequenceSet


class May(enum.Enum):
    """What may be told at a moment."""

    NOTHING = "no command is in progress, and nobody asked to be told"
    NO_EXPUNGE = "FETCH, STORE, SEARCH, SORT or THREAD by message numbers is in progress, or NOTIFY asked for delay"
    ALL = "another command is in progress, IDLE among them, or NOTIFY asked for the selected mailbox"


class Changed(Struct, frozen=True):
    """The flags of a message as they are now."""

    number: int
    uid: int
    flags: bytes  # as they are written, joined by spaces
    modseq: int


class News(Struct, frozen=True):
    """To be told in this order: what is gone, how many there are, which flags have changed."""

    expunged: tuple[int, ...] = ()  # message numbers in descending order, so that each counts as it stands here
    vanished: SequenceSet = SequenceSet()  # the same ones by UID, for QRESYNC and UIDONLY
    exists: int | None = None  # None: as many as were told before, less what is gone
    changed: tuple[Changed, ...] = ()  # ascending; their numbers are those after ``expunged``

    def __bool__(self) -> bool:
        return bool(self.expunged or self.changed or self.exists is not None)


NO_NEWS: Final = News()


class View:
    """The messages of the selected mailbox as its session numbers them: four octets each, or shared.

    ``uids`` ascend. What another session does comes in by ``appeared``, ``changed`` and ``vanished`` at any time, and
    waits until ``tell``: till then a message keeps its number, also one that is gone.
    """

    __slots__ = ("_changed", "_gone", "_new", "_told", "_uids", "saved")

    def __init__(self, uids: Iterable[int]) -> None:
        # One array for all sessions that know of the same messages: it is never changed in place.
        self._uids = uids if isinstance(uids, array) else array("I", uids)
        self._new = array("I")  # appeared, and not told
        self._gone: set[int] = set()  # of those in _uids
        self._changed: dict[int, tuple[bytes, int]] = {}
        self.saved: Sequence[int] = ()  # UIDs in ascending order: what ``$`` stands for (RFC 5182)

    # What there is.

    def __len__(self) -> int:
        """How many messages the client knows of."""
        return len(self._uids)

    @property
    def uids(self) -> Sequence[int]:
        """The UID of each message, by place from 0. Do not change it."""
        return self._uids

    def uid(self, number: int) -> int:
        """IndexError where there is no such message."""
        if number < 1:
            raise IndexError(number)
        return self._uids[number - 1]

    def number(self, uid: int) -> int | None:
        """The message's number; None where the client knows of none with this UID."""
        place = bisect_left(self._uids, uid)
        return place + 1 if place < len(self._uids) and self._uids[place] == uid else None

    def is_gone(self, uid: int) -> bool:
        """Whether the message has been expunged, and still has a number."""
        return uid in self._gone

    def places(self, messages: SequenceSet, *, uid: bool) -> list[range]:
        """Places from 0 of the messages in a set, in ascending order; what is not there is passed over."""
        if messages.saved:
            return sets.of(self.saved).positions_among(self._uids)
        return messages.positions_among(self._uids) if uid else messages.positions(len(self._uids))

    def chosen(self, messages: SequenceSet, *, uid: bool) -> "array[int]":
        """The UIDs of the messages in a set, in ascending order."""
        found = array("I")
        for places in self.places(messages, uid=uid):
            found += self._uids[places.start : places.stop]
        return found

    def numbered(self, uids: Sequence[int]) -> "tuple[Sequence[int], Sequence[int]]":
        """The numbers of those of the messages that the client knows of, and their UIDs. UIDs ascend."""
        found = sets.places(uids, self._uids)
        if isinstance(found, range):
            return range(found.start + 1, found.stop + 1), uids
        return [place + 1 for place in found], array("I", map(self._uids.__getitem__, found))

    def there(self, uids: "array[int]") -> "array[int]":
        """Those of the messages that have not been expunged."""
        return array("I", (uid for uid in uids if uid not in self._gone)) if self._gone else uids

    def is_beyond(self, messages: SequenceSet) -> bool:
        """Whether a set of message numbers names one that there is not, which is the client's error (RFC 9051 9).

        In an empty mailbox ``*`` is no number at all; who asks for ``1:*`` there gets nothing.
        """
        return any(max(span) > len(self._uids) and STAR not in span for span in messages.ranges)

    # What happens.

    def appeared(self, uids: Iterable[int]) -> None:
        """New messages; their UIDs ascend, and are higher than all before. Such that are known are passed over."""
        last = self._last
        for uid in uids:
            if uid > last:
                self._new.append(uid)
                last = uid

    def vanished(self, uids: Iterable[int]) -> None:
        """Messages that have been expunged, also by this session."""
        gone = set(uids)
        self._gone.update(uid for uid in gone if self.number(uid) is not None)
        if gone and len(self._new):
            self._new = array("I", (uid for uid in self._new if uid not in gone))
        for uid in gone:
            self._changed.pop(uid, None)

    def changed(self, uids: Iterable[int], flags: Iterable[bytes], modseqs: Iterable[int]) -> None:
        """Messages have these flags now.

        What this session did by STORE .SILENT need not come in, but for CONDSTORE (RFC 7162 3.1.3).
        """
        self._changed.update(zip(uids, zip(flags, modseqs, strict=True), strict=True))
        for uid in self._gone:
            self._changed.pop(uid, None)

    def to_be_told(self, uids: Iterable[int]) -> set[int]:
        """Those of the messages whose flags are to be told."""
        return self._changed.keys() & set(uids) if self._changed else set()

    def seen(self, uids: Iterable[int]) -> None:
        """The client has been told the flags in some other way."""
        if self._changed:
            for uid in uids:
                self._changed.pop(uid, None)

    @property
    def has_news(self) -> bool:
        return bool(self._new or self._gone or self._changed)

    def tell(self, may: May, *, flags: bool = True) -> News:
        """What the client is told now; from then on the numbers are those that it knows.

        Without ``flags`` what has happened to them waits on.
        """
        if may is May.NOTHING or not self.has_news:
            return NO_NEWS
        expunged, vanished = self._expunge() if may is May.ALL and self._gone else ((), NO_NEWS.vanished)
        exists: int | None = None
        if self._new:
            self._uids = self._uids + self._new
            self._new = array("I")
            exists = len(self._uids)
        return News(expunged, vanished, exists, self._flags() if flags else ())

    @property
    def _last(self) -> int:
        known = self._new or self._uids
        return known[-1] if known else 0

    def _expunge(self) -> tuple[tuple[int, ...], SequenceSet]:
        places = sorted(bisect_left(self._uids, uid) for uid in self._gone)
        vanished = sets.of(self._uids[place] for place in places)
        kept = array("I")
        start = 0
        for place in places:
            kept += self._uids[start:place]
            start = place + 1
        self._uids = kept + self._uids[start:]
        self._gone.clear()
        return tuple(place + 1 for place in reversed(places)), vanished

    def _flags(self) -> tuple[Changed, ...]:
        told = []
        for uid, (flags, modseq) in sorted(self._changed.items()):
            number = self.number(uid)
            if number is not None:
                told.append(Changed(number, uid, flags, modseq))
        self._changed.clear()
        return tuple(told)
