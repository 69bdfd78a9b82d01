"""Deliver into the mailboxes of this server: all local recipients of a message in one change, each exactly once."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

from engine import Defer, Delivered, Discard, Each, Message, Reject, Verdict
from engine.directory import Account, Directory, Unavailable, asked
from engine.history import history
from engine.history.entries import Placed
from engine.mailbox import (
    TO_INBOX,
    TO_JUNK,
    Full,
    MailboxOwner,
    Outcome,
    Place,
    Posting,
    Quota,
    Quotas,
    Recipient,
    StorageError,
)
from engine.mailbox.layout import PUBLIC
from engine.mailbox.posting import MAY_NOT
from engine.message import JUNK, UNSTORED
from engine.sorting import Person, Said, Sorted, Sorter
from engine.verdict import STORE_FIRST

NO_SUCH_USER = Reject("no such user here", code="5.1.1")

BUSY = Defer("the mailbox is busy", code="4.2.0", log="its script decided again and again on what had just changed")

_DELIVERED = {outcome: Delivered(outcome.value) for outcome in Outcome}

TRIES = 10
"""Times that scripts decide anew because another message of the account has overtaken this one."""

Final: TypeAlias = Delivered | Discard | Defer | Reject


@dataclass(frozen=True, slots=True)
class Enqueue:
    """Runs in the process that owns the mailboxes, for many messages at once."""

    effect: ClassVar[bool] = True
    straight: ClassVar[bool] = True
    home: ClassVar[str] = "mailboxes"

    mailboxes: MailboxOwner
    directory: Directory
    sorter: Sorter
    quotas: Quotas = field(default_factory=Quotas)
    posting: Posting = field(default_factory=Posting)

    async def __call__(self, message: Message) -> Verdict:
        try:
            accounts = await asked(self.directory, self._accounts, message.recipients)
        except Unavailable as error:
            return Defer("the directory cannot be asked now", code="4.3.0", log=str(error))
        local: dict[int, Person] = {}
        posts: dict[int, Account] = {}
        for recipient in message.envelope.recipients:
            found = accounts[recipient.address]
            if found is not None:  # two addresses of one account: one copy
                account, quota = found
                if account.folder:
                    posts[account.id] = account
                    continue
                local.setdefault(account.id, Person(account.id, account.address, recipient, quota))
        outcomes = await self._deliver(message, local, posts)
        for outcome in outcomes.values():
            if outcome is STORE_FIRST:  # equality would be asked of both classes, for each recipient
                return outcome
        return _one_or_each(
            {address: outcomes[found[0].id] if found else NO_SUCH_USER for address, found in accounts.items()}
        )

    @staticmethod
    async def rehearse(message: Message) -> Verdict:
        """Where it goes that has no script."""
        return Delivered("Junk" if message.fact(JUNK) else "")

    def _accounts(self, addresses: Iterable[str]) -> dict[str, tuple[Account, Quota] | None]:
        found = {address: self.directory.account(address) for address in addresses}
        return {
            address: (account, self.quotas.quota(account)) if account else None for address, account in found.items()
        }

    async def _deliver(
        self, message: Message, local: Mapping[int, Person], posts: Mapping[int, Account]
    ) -> dict[int, Final]:
        everyone = (*local, *posts)
        try:
            found = await self._sorted(message, local) if local else {}
            if not posts or STORE_FIRST in found.values():
                return found
            return found | await self._posted(message, posts)
        except Full as error:
            return dict.fromkeys(everyone, Defer("the mailboxes have no room now", code="4.3.1", log=str(error)))
        except StorageError as error:
            return dict.fromkeys(everyone, Defer("the mailboxes cannot be written now", code="4.3.0", log=str(error)))
        except Unavailable as error:
            return dict.fromkeys(everyone, Defer("the directory cannot be asked now", code="4.3.0", log=str(error)))

    async def _posted(self, message: Message, posts: Mapping[int, Account]) -> dict[int, Final]:
        """Into public folders: those to which the sender may post."""
        login = message.envelope.session.login
        may = {account: one for account, one in posts.items() if self.posting.may(one.folder, login)}
        found: dict[int, Final] = dict.fromkeys(posts, MAY_NOT)
        if may:
            addresses = ", ".join(one.address for one in may.values())
            places = tuple(Place(number=one.folder) for one in may.values())
            outcomes = await self.mailboxes.deliver(message, {PUBLIC: Recipient(addresses, places)})
            if history.on:
                for account, one in may.items():
                    _note(message, account, Recipient(one.address, (Place(one.address),)), outcomes[PUBLIC])
            found |= dict.fromkeys(may, _DELIVERED[outcomes[PUBLIC]])
        return found

    async def _sorted(self, message: Message, local: Mapping[int, Person]) -> dict[int, Final]:
        found: dict[int, Final] = {}
        kept = TO_JUNK if message.fact(JUNK) else TO_INBOX
        for _ in range(TRIES):
            wanted = await self.sorter.sort(message, local)
            if message.fact(UNSTORED) and _says_more(wanted):
                return dict.fromkeys(local, STORE_FIRST)
            places = {
                account: Recipient(person.recipient.address, kept, person.quota) for account, person in local.items()
            }
            places |= wanted.recipients
            outcomes = await self.mailboxes.deliver(message, places, wanted.variants)
            if history.on:
                for account, outcome in outcomes.items():
                    _note(message, account, places[account], outcome, scripted=account in wanted.recipients)
            stale = [account for account, outcome in outcomes.items() if outcome is Outcome.STALE]
            for account in outcomes.keys() - stale:
                found[account] = self._verdict(message, account, outcomes[account], wanted.said.get(account))
            if not stale:
                return found
            local = {account: local[account] for account in stale}
        return found | dict.fromkeys(local, BUSY)

    def _verdict(self, message: Message, account: int, outcome: Outcome, said: Said | None) -> Final:
        match outcome:
            case Outcome.GONE:
                return NO_SUCH_USER
            case Outcome.OVER_QUOTA:
                return self.quotas.refusal
            case Outcome.ALREADY:  # whoever asks again may not have heard what came of it
                said = self.sorter.said(message, account)
        return said or _DELIVERED[outcome]


def _says_more(wanted: Sorted) -> bool:
    """Whether scripts send something, or remember it for another message."""
    return bool(wanted.said) or any(recipient.remember for recipient in wanted.recipients.values())


def _note(message: Message, account: int, to: Recipient, outcome: Outcome, *, scripted: bool = False) -> None:
    """Tell the history where it was to go, and what became of that."""
    names = tuple([place.mailbox for place in to.places])
    history(Placed(message.id, time.time(), to.address, account, names, outcome.value, scripted))


def _one_or_each(verdicts: Mapping[str, Final]) -> Verdict:
    first, *others = verdicts.values()
    return first if all(other == first for other in others) else Each(verdicts)
