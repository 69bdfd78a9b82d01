"""Building the index: what is new in the mailboxes is read in the background, what is gone goes here too.

How far a mailbox is done is a UID: UIDs only grow (RFC 9051 2.3.1.1), what is moved gets a new one, and flags are not
derived. The marks in the files of full text say how far these go by themselves; those of the digests are written after
them, so they hold for both.
"""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from engine.index.digests import MANY, Digests
from engine.index.fulltext import FullText, Worded
from engine.index.layout import Damaged, Mark, Stamp
from engine.index.reading import Letter
from engine.index.row import Row
from engine.index.texts import Lost, Texts
from engine.mailbox import Mailboxes, MailboxRow
from engine.mailbox.rows import MessageRow
from engine.observe.events import event
from engine.storage.environment import Full
from engine.storage.ownership import held
from engine.storage.room import Room

Place = tuple[int, int]
"""An account, and one of its mailboxes."""

MESSAGES = 200
"""Messages of a turn, and of a commit."""

OCTETS = 8 * 2**20
"""Octets of messages after which a turn ends."""

GARBAGE = 1000
"""Messages that must have gone from a file of full text before it is built anew for that."""


@dataclass(slots=True)
class Gathered:
    """What a turn has read, and writes in few commits."""

    rows: dict[bytes, Row] = field(default_factory=dict)
    letters: dict[bytes, Letter] = field(default_factory=dict)  # by content, for the other accounts that have it
    texts: dict[int, list[Worded]] = field(default_factory=dict)  # by account
    marks: dict[Place, Mark] = field(default_factory=dict)
    messages: int = 0
    octets: int = 0

    @property
    def is_full(self) -> bool:
        return self.messages >= MESSAGES or self.octets >= OCTETS


