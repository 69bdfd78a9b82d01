"""What operators do with holds: nothing of an account is removed for good, whoever removes it, until the hold ends."""

import time
from typing import NamedTuple

import msgspec

from engine.links.request import Unanswered
from engine.mailbox.commands import Hold
from engine.operations.auditing import noted
from engine.operations.moments import Moment, at
from engine.operations.operator import Operator
from engine.operations.reading import Change, Reading
from engine.oversight import Held, Oversight, Refusal, Whose


class Ways(NamedTuple):
    """How to get at the mailboxes."""

    read: Reading
    change: Change


class HoldRow(msgspec.Struct, frozen=True, kw_only=True):
    """A hold as it is listed. ``address``: as it was when the hold began. ``kept``: messages that were removed, and
    ``kept_size`` their octets.
    """

    account: int
    address: str
    reason: str
    by: str
    since: Moment
    kept: int
    kept_size: int


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


def lift(opened: Oversight, mailboxes: Ways, by: Operator, account: int, reason: str) -> Held | None:
    """End the hold on the account of that number; what it was, or None where only the mailboxes knew of it. Refusal,
    StorageError; Unanswered: it is recorded, and the mailboxes still hold it: do it again.
    """
    by.check_all()
    if not reason.strip():
        raise Refusal("write a reason")
    try:
        held, entry = opened.lift(account, by.name, reason.strip(), by.peer)
        noted(by, entry)
    except Refusal:
        with mailboxes.read() as opened_mailboxes:
            if not opened_mailboxes.is_held(account):
                raise
        held = None
        noted(by, opened.write("hold-lifted", by.name, (), by.peer, account=account, reason=reason.strip()))
    _tell(mailboxes.change, Hold(account=account, on=False))
    return held


def listed(opened: Oversight, read: Reading, by: Operator) -> list[HoldRow]:
    """All holds, and how much removed mail each keeps. StorageError."""
    by.check_all()
    holds = opened.holds()
    if not holds:
        return []
    with read() as mailboxes:
        usages = mailboxes.usages([held.account for held in holds])
    return [
        HoldRow(
            account=held.account, address=held.address, reason=held.reason, by=held.by, since=at(held.since),
            kept=usage.kept, kept_size=usage.kept_size,
        )
        for held, usage in zip(holds, usages, strict=True)
    ]  # fmt: skip


def found(opened: Oversight, text: str) -> int | None:
    """The number of a held account, by that or by its address: it may have been removed. None: no such is held."""
    wanted = text.strip().lower()
    return next((one.account for one in opened.holds() if wanted in (str(one.account), one.address)), None)


def _tell(change: Change, command: Hold) -> None:
    try:
        change(command)
    except Unanswered as error:
        raise Unanswered(f"it is recorded, but the mailboxes do not know of it yet: {error}") from error
