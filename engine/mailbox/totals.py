"""What all accounts of a domain have together, where there is a limit to that: summed up again and again by the owner.

The sum is some seconds old when it is looked at, and what comes in meanwhile goes over the limit.
"""

from functools import partial
from typing import NoReturn

import trio

from engine.directory import Directory, Unavailable
from engine.mailbox.owner import MailboxOwner
from engine.mailbox.views import Usage, put_total
from engine.observe.events import event
from engine.storage.environment import StorageError

EVERY = 30.0
"""Seconds between two sums: about a microsecond for each account."""

AT_ONCE = 1000
"""Accounts that are looked at in one transaction."""


class Totals:
    """The task that sums up. One in the whole server, beside the owner of the mailboxes."""

    def __init__(self, owner: MailboxOwner, directory: Directory) -> None:
        self._owner = owner
        self._directory = directory
        self._last: dict[str, Usage] = {}

    async def run(self) -> NoReturn:
        while True:
            try:
                await self.sum_up()
            except (StorageError, Unavailable) as error:
                event("quota-unknown", error=str(error))
            await trio.sleep(EVERY)

    async def sum_up(self) -> None:
        """Sum up now. StorageError, Unavailable."""
        sums = await trio.to_thread.run_sync(self._sums)
        for domain, usage in sums.items():
            if self._last.get(domain) != usage:
                await self._owner.writer.apply(partial(put_total, self._owner.databases, domain, usage))
        self._last = sums

    def _sums(self) -> dict[str, Usage]:
        return {domain: self._sum(self._directory.numbers(domain)) for domain in self._directory.totals()}

    def _sum(self, accounts: list[int]) -> Usage:
        messages = size = 0
        for start in range(0, len(accounts), AT_ONCE):
            for usage in self._owner.reader.usages(accounts[start : start + AT_ONCE]):
                messages += usage.messages
                size += usage.size
        return Usage(messages, size)