class Builder:
    """Builds the index in ``path`` from the mailboxes; the only process that changes it. Every method may block.

    StorageError when another process builds it, or it cannot be written (Full: there is no room, or too little).
    ``told`` and ``rebuild`` may be called from another thread than the rest.
    """

    def __init__(self, mailboxes: Mailboxes, path: Path, *, full_text: bool, reserve: int = 0) -> None:
        self.reserve = reserve  # octets of disk that are left to the mail; may be changed at any time
        self.full_text = full_text  # the same
        self._mailboxes = mailboxes
        self._path = path
        self._full_text = full_text
        self._lock = held(path)
        self._digests = Digests(path)
        self._texts = Texts(path)
        self._room = Room()
        self._told: deque[Place | None] = deque()  # None: look at all
        self._rebuild: deque[int | None] = deque()  # accounts; None: all
        self._waiting: dict[Place, None] = {}
        self._looked: Place | None = None  # up to where it was looked for mailboxes that are not done; None: at all
        try:
            self._begin()
        except Damaged as error:
            self._start_over(error)

    def close(self) -> None:
        self._texts.close()
        self._digests.close()
        os.close(self._lock)

    def told(self, account: int, mailbox: int) -> None:
        """There is something new in a mailbox."""
        self._told.append((account, mailbox))

    def look(self) -> None:
        """Look at all mailboxes: nobody knows what is new in them."""
        self._told.append(None)

    def rebuild(self, account: int | None) -> None:
        """Throw away what is known of an account, or all, and build it anew."""
        self._rebuild.append(account)

    def work(self) -> bool:
        """Do one turn; whether there is more to do."""
        if not self._room.above(self.reserve, self._path):
            raise Full("the disk is nearly full")
        gathered, places = Gathered(), []
        try:
            self._digests.environment.reader_check()  # else nothing that one saw who was killed is used again
            self._take_orders()
            while not gathered.is_full and (place := self._next()) is not None:
                places.append(place)
                if self._gather(place, gathered):
                    self._wait_for([place])  # behind the others
            self._keep(gathered)
        except Lost as error:
            self._wait_for(places)
            self._wait_for(self._unmark(error.account))
        except Damaged as error:
            self._start_over(error)
        except BaseException:
            self._wait_for(places)
            raise
        return bool(self._waiting or self._told or self._rebuild or self._looked is not None)

    def sweep(self) -> Iterator[None]:
        """Forget what has gone from the mailboxes, bit by bit: one with each step of the iterator."""
        after = b""
        while some := self._digests.after(after, MANY):
            after = some[-1]
            if gone := self._mailboxes.gone(some):
                self._digests.forget(gone)
            yield
        for account in self._texts.accounts():
            try:
                yield from self._sweep_text(account)
            except Lost:
                self._wait_for(self._unmark(account))
        place = 0, 0
        while marked := self._digests.marked(*place):
            place = marked[-1]
            self._digests.forget(places=[each for each in marked if self._mailboxes.status(*each) is None])
            yield

    def _begin(self) -> None:
        """Go on where it was, or look at all anew: at another store, or one that was put back to an earlier time."""
        if not self._digests.begin(self._stamp()):
            for account in self._texts.accounts():
                with suppress(Lost):
                    self._texts.use(account, FullText.unmark)
        self.look()

    def _start_over(self, error: Damaged) -> None:
        event("index-damaged", error=str(error))
        self._digests.renew()
        self._begin()

    def _stamp(self) -> Stamp:
        return Stamp(*self._mailboxes.stamp(), self._full_text)

    def _take_orders(self) -> None:
        if self.full_text != self._full_text:
            self._full_text = self.full_text
            self._begin()
        while self._rebuild:
            self._throw_away(self._rebuild[0])
            self._rebuild.popleft()
        while self._told:
            place = self._told.popleft()
            if place is None:
                self._looked = 0, 0
            else:
                self._wait_for([place])

    def _throw_away(self, account: int | None) -> None:
        if account is None:
            for each in self._texts.accounts():
                self._texts.remove(each)
            self._digests.clear()
            self.look()
            return
        self._texts.remove(account)
        places = self._unmark(account)
        for place in places:
            uid = 0
            while rows := self._mailboxes.arrivals(*place, uid, MANY):
                uid = rows[-1][0]
                self._digests.forget(row.content for _, row in rows)
        self._wait_for(places)

    def _unmark(self, account: int) -> list[Place]:
        """Know nothing any more of the mailboxes of an account; which they are."""
        places = self._digests.of_account(account)
        self._digests.forget(places=places)
        return places

    def _wait_for(self, places: Iterable[Place]) -> None:
        self._waiting |= dict.fromkeys(places)

    def _next(self) -> Place | None:
        """A mailbox that may not be done; None also where more than a turn's worth is still to be looked through."""
        if not self._waiting and self._looked is not None:
            found = self._mailboxes.places(self._looked, MANY)
            self._looked = found[-1][:2] if found else None
            self._waiting |= {
                (account, number): None for account, number, row in found if self._lags(account, number, row)
            }
        place = next(iter(self._waiting), None)
        if place is not None:
            del self._waiting[place]
        return place

    def _lags(self, account: int, mailbox: int, row: MailboxRow) -> bool:
        if row.gone or row.uidnext == 1:  # nothing has ever been in it
            return False
        mark = self._digests.mark(account, mailbox)
        done = mark.uidvalidity == row.uidvalidity and mark.uid >= row.uidnext - 1
        return not done or (self._full_text and not self._texts.has(account))

    def _gather(self, place: Place, gathered: Gathered) -> bool:
        """Read what is new in a mailbox, as far as it fits; whether there is more."""
        account, mailbox = place
        status = self._mailboxes.status(account, mailbox)
        if status is None or not self._lags(account, mailbox, status):
            return False
        after = self._after(place, status.uidvalidity)
        limit = MESSAGES - gathered.messages
        rows = self._mailboxes.arrivals(account, mailbox, after, limit)
        contents = [row.content for _, row in rows]
        undigested = self._digests.missing(contents)
        unworded = self._texts.use(account, partial(FullText.missing, contents=contents)) if self._full_text else ()
        for uid, row in rows:
            if gathered.is_full:
                break
            after = uid
            gathered.messages += 1
            if row.content in undigested or row.content in unworded:
                letter = self._letter(place, uid, row, gathered)
                if letter.row is not None and row.content in undigested:
                    gathered.rows[row.content] = letter.row
                if row.content in unworded and not letter.is_gone:
                    gathered.texts.setdefault(account, []).append(letter.worded(row.heading))
        else:
            if len(rows) < limit:
                after = max(after, status.uidnext - 1)
        gathered.marks[place] = Mark(status.uidvalidity, after)
        return after < status.uidnext - 1

    def _after(self, place: Place, uidvalidity: int) -> int:
        """The UID up to which a mailbox is done."""
        account, mailbox = place
        marks = [self._digests.mark(account, mailbox)]
        if self._full_text:
            marks.append(self._texts.use(account, partial(FullText.mark, mailbox=mailbox)))
        return min(mark.uid if mark.uidvalidity == uidvalidity else 0 for mark in marks)

    def _letter(self, place: Place, uid: int, row: MessageRow, gathered: Gathered) -> Letter:
        letter = gathered.letters.get(row.content)
        if letter is None:
            letter = gathered.letters[row.content] = Letter(self._mailboxes, *place, uid, row)
            gathered.octets += row.size
        return letter

    def _keep(self, gathered: Gathered) -> None:
        if not gathered.marks:
            return
        marks: dict[int, list[tuple[int, Mark]]] = {}
        for (account, mailbox), mark in gathered.marks.items():
            marks.setdefault(account, []).append((mailbox, mark))
        if self._full_text:
            for account, own in marks.items():
                self._texts.use(account, partial(FullText.add, messages=gathered.texts.get(account, ()), marks=own))
        self._digests.add(gathered.rows, gathered.marks, self._stamp())

    def _sweep_text(self, account: int) -> Iterator[None]:
        if not self._full_text or self._mailboxes.is_erased(account):
            self._texts.remove(account)
            return
        after = b""
        while some := self._texts.use(account, partial(FullText.after, content=after, limit=MANY)):
            after = some[-1]
            if gone := self._mailboxes.gone(some):
                self._texts.use(account, partial(FullText.forget, contents=gone))
            yield
        if self._texts.use(account, partial(FullText.is_mostly_gone, least=GARBAGE)):
            self._texts.remove(account)
            self._wait_for(self._unmark(account))
