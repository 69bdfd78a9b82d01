"""Deliver into the mailboxes of this server: all local recipients of a message in one change, each exactly once."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from engine import Defer, Delivered, Each, Message, Reject, Verdict
from engine.directory import Directory, Unavailable, asked
from engine.mailbox import Full, MailboxOwner, Outcome, Quotas, Recipient, StorageError

NO_SUCH_USER = Reject("no such user here", code="5.1.1")


@dataclass(frozen=True, slots=True)
class Enqueue:
    """Runs in the process that owns the mailboxes, for many messages at once."""

    effect: ClassVar[bool] = True
    home: ClassVar[str] = "mailboxes"

    mailboxes: MailboxOwner
    directory: Directory
    quotas: Quotas = field(default_factory=Quotas)

    async def __call__(self, message: Message) -> Verdict:
        try:
            accounts = await asked(self.directory, self._accounts, message.recipients)
        except Unavailable as error:
            return Defer("the directory cannot be asked now", code="4.3.0", log=str(error))
        local: dict[int, Recipient] = {}
        for found in accounts.values():
            if found is not None:
                local.setdefault(*found)  # two addresses of one account: one copy
        outcomes = await self._deliver(message, local) if local else {}
        return _one_or_each(
            {address: NO_SUCH_USER if found is None else outcomes[found[0]] for address, found in accounts.items()}
        )

    def _accounts(self, addresses: Iterable[str]) -> dict[str, tuple[int, Recipient] | None]:
        return {address: self._account(address) for address in addresses}

    def _account(self, address: str) -> tuple[int, Recipient] | None:
        account = self.directory.account(address)
        return (account.id, Recipient(address, quota=self.quotas.quota(account))) if account else None

    async def _deliver(self, message: Message, local: Mapping[int, Recipient]) -> dict[int, Delivered | Defer | Reject]:
        try:
            outcomes = await self.mailboxes.deliver(message, local)
        except Full as error:
            return dict.fromkeys(local, Defer("the mailboxes have no room now", code="4.3.1", log=str(error)))
        except StorageError as error:
            return dict.fromkeys(local, Defer("the mailboxes cannot be written now", code="4.3.0", log=str(error)))
        return {account: self._verdict(outcome) for account, outcome in outcomes.items()}

    def _verdict(self, outcome: Outcome) -> Delivered | Defer | Reject:
        match outcome:
            case Outcome.GONE:
                return NO_SUCH_USER
            case Outcome.OVER_QUOTA:
                return self.quotas.refusal
            case _:
                return Delivered(outcome.value)


def _one_or_each(verdicts: Mapping[str, Delivered | Defer | Reject]) -> Verdict:
    first, *others = verdicts.values()
    return first if all(other == first for other in others) else Each(verdicts)
