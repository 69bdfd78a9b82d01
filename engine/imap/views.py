"""Mailboxes as arrays, shared by the sessions of a process that read the same ones."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from typing import Final

import trio

from engine.mailbox import Changes, Mailboxes, MailboxRow, View
from engine.mailbox.commands import Answer, Store
from engine.mailbox.views import renewed, restated

MOST: Final = 1_000_000
"""Messages of all views that are kept: some 70 octets each."""

AT_ONCE: Final = 200
"""Messages of a mailbox that is read without a thread, which would take longer."""

COPIED: Final = 20_000
"""Messages of a view that is renewed without a thread: its arrays are copied as they are."""


TOLD: Final = 5_000
"""Mailboxes of which it is known what SELECT says of them: some 500 octets each."""


class Views:
    """The newest view of each mailbox that was asked for lately."""

    def __init__(self, mailboxes: Mailboxes) -> None:
        self._mailboxes = mailboxes
        self._kept: OrderedDict[tuple[int, int], View] = OrderedDict()
        self._messages = 0
        self._told: OrderedDict[tuple[int, int], tuple[Hashable, bytes]] = OrderedDict()
        self._last: tuple[tuple[int, int, int, MailboxRow], Changes | None] | None = None

    async def of(self, account: int, mailbox: int) -> View | None:
        """The mailbox as it is now; None when there is none. StorageError."""
        status = self._mailboxes.status(account, mailbox)
        key = account, mailbox
        known = self._take(key)
        if status is None:
            return None
        if known is not None and known.status == status:
            view: View | None = known
        else:
            view = await self._renewed(account, mailbox, known, status) if known is not None else None
            if view is None and status.messages <= AT_ONCE:
                view = self._mailboxes.select(account, mailbox)
            elif view is None:
                view = await trio.to_thread.run_sync(self._mailboxes.select, account, mailbox)
        if view is not None:
            self._keep(key, view)
        return view

    def known(self, account: int, mailbox: int) -> View | None:
        """The mailbox as it is now, where nothing must be read for that. StorageError."""
        view = self._kept.get((account, mailbox))
        return view if view is not None and view.status == self._mailboxes.status(account, mailbox) else None

    def told(self, account: int, mailbox: int, shown: Hashable, tell: Callable[[], Iterable[bytes]]) -> bytes:
        """What ``tell`` says of a mailbox; what it said the last time, if ``shown``, which it tells of, is the same."""
        key = account, mailbox
        known = self._told.get(key)
        if known is None or known[0] != shown:
            known = self._told[key] = shown, b"".join(tell())
            if len(self._told) > TOLD:
                self._told.popitem(last=False)
        self._told.move_to_end(key)
        return known[1]

    def stored(self, command: Store, answer: Answer) -> MailboxRow | None:
        """A STORE was done. If nothing else has happened since the view was made, all that has changed is known.

        Then it is the mailbox's status of now; else None.
        """
        view = self._kept.get((command.account, command.mailbox))
        if view is None or view.status.modseq != answer.since or command.keywords:
            return None
        status = self._mailboxes.status(command.account, command.mailbox)
        if status is None or status.modseq != answer.modseq:
            return None
        key = command.account, command.mailbox, answer.since, status
        self._last = key, restated(view, command, answer, status)
        return status

    async def _renewed(self, account: int, mailbox: int, known: View, status: MailboxRow) -> View | None:
        """By what has changed; None: it is quicker read whole, or must be."""
        if known.status.uidvalidity != status.uidvalidity:
            return None
        changes = await self.changes(account, mailbox, known.status.modseq, status)
        if changes is None or changes.status.uidvalidity != status.uidvalidity:
            return None
        if len(changes.messages) > len(known):
            return None
        if len(known) <= COPIED:
            return renewed(known, changes)
        return await trio.to_thread.run_sync(renewed, known, changes)

    async def changes(self, account: int, mailbox: int, since: int, status: MailboxRow) -> Changes | None:
        """As ``Mailboxes.changes``; ``status`` is that of now. Many who wait for the same news share one reading."""
        key = account, mailbox, since, status
        if self._last is not None and self._last[0] == key:
            return self._last[1]
        found = await trio.to_thread.run_sync(self._mailboxes.changes, account, mailbox, since)
        if found is not None and found.status == status:
            self._last = key, found
        return found

    def _take(self, key: tuple[int, int]) -> View | None:
        view = self._kept.pop(key, None)
        if view is not None:
            self._messages -= len(view.uids)
        return view

    def _keep(self, key: tuple[int, int], view: View) -> None:
        self._take(key)  # another session may have been quicker
        self._kept[key] = view
        self._messages += len(view.uids)
        while self._messages > MOST and len(self._kept) > 1:
            self._take(next(iter(self._kept)))
