"""Which messages a search key finds (RFC 9051 6.4.4), in steps, the cheap keys first."""

import time
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from functools import partial
from itertools import compress
from typing import Final

from engine.imap.columns import Column, Columns, entries
from engine.imap.letters import Letter, Shelf
from engine.imap.texts import Header, Needle, holding, in_body, in_header, may_hold, sent_on
from engine.index import Text
from engine.mailbox import MessageGone, View
from engine.mailbox.flags import SYSTEM
from engine.mailbox.rows import IN_HEADING
from engine.protocols.imap import search_keys as keys
from engine.protocols.imap.search_keys import SearchKey
from engine.protocols.imap.sets import of as set_of
from engine.protocols.imap.view import View as Numbers

AT_ONCE: Final = 200
"""Messages that are read in one step."""

INDEXED: Final = 2_000
"""Messages of which the index is asked in one step, which takes a microsecond or two each."""

Found = Generator[None, None, list[int]]
"""Places in the view, in ascending order; it pauses wherever a step has taken some time."""

DAY: Final = 86_400_000  # milliseconds


class Matching:
    """Looks for messages in one view of a mailbox; ``numbers`` is how the session counts them."""

    def __init__(self, shelf: Shelf, columns: Columns, view: View, numbers: Numbers) -> None:
        self._shelf = shelf
        self._columns = columns
        self._view = view
        self._numbers = numbers
        self._now = int(time.time() * 1000)

    def find(self, key: SearchKey, among: Sequence[int]) -> Found:
        """Those of the places in ``among`` whose messages the key finds."""
        match key:
            case keys.And(parts):
                for part in sorted(parts, key=_cost):
                    among = yield from self.find(part, among)
                return list(among)
            case keys.Or(left, right):
                cheap, dear = sorted((left, right), key=_cost)
                some = set((yield from self.find(cheap, among)))
                some.update((yield from self.find(dear, [place for place in among if place not in some])))
                return [place for place in among if place in some]
            case keys.Not(inner):
                other = set((yield from self.find(inner, among)))
                return [place for place in among if place not in other]
            case keys.Contains() | keys.HeaderContains():
                return (yield from self._texts(key, among))
            case keys.Dated(which="SENT"):
                return (yield from self._sent(key, among))
            case keys.Identified(kind="THREADID", value=value):
                return (yield from self._filtered(among, lambda letter: letter.thread_id == value, digests=True))
            case _:
                return self._quick(key, among)

    def candidates(self, key: SearchKey) -> Sequence[int]:
        """The places of those messages that the key does not rule out by their numbers alone."""
        return self._numbered(key, range(len(self._view)))

    def _numbered(self, key: SearchKey, among: Sequence[int]) -> Sequence[int]:
        match key:
            case keys.And(parts):
                for part in parts:
                    among = self._numbered(part, among)
            case keys.Numbered():
                among = self._quick(key, among)
        return among

    def _quick(self, key: SearchKey, among: Sequence[int]) -> list[int]:
        """What the view itself tells."""
        view = self._view
        match key:
            case keys.HasFlag(flag):
                return self._flagged(flag, among)
            case keys.Dated(which, comparison, day):
                return _dated(view.received if which == "INTERNAL" else view.saved, comparison, day, among)
            case keys.Sized(larger, octets):
                sizes = view.sizes
                if larger:
                    return [place for place in among if sizes[place] > octets]
                return [place for place in among if sizes[place] < octets]
            case keys.Aged(older, seconds):
                edge, received = self._now - seconds * 1000, view.received
                if older:
                    return [place for place in among if received[place] <= edge]
                return [place for place in among if received[place] >= edge]
            case keys.Numbered(messages, uid):
                uids = self._numbers.chosen(messages, uid=uid)
                chosen = {place for run in set_of(uids).positions_among(view.uids) for place in run}
                return [place for place in among if place in chosen]
            case keys.Modified(since):
                return [place for place in among if view.modseqs[place] >= since]
            case keys.Identified(value=value):
                return [place for place in among if view.email_id(place) == value]
            case _:  # ALL, SAVEDATESUPPORTED
                return list(among)

    def _flagged(self, flag: str, among: Sequence[int]) -> list[int]:
        view = self._view
        if flag in SYSTEM:
            bit, column = SYSTEM[flag], view.flags
        else:
            known = [keyword.lower() for keyword in view.keywords]
            if flag.lower() not in known:  # \Recent too: no message is
                return []
            bit, column = 1 << known.index(flag.lower()), view.bits
        return [place for place in among if column[place] & bit]

    def _texts(self, key: keys.Contains | keys.HeaderContains, among: Sequence[int]) -> Found:
        needle = Needle(key.text)
        if isinstance(key, keys.Contains) and key.where in ("BODY", "TEXT"):
            return (yield from self._words(key, needle, among))
        name = key.name if isinstance(key, keys.HeaderContains) else key.where
        header = Header(name.lower())
        found, doubtful = list[int](), among
        if header.octets not in IN_HEADING:
            found, doubtful = yield from self._known(among, header, needle)
        is_so = partial(in_header, header=header, needle=needle)
        more = yield from self._filtered(doubtful, is_so, headers={header.octets})
        return sorted(found + more) if more else found

    def _known(
        self, among: Sequence[int], header: Header, needle: Needle
    ) -> Generator[None, None, tuple[list[int], list[int]]]:
        """The places of contents in whose headers the text is; and those of which nobody knows the header."""
        column = (yield from self._column(header)) if 2 * len(among) > len(self._view) else None
        if column is None:
            return (yield from self._by_index(among, header, needle))
        found, unknown = column.found(needle.encoded), list(column.unknown)
        if len(among) == len(self._view):
            return found, unknown
        some = set(among)
        return [place for place in found if place in some], [place for place in unknown if place in some]

    def _column(self, header: Header) -> Generator[None, None, Column | None]:
        """What the field says in all messages of the view; None where it is not worth while to find that out."""
        view, index = self._view, self._shelf.index
        place = (*self._shelf.place, header.octets)
        known = self._columns.of(place)
        if known is None:
            return None
        if not view.contents.startswith(known.contents):  # something is gone
            known = known.upto(0)
        elif known.unknown:
            now = index.headers(view.content_keys(known.unknown), {header.octets})
            known = known.upto(next(compress(known.unknown, (one is not None for one in now)), len(view)))
        more = list[bytes | None]()
        for some in _some(range(len(known.starts) - 1, len(view)), INDEXED):
            sections = index.headers(view.content_keys(some), {header.octets})
            more += entries(sections, header)
            yield
        if more:
            known = known.with_more(view.contents, more)
            self._columns.keep(place, known)
        return known

    def _by_index(
        self, among: Sequence[int], header: Header, needle: Needle
    ) -> Generator[None, None, tuple[list[int], list[int]]]:
        """The places of contents in whose headers the index has the text; and those of which it has no header."""
        found, unknown = list[int](), list[int]()
        for some in _some(among, INDEXED):
            known = self._shelf.index.headers(self._view.content_keys(some), {header.octets})
            maybe = list(compress(zip(some, known, strict=True), may_hold(known, header, needle)))
            unknown += [place for place, section in maybe if section is None]
            there = [(place, section) for place, section in maybe if section is not None]
            found += [there[one][0] for one in holding([section for _, section in there], header, needle)]
            yield
        return found, unknown

    def _words(self, key: keys.Contains, needle: Needle, among: Sequence[int]) -> Found:
        """By the index, as far as it goes; it may want a second look at some messages."""
        view, with_header = self._view, key.where == "TEXT"
        account, mailbox = self._shelf.place
        known = self._shelf.index.search(account, Text(key.text, with_header))
        last = known.known(mailbox, view.status.uidvalidity)
        sure, doubtful = [], []
        for place in among:
            content = view.content(place)
            if view.uids[place] > last or content in known.unsure:
                doubtful.append(place)
            elif content in known.sure:
                sure.append(place)
        holds = partial(in_body, needle=needle, header=with_header)
        more = yield from self._filtered(doubtful, holds, whole=True)
        return sorted(sure + more) if more else sure

    def _sent(self, key: keys.Dated, among: Sequence[int]) -> Found:
        holds = _COMPARISONS[key.comparison]

        def is_on(letter: Letter) -> bool:
            day = sent_on(letter)
            return day is not None and holds(day, key.date)

        return (yield from self._filtered(among, is_on, headers={b"date"}))

    def _filtered(
        self,
        among: Sequence[int],
        holds: Callable[[Letter], bool],
        *,
        digests: bool = False,
        headers: Collection[bytes] | None = None,
        whole: bool = False,
    ) -> Found:
        """Those of the places whose messages are there, and are so."""
        found: list[int] = []
        for some in _some(among):
            places = {self._view.uids[place]: place for place in some}
            letters = self._shelf.letters(list(places), digests=digests, headers=headers)
            if whole:
                letters = list(self._opened(letters))
            for letter in letters:
                try:
                    if holds(letter):
                        found.append(places[letter.uid])
                except MessageGone:
                    continue
            yield
        return found

    def _opened(self, letters: Sequence[Letter]) -> Iterator[Letter]:
        with suppress(MessageGone):  # each finds out for itself
            self._shelf.read(letters)
        yield from letters


