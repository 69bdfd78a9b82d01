"""Deliver into the mailboxes of this server: all local recipients of a message in one change, each exactly once."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from engine import Defer, Delivered, Each, Message, Reject, Verdict
from engine.directory import Directory, Unavailable, asked
from engine.mailbox import Full, MailboxOwner, Outcome, StorageError

NO_SUCH_USER = Reject("no such user here", code="5.1.1")

FULL = Defer("the mailbox is full", code="4.2.2")


@dataclass(frozen=True, slots=True)
class Enqueue:
    """Runs in the process that owns the mailboxes, for many messages at once."""

    effect: ClassVar[bool] = True
    home: ClassVar[str] = "mailboxes"

    mailboxes: MailboxOwner
    directory: Directory

    async def __call__(self, message: Message) -> Verdict:
        try:
            accounts = await asked(self.directory, self._accounts, message.recipients)
        except Unavailable as error:
            return Defer("the directory cannot be asked now", code="4.3.0", log=str(error))
        local: dict[int, str] = {}
        for address, account in accounts.items():
            if account is not None:
                local.setdefault(account, address)  # two addresses of one account: one copy
        outcomes = await self._deliver(message, local) if local else {}
        return _one_or_each(
            {address: NO_SUCH_USER if account is None else outcomes[account] for address, account in accounts.items()}
        )

    def _accounts(self, addresses: Iterable[str]) -> dict[str, int | None]:
        found = {address: self.directory.account(address) for address in addresses}
        return {address: account.id if account else None for address, account in found.items()}

    async def _deliver(self, message: Message, local: Mapping[int, str]) -> dict[int, Delivered | Defer | Reject]:
        try:
            outcomes = await self.mailboxes.deliver(message, local)
        except Full as error:
            return dict.fromkeys(local, Defer("the mailboxes have no room now", code="4.3.1", log=str(error)))
        except StorageError as error:
            return dict.fromkeys(local, Defer("the mailboxes cannot be written now", code="4.3.0", log=str(error)))
        return {account: _verdict(outcome) for account, outcome in outcomes.items()}


def _verdict(outcome: Outcome) -> Delivered | Defer | Reject:
    match outcome:
        case Outcome.GONE:
            return NO_SUCH_USER
        case Outcome.OVER_QUOTA:
            return FULL
        case _:
            return Delivered(outcome.value)


def _one_or_each(verdicts: Mapping[str, Delivered | Defer | Reject]) -> Verdict:
    first, *others = verdicts.values()
    return first if all(other == first for other in others) else Each(verdicts)
