"""Holds as the mailboxes keep to them: what is recorded here counts, also where the mailboxes are an older copy."""

import time
from collections.abc import Callable
from typing import NoReturn

import trio

from engine.directory import Account, Directory, DirectoryError, Embedded, members
from engine.mailbox import MailboxOwner
from engine.mailbox.commands import Hold
from engine.observe.events import event
from engine.oversight.entries import digest, written
from engine.oversight.grants import Whose
from engine.oversight.store import Oversight
from engine.storage.environment import StorageError

EVERY = 3600.0
"""Seconds between two looks at all. A command tells the owner of the mailboxes at once; this is for those that could
not."""

SOON = 0.5
"""Seconds between two looks whether the directory, or a hold, has changed: somebody may have come to a domain or a
group that is held. A look takes some microseconds."""


def of(directory: Embedded, name: str) -> list[Account]:
    """Whom a hold by this name is about now: all of a domain, or all to whom a group leads. DirectoryError."""
    return members(directory, name) if "@" in name else directory.accounts_of(name)


class Holding:
    """The task that has the mailboxes hold what is to be held. One in the whole server, beside their owner."""

    def __init__(
        self, owner: MailboxOwner, opened: Callable[[], Oversight], directory: Directory | None = None
    ) -> None:
        self._owner = owner
        self._opened = opened
        self._directory = directory if isinstance(directory, Embedded) else None
        self._seen: object = None

    async def run(self) -> NoReturn:
        """Now, whenever something has changed, and every hour."""
        due = 0.0
        while True:
            try:
                if time.monotonic() >= due:
                    due = time.monotonic() + EVERY
                    await self.agree()
                elif await trio.to_thread.run_sync(self._changed):
                    await self.hold()
            except (StorageError, DirectoryError) as error:
                event("holds-unknown", error=str(error))
                await trio.sleep(60)
            await trio.sleep(SOON)

    def _changed(self) -> bool:
        """Whether the directory or the holds have, since the last look. Blocks."""
        opened, directory = self._opened(), self._directory
        state = opened.changes, directory.state if directory is not None else None
        if state == self._seen:
            return False
        self._seen = state
        return True

    async def agree(self) -> None:
        """Hold what is recorded. What is held without a record stays so, and is told: the record may be lost.

        StorageError, DirectoryError.
        """
        recorded = await self.hold()
        for account in sorted(self._owner.reader.holds() - recorded):
            event("hold-unrecorded", account=account)

    async def hold(self) -> set[int]:
        """Hold what is recorded, and is not held yet; all that is recorded. StorageError, DirectoryError."""
        there = self._owner.reader.holds()  # first: what is lifted meanwhile is not held anew
        recorded = await trio.to_thread.run_sync(self._recorded)
        for account in sorted(recorded - there):
            await self._owner.change(Hold(account=account, on=True))
        return recorded

    def _recorded(self) -> set[int]:
        """All accounts that are to be held; whoever has come to what is held is written down first. Blocks."""
        opened = self._opened()
        if self._directory is not None:
            self._widen(opened, self._directory)
        return set(opened.held())

    @staticmethod
    def _widen(opened: Oversight, directory: Embedded) -> None:
        known = {one.account: one.names for one in opened.unders()}
        for wide in opened.wides():
            for account in of(directory, wide.name):
                if wide.name in known.get(account.id, ()):
                    continue
                entry = opened.widen(wide.name, Whose(account.id, account.address))
                if entry is not None:
                    event(
                        "audited", by=entry.by, number=entry.number, what=entry.what, about=list(entry.about),
                        hash=digest(written(entry)),
                    )  # fmt: skip
