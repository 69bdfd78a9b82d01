"""How long mail is kept: what is older than its rule says is expunged, as its reader might have done.

So for `[mailboxes] keep_expunged` it can be brought back; and of accounts that are held nothing goes.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NoReturn

import trio

from engine.config import Retention
from engine.directory import Directory, Embedded, Unavailable
from engine.mailbox import Folder, Mailboxes, MailboxOwner
from engine.mailbox.commands import Expunge
from engine.observe.events import event
from engine.oversight.grants import Whose
from engine.storage.environment import StorageError

EVERY = 3600.0
"""Seconds between two rounds."""

STEADY = 60.0
"""Seconds by which the clock may differ, after a round, from the time that has passed: more is a jump, after which
nothing goes for a round.
"""

AT_ONCE = 1000
"""Messages that are looked at in one transaction."""


@dataclass(frozen=True, slots=True)
class Old:
    """Messages of one folder that are older than the rule says."""

    whose: Whose
    folder: str
    mailbox: int
    rule: str  # its name
    uids: tuple[int, ...]


def old(mailboxes: Mailboxes, rules: Mapping[str, Retention], whose: Whose, now: float) -> Iterator[Old]:
    """What of an account is to go. Nothing of one that is held. StorageError."""
    wanted = {name: rule for name, rule in rules.items() if rule.is_about(whose.address)}
    if not wanted or mailboxes.is_held(whose.account):
        return
    for folder in mailboxes.folders(whose.account):
        name = next((name for name, rule in wanted.items() if rule.is_in(folder.name, folder.use)), "")
        if folder.number and name and wanted[name].keep:
            uids = tuple(_old(mailboxes, whose.account, folder, wanted[name], now))
            if uids:
                yield Old(whose, folder.name, folder.number, name, uids)


def _old(mailboxes: Mailboxes, account: int, folder: Folder, rule: Retention, now: float) -> Iterator[int]:
    before, after = (now - rule.keep) * 1000, 0
    while some := mailboxes.arrivals(account, folder.number, after, AT_ONCE):
        for uid, row in some:
            if rule.age == "saved" and row.saved >= before:  # they came in the order of their numbers
                return
            if (row.saved if rule.age == "saved" else row.received) < before:
                yield uid
        after = some[-1][0]


class Retaining:
    """The task that expunges what is old. One in the whole server, beside the owner of the mailboxes."""

    def __init__(
        self,
        owner: MailboxOwner,
        directory: Directory,
        rules: Callable[[], Mapping[str, Retention]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._owner = owner
        self._directory = directory
        self._rules = rules
        self._clock = clock

    async def run(self) -> NoReturn:
        """Every hour without a jump of the clock."""
        while True:
            set_at = self._clock() - trio.current_time()
            await trio.sleep(EVERY)
            if abs(self._clock() - trio.current_time() - set_at) > STEADY:
                continue
            try:
                await self.expire()
            except (StorageError, Unavailable) as error:
                event("retention-stopped", error=str(error))

    async def expire(self) -> int:
        """Expunge what is old now; how many messages. StorageError, Unavailable."""
        rules, total = self._rules(), 0
        if not any(rule.keep for rule in rules.values()):
            return 0
        for whose in await trio.to_thread.run_sync(accounts, self._directory):
            for found in await trio.to_thread.run_sync(self._look, rules, whose, self._clock()):
                total += await self._expunge(found)
        return total

    def _look(self, rules: Mapping[str, Retention], whose: Whose, now: float) -> list[Old]:
        return list(old(self._owner.reader, rules, whose, now))

    async def _expunge(self, found: Old) -> int:
        command = Expunge(
            account=found.whose.account, mailbox=found.mailbox, uids=found.uids, deleted_only=False
        )  # fmt: skip
        answer = await self._owner.change(command)
        count = len(answer.sources)
        event(
            "mail-expired", address=found.whose.address, folder=found.folder, messages=count, rule=found.rule
        )  # fmt: skip
        return count


def accounts(directory: Directory) -> list[Whose]:
    """Those that rules are looked up for: all of a directory of ours. Unavailable."""
    if not isinstance(directory, Embedded):
        return []
    return [Whose(one.id, one.address) for one in directory.accounts()]
