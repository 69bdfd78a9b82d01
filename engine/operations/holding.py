"""What operators do with holds: nothing of an account is removed for good, whoever removes it, until the hold ends."""

import time
from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

from engine.directory import Directory, Embedded, Group, NotFound, a_label, split
from engine.links.request import Unanswered
from engine.mailbox import Usage
from engine.mailbox.commands import Hold
from engine.operations.auditing import noted
from engine.operations.moments import Moment, at
from engine.operations.operator import Operator
from engine.operations.reading import Change, Reading
from engine.oversight import Held, Oversight, Refusal, Whose, Wide
from engine.oversight.holding import of


class Ways(NamedTuple):
    """How to get at the mailboxes."""

    read: Reading
    change: Change


class HoldRow(msgspec.Struct, frozen=True, kw_only=True):
    """A hold as it is listed: of an account, or of all of a domain or a group, which ``kind`` says. ``account``: its
    number, 0 where the hold is of several. ``address``: of the account as it was when the hold began, of the group, or
    the domain. ``accounts``: how many are held by it, those that have left it among them. ``kept``: messages that were
    removed, and ``kept_size`` their octets.
    """

    account: int
    address: str
    reason: str
    by: str
    since: Moment
    kept: int
    kept_size: int
    kind: Literal["account", "domain", "group"] = "account"
    accounts: int = 1


def hold(opened: Oversight, change: Change, by: Operator, whose: Whose, reason: str) -> Held:
    """Hold an account: recorded first, then told to the owner of the mailboxes. Refusal, StorageError; Unanswered: it
    is recorded, and the server keeps to it within the hour.
    """
    by.check_all()
    if not reason.strip():
        raise Refusal("write a reason")
    held = Held(
        account=whose.account, address=whose.address, reason=reason.strip(), by=by.name, since=time.time()
    )  # fmt: skip
    noted(by, opened.hold(held, by.peer))
    _tell(change, Hold(account=whose.account, on=True))
    return held


def hold_wide(opened: Oversight, directory: Directory, change: Change, by: Operator, name: str, *, reason: str) -> int:
    """Hold all of a domain, or all to whom a group leads, and who comes to it later; how many these are now. Refusal,
    DirectoryError, StorageError; Unanswered: it is recorded, and the server keeps to it within a second of its start.
    """
    by.check_all()
    if not reason.strip():
        raise Refusal("write a reason")
    if not isinstance(directory, Embedded):
        raise Refusal("another server keeps the accounts, and nobody can tell who comes to a domain or a group")
    known = _known(directory, name)
    accounts = of(directory, known)
    wide = Wide(name=known, reason=reason.strip(), by=by.name, since=time.time())
    noted(by, opened.hold_wide(wide, [Whose(one.id, one.address) for one in accounts], by.peer))
    for one in accounts:
        _tell(change, Hold(account=one.id, on=True))
    return len(accounts)


def lift(opened: Oversight, mailboxes: Ways, by: Operator, account: int, reason: str) -> Held | None:
    """End the hold on the account of that number; what it was, or None where only the mailboxes knew of it. One that a
    domain or a group is held by as well stays held. Refusal, StorageError; Unanswered: it is recorded, and the
    mailboxes still hold it: do it again.
    """
    by.check_all()
    if not reason.strip():
        raise Refusal("write a reason")
    try:
        held, entry = opened.lift(account, by.name, reason.strip(), by.peer)
        noted(by, entry)
    except Refusal:
        with mailboxes.read() as opened_mailboxes:
            if not opened_mailboxes.is_held(account) or account in opened.held():
                raise
        held = None
        noted(by, opened.write("hold-lifted", by.name, (), by.peer, account=account, reason=reason.strip()))
    if account not in opened.held():
        _tell(mailboxes.change, Hold(account=account, on=False))
    return held


def lift_wide(opened: Oversight, change: Change, by: Operator, name: str, reason: str) -> list[int]:
    """End the hold on a domain or a group; the numbers of the accounts that nothing holds now. Refusal, StorageError;
    Unanswered: it is recorded, and the mailboxes still hold them: lift each by its number.
    """
    by.check_all()
    if not reason.strip():
        raise Refusal("write a reason")
    _, free, entry = opened.lift_wide(name.strip().lower(), by.name, reason.strip(), by.peer)
    noted(by, entry)
    for account in free:
        _tell(change, Hold(account=account, on=False))
    return free


def listed(opened: Oversight, read: Reading, by: Operator) -> list[HoldRow]:
    """All holds, those of domains and groups first, and how much removed mail each keeps. StorageError."""
    by.check_all()
    holds, wides, unders = opened.holds(), opened.wides(), opened.unders()
    if not holds and not wides:
        return []
    numbers = sorted({one.account for one in holds} | {one.account for one in unders})
    with read() as mailboxes:
        usages = dict(zip(numbers, mailboxes.usages(numbers), strict=True))
    of_wides = [_wide_row(wide, [usages[one.account] for one in unders if wide.name in one.names]) for wide in wides]
    return of_wides + [
        HoldRow(
            account=held.account, address=held.address, reason=held.reason, by=held.by, since=at(held.since),
            kept=usages[held.account].kept, kept_size=usages[held.account].kept_size,
        )
        for held in holds
    ]  # fmt: skip


def found(opened: Oversight, text: str) -> int | str | None:
    """The number of a held account, by that or by its address: it may have been removed; or the name of a domain or a
    group that is held. None: no such is held.
    """
    wanted = text.strip().lower()
    account = next((one.account for one in opened.holds() if wanted in (str(one.account), one.address)), None)
    return account or next((one.name for one in opened.wides() if one.name == wanted), None)


def is_wide(directory: Directory, text: str) -> bool:
    """Whether that is a domain, or a group that there is. DirectoryError."""
    return "@" not in text or (isinstance(directory, Embedded) and _group(directory, text) is not None)


def _known(directory: Embedded, text: str) -> str:
    """The domain or the group of that name, as it compares. NotFound."""
    if "@" not in text:
        name = a_label(text.strip())
        if not directory.is_local(name):
            raise NotFound(f"{name} is no local domain")
        return name
    group = _group(directory, text)
    if group is None:
        raise NotFound(f"there is no group {text.strip()}")
    return group.address


def _group(directory: Embedded, text: str) -> Group | None:
    found = directory.find(text.strip(), subaddress="")
    return found if isinstance(found, Group) and split(found.address) == split(text.strip()) else None


def _wide_row(wide: Wide, usages: Sequence[Usage]) -> HoldRow:
    return HoldRow(
        account=0, address=wide.name, reason=wide.reason, by=wide.by, since=at(wide.since),
        kept=sum(one.kept for one in usages), kept_size=sum(one.kept_size for one in usages),
        kind="domain" if wide.is_domain else "group", accounts=len(usages),
    )  # fmt: skip


def _tell(change: Change, command: Hold) -> None:
    try:
        change(command)
    except Unanswered as error:
        raise Unanswered(f"it is recorded, but the mailboxes do not know of it yet: {error}") from error
