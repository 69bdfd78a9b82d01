"""Holds as the mailboxes keep to them: what is recorded here counts, also where the mailboxes are an older copy."""

from collections.abc import Callable
from typing import NoReturn

import trio

from engine.mailbox import MailboxOwner
from engine.mailbox.commands import Hold
from engine.observe.events import event
from engine.oversight.store import Oversight
from engine.storage.environment import StorageError

EVERY = 3600.0
"""Seconds between two looks. A command tells the owner of the mailboxes at once; this is for those that could not."""


class Holding:
    """The task that has the mailboxes hold what is to be held. One in the whole server, beside their owner."""

    def __init__(self, owner: MailboxOwner, opened: Callable[[], Oversight]) -> None:
        self._owner = owner
        self._opened = opened

    async def run(self) -> NoReturn:
        """Now and every hour."""
        while True:
            try:
                await self.agree()
            except StorageError as error:
                event("holds-unknown", error=str(error))
            await trio.sleep(EVERY)

    async def agree(self) -> None:
        """Hold what is recorded. What is held without a record stays so, and is told: the record may be lost.

        StorageError.
        """
        recorded = {held.account for held in await trio.to_thread.run_sync(lambda: self._opened().holds())}
        there = self._owner.reader.holds()
        for account in sorted(recorded - there):
            await self._owner.change(Hold(account=account, on=True))
        for account in sorted(there - recorded):
            event("hold-unrecorded", account=account)