def _some(among: Sequence[int], count: int = AT_ONCE) -> Iterator[Sequence[int]]:
    return (among[start : start + count] for start in range(0, len(among), count))


_COMPARISONS: Final[dict[str, Callable[[date, date], bool]]] = {
    "BEFORE": lambda day, other: day < other,
    "ON": lambda day, other: day == other,
    "SINCE": lambda day, other: day >= other,
}


def _dated(column: Sequence[int], comparison: str, day: date, among: Iterable[int]) -> list[int]:
    """By the day in UTC, which is the zone in which we tell dates."""
    start = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000
    if comparison == "BEFORE":
        return [place for place in among if column[place] < start]
    if comparison == "SINCE":
        return [place for place in among if column[place] >= start]
    return [place for place in among if start <= column[place] < start + DAY]


def _cost(key: SearchKey) -> int:
    match key:
        case keys.And(parts):
            return max(map(_cost, parts))
        case keys.Or(left, right):
            return max(_cost(left), _cost(right))
        case keys.Not(inner):
            return _cost(inner)
        case keys.Contains(where="BODY" | "TEXT"):
            return 2
        case keys.Contains() | keys.HeaderContains() | keys.Dated(which="SENT") | keys.Identified(kind="THREADID"):
            return 1
        case _:
            return 0
