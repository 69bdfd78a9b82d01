"""Searching one mailbox or all of a person's: by the views, columns and index that IMAP's SEARCH uses."""

import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import islice
from typing import Final, NamedTuple

from engine.finding.boxes import Box
from engine.finding.listing import WINDOW, has_attachment
from engine.imap.columns import Columns
from engine.imap.letters import Shelf
from engine.imap.matching import Matching
from engine.imap.views import Views
from engine.index import Index
from engine.mailbox import Mailboxes, MessageGone, View
from engine.protocols.imap.search_keys import SearchKey
from engine.protocols.imap.view import View as Numbers

LONGEST: Final = 20.0
"""Seconds of a search: what the index does not know is read from the messages, and that may be all of them."""

SOME: Final = 200
"""Messages of which it is looked up at once whether something is attached."""


class TooLong(Exception):
    """The search would have taken too long."""


class Hit(NamedTuple):
    """A message that was found. Later ones stand first, so their order is the reverse of this."""

    received: int  # Unix milliseconds
    box: str  # Box.id
    uid: int


def place_of(hit: Hit) -> str:
    """A hit as it is written where a list goes on behind it."""
    return f"{hit.received}.{hit.box}.{hit.uid}"


def hit_of(text: str) -> Hit:
    """The same read. ValueError."""
    received, box, uid = text.split(".")
    if not (received.isascii() and received.isdigit() and uid.isascii() and uid.isdigit() and len(text) < 100):
        raise ValueError(f"{text!r} is no place in a list of ours")
    return Hit(int(received), box, int(uid))


class Finding:
    """What searches of one process share."""

    def __init__(self, mailboxes: Mailboxes, index: Index) -> None:
        self._mailboxes = mailboxes
        self._index = index
        self._views = Views(mailboxes)
        self._columns = Columns()

    async def views(self, boxes: Iterable[Box]) -> list[tuple[Box, View]]:
        """The mailboxes whole. StorageError."""
        found = [(box, await self._views.of(box.account, box.number)) for box in boxes]
        return [(box, view) for box, view in found if view is not None]

    def find(
        self, views: Sequence[tuple[Box, View]], key: SearchKey, attached: bool | None, after: Hit | None
    ) -> tuple[list[Hit], Hit | None]:
        """A window of what is found, the latest first, and where the next one begins. It blocks. TooLong."""
        deadline = time.monotonic() + LONGEST
        hits = [hit for box, view in views for hit in self._in(box, view, key, deadline)]
        hits.sort(reverse=True)
        left: Iterable[Hit] = (hit for hit in hits if after is None or hit < after)
        if attached is not None:
            left = self._attached({box.id: box for box, _ in views}, left, attached, deadline)
        found = list(islice(left, WINDOW + 1))
        return found[:WINDOW], found[WINDOW - 1] if len(found) > WINDOW else None

    def _in(self, box: Box, view: View, key: SearchKey, deadline: float) -> Iterable[Hit]:
        shelf = Shelf(self._mailboxes, self._index, box.account, box.number)
        steps = Matching(shelf, self._columns, view, Numbers(view.uids)).find(key, range(len(view.uids)))
        places: list[int] = []
        while True:
            try:
                next(steps)
            except StopIteration as end:
                places = end.value
                break
            if time.monotonic() > deadline:
                raise TooLong
        return [Hit(view.received[place], box.id, view.uids[place]) for place in places]

    def _attached(self, boxes: dict[str, Box], hits: Iterable[Hit], wanted: bool, deadline: float) -> Iterable[Hit]:
        """Those with, or without, something attached; looked up as they are wanted."""
        hits = iter(hits)
        while some := list(islice(hits, SOME)):
            if time.monotonic() > deadline:
                raise TooLong
            is_so = {hit: wanted is not self._has(boxes[hit.box], hit.uid) for hit in some}
            yield from (hit for hit in some if not is_so[hit])

    def _has(self, box: Box, uid: int) -> bool | None:
        for letter in Shelf(self._mailboxes, self._index, box.account, box.number).letters([uid], digests=True):
            with suppress(MessageGone):
                return has_attachment(letter.digest.message)
        return None
