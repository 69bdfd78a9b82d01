"""How far the index goes, for operators."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import lmdb

from engine.index.fulltext import file_of
from engine.index.layout import MAP_SIZE, Databases, Mark, opened, place_key
from engine.mailbox import Mailboxes, MailboxRow
from engine.storage.environment import StorageError

MANY = 1000
"""Records that are looked at in one transaction."""


class Progress(NamedTuple):
    """Of one account, or of all."""

    messages: int  # there are
    known: int  # of them are in the index
    size: int  # octets of disk that the index takes; of one account, its full text alone


def progress(mailboxes: Mailboxes, path: Path, account: int | None, *, map_size: int = MAP_SIZE) -> Progress:
    """How far the index in ``path`` goes. Slow: it looks at each mailbox. StorageError of the mailboxes alone."""
    messages = known = 0
    with closing(_Marks(path, map_size)) as marks:
        for owner, mailbox, row in _places(mailboxes, account):
            messages += row.messages
            known += row.messages - _waiting(mailboxes, owner, mailbox, row, marks.of(owner, mailbox))
    files = path.rglob("*") if account is None else (file for file in (file_of(path, account),) if file.exists())
    return Progress(messages, known, sum(file.stat().st_blocks * 512 for file in files if file.is_file()))


def _places(mailboxes: Mailboxes, account: int | None) -> Iterator[tuple[int, int, MailboxRow]]:
    after = (account or 0, 0)
    while found := mailboxes.places(after, MANY):
        after = found[-1][:2]
        yield from (place for place in found if account in (None, place[0]) and not place[2].gone)
        if account not in (None, after[0]):
            return


def _waiting(mailboxes: Mailboxes, account: int, mailbox: int, row: MailboxRow, mark: Mark) -> int:
    """Messages that are not in the index yet."""
    if mark.uidvalidity != row.uidvalidity:
        return row.messages
    waiting, after = 0, mark.uid
    while after < row.uidnext - 1 and (some := mailboxes.arrivals(account, mailbox, after, MANY)):
        waiting, after = waiting + len(some), some[-1][0]
    return min(waiting, row.messages)


class _Marks:
    """How far mailboxes are done; nothing where there is no index."""

    def __init__(self, path: Path, map_size: int) -> None:
        self._environment: lmdb.Environment | None = None
        try:
            self._environment = opened(path, map_size=map_size, read_only=True)
            self._databases = Databases(self._environment, create=False)
        except (StorageError, lmdb.Error):
            self.close()

    def close(self) -> None:
        if self._environment is not None:
            self._environment.close()
            self._environment = None

    def of(self, account: int, mailbox: int) -> Mark:
        if self._environment is None:
            return Mark(0)
        with self._environment.begin(db=self._databases.mark) as transaction:
            octets = transaction.get(place_key(account, mailbox))
        return Mark.parse(octets) if octets is not None else Mark(0)
