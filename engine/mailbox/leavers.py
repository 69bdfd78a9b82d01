"""The mail of removed accounts: erased by its owner, where the command that removed the account was broken off."""

from typing import NoReturn

import trio

from engine.directory import Directory, Unavailable
from engine.mailbox.owner import ROUND, MailboxOwner
from engine.observe.events import event
from engine.storage.environment import StorageError


class Leavers:
    """The task that looks for them. One in the whole server, beside the owner of the mailboxes."""

    def __init__(self, owner: MailboxOwner, directory: Directory) -> None:
        self._owner = owner
        self._directory = directory

    async def run(self) -> NoReturn:
        """Now and every hour."""
        while True:
            try:
                await self.erase()
            except (StorageError, Unavailable) as error:
                event("erasing-stopped", error=str(error))
            await trio.sleep(ROUND)

    async def erase(self) -> None:
        """Erase the mail of all whom the directory names. StorageError, Unavailable."""
        for account in self._directory.leavers():
            await self._owner.erase(account)
            self._directory.left(account)
