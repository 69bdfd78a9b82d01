"""What operators do with the mailboxes of accounts: how much is in them, what was removed from them, and their end."""

from contextlib import suppress
from pathlib import Path

import msgspec

from engine.directory import Account, Embedded, InUse, NotFound
from engine.links.request import Unanswered
from engine.mailbox import Usage
from engine.mailbox.commands import EraseAccount, Problem, Undelete
from engine.operations.accounts import check_over
from engine.operations.operator import Operator
from engine.operations.reading import Ask, Change, Reading
from engine.runtime.places import INDEX
from engine.runtime.services import REBUILD


class FolderUsage(msgspec.Struct, frozen=True):
    """What one mailbox of an account holds; ``size`` in octets."""

    name: str
    messages: int
    unseen: int
    size: int


class MailboxUsage(msgspec.Struct, frozen=True, kw_only=True):
    """What an account holds, in each mailbox and in all, and how much removed mail is kept for it. Sizes are octets."""

    folders: tuple[FolderUsage, ...]
    messages: int
    size: int
    kept: int
    kept_size: int


class Erased(msgspec.Struct, frozen=True):
    """What was erased; ``size`` in octets. ``held``: nothing yet, for it is held; the server does when that ends."""

    messages: int
    size: int
    held: bool = False


def usage(read: Reading, by: Operator, account: Account) -> MailboxUsage:
    """How much each mailbox of the account holds. StorageError."""
    by.check(account.address)
    with read() as mailboxes:
        folders = tuple(
            FolderUsage(one.name, one.status.messages, one.status.unseen, one.status.size)
            for one in mailboxes.folders(account.id)
            if one.status is not None
        )
        total = mailboxes.usage(account.id)
    return MailboxUsage(
        folders=folders, messages=total.messages, size=total.size, kept=total.kept, kept_size=total.kept_size
    )


def undelete(change: Change, by: Operator, account: Account, *, since: int = 0, folder: str = "") -> int:
    """Bring removed mail back, as new messages: all, what was removed since a time (Unix milliseconds), or what was in
    the mailbox of that name, as it is stored. How many messages. NotFound, Unanswered.
    """
    check_over(by, account)
    answer = change(Undelete(account=account.id, since=since, name=folder))
    if answer.problem is not None:
        raise NotFound(f"there is no mailbox of {account.address}")
    by.tell("mail-undeleted", address=account.address, messages=len(answer.uids), folder=folder or None)
    return len(answer.uids)


def held(data: Path, read: Reading, number: int) -> Usage:
    """What the account of this number has. Without any mailboxes, which the server makes, nothing."""
    if not _is_there(data):
        return Usage()
    with read() as mailboxes:
        return mailboxes.usage(number)


def erase(data: Path, read: Reading, change: Change, ask: Ask | None, number: int) -> Erased:
    """Erase for ever all that the account of this number has, which was removed; what has begun the server finishes.

    ``ask``: of the running server. StorageError, Unanswered.
    """
    before = held(data, read, number)
    if _is_there(data):
        if change(EraseAccount(account=number)).problem is Problem.HELD:
            return Erased(before.messages, before.size, held=True)
        if ask is not None:  # its words too: else the server forgets them within the hour
            with suppress(Unanswered):
                ask(INDEX, REBUILD, REBUILD, number)
    return Erased(before.messages, before.size)


def check_free(directory: Embedded, by: Operator, number: int) -> None:
    """InUse, when the number is that of an account which is still there; Forbidden, for numbers are of no domain."""
    by.check_all()
    holder = next((one.address for one in directory.accounts() if one.id == number), None)
    if holder is not None:
        raise InUse(f"{number} is the account {holder}: postroad account remove {holder}")


def _is_there(data: Path) -> bool:
    return (data / "mailbox").exists()
