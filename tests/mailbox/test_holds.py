"""Accounts that are held: nothing is removed for good, neither by their users, nor by time, nor with the account."""

from pathlib import Path

import pytest
from mailbox_samples import ANN, append, written

from engine.mailbox import MailboxOwner, Outcome
from engine.mailbox.commands import (
    Answer,
    Begin,
    Create,
    Delete,
    EraseAccount,
    Expunge,
    Hold,
    Move,
    Problem,
    Undelete,
)
from engine.mailbox.layout import INBOX, INLINE

BOB = 2
LARGE = b"x" * 78 + b"\r\n"


async def hold(owner: MailboxOwner, account: int = ANN, *, on: bool = True) -> None:
    assert await owner.change(Hold(account=account, on=on)) == Answer()


def kept(owner: MailboxOwner, account: int = ANN) -> list[bytes]:
    return [b"".join(owner.reader.content(one.message.content)) for one in owner.reader.kept(account)]


async def expunge(owner: MailboxOwner, *uids: int, mailbox: int = INBOX) -> None:
    await owner.change(Expunge(account=ANN, mailbox=mailbox, uids=uids, deleted_only=False))


async def test_what_is_expunged_from_a_held_account_is_kept_though_nothing_else_is(owner: MailboxOwner) -> None:
    await owner.change(Begin(account=ANN))
    await append(owner, b"one", b"two", b"three")
    await expunge(owner, 1)
    assert kept(owner) == []  # keep_expunged is 0
    await hold(owner)
    assert owner.reader.is_held(ANN)
    assert owner.reader.holds() == {ANN}
    await expunge(owner, 2)
    (found,) = owner.reader.kept(ANN)
    assert (found.folder, found.mailbox, found.uid) == ("INBOX", INBOX, 2)
    assert kept(owner) == [b"two"]
    await hold(owner, on=False)
    await expunge(owner, 3)
    assert kept(owner) == [b"two"]


async def test_no_purge_takes_what_a_held_account_keeps_and_the_first_one_afterwards_does(owner: MailboxOwner) -> None:
    for account in (ANN, BOB):
        await owner.change(Begin(account=account))
    await hold(owner)
    await append(owner, b"one", LARGE * (INLINE // 40))
    await expunge(owner, 1, 2)
    files = list((owner.path / "large").iterdir())
    assert len(files) == 1
    assert await owner.purge(before=2**40) == 0
    assert len(kept(owner)) == 2
    await hold(owner, on=False)
    assert await owner.purge(before=2**40) == 2
    assert (kept(owner), list((owner.path / "large").iterdir())) == ([], [])


async def test_a_mailbox_that_is_deleted_leaves_its_messages(owner: MailboxOwner) -> None:
    await hold(owner)
    made = await owner.change(Create(account=ANN, name="Plans"))
    await append(owner, b"one", b"two", mailbox=made.mailbox)
    await owner.change(Delete(account=ANN, name="Plans"))
    assert kept(owner) == [b"one", b"two"]
    assert [one.folder for one in owner.reader.kept(ANN)] == ["Plans", "Plans"]
    await owner.change(Undelete(account=ANN))
    assert kept(owner) == []
    folder = owner.reader.folder(ANN, "Plans")
    assert folder is not None
    assert folder.status is not None
    assert folder.status.messages == 2


async def test_what_is_moved_to_somebody_else_stays_as_well(owner: MailboxOwner) -> None:
    for account in (ANN, BOB):
        await owner.change(Begin(account=account))
    await append(owner, b"one", b"two")
    await owner.change(Move(account=ANN, mailbox=INBOX, uids=(1,), to=INBOX, to_account=BOB))
    assert kept(owner) == []
    await hold(owner)
    await owner.change(Move(account=ANN, mailbox=INBOX, uids=(2,), to=INBOX, to_account=BOB))
    assert kept(owner) == [b"two"]
    assert [entry.uid for entry in owner.reader.messages(BOB)] == [1, 2]
    await owner.change(Expunge(account=BOB, mailbox=INBOX, uids=(1, 2), deleted_only=False))
    assert kept(owner) == [b"two"]
    trash = owner.reader.folder(ANN, "Trash")
    assert trash is not None
    await append(owner, b"three")
    await owner.change(Move(account=ANN, mailbox=INBOX, uids=(3,), to=trash.number))
    assert kept(owner) == [b"two"]  # it has not left the account


async def test_a_held_account_that_is_removed_keeps_all_until_the_hold_ends(owner: MailboxOwner) -> None:
    await owner.change(Begin(account=ANN))
    await append(owner, b"one", b"two")
    await hold(owner)
    await expunge(owner, 1)
    assert await owner.change(EraseAccount(account=ANN)) == Answer(Problem.HELD)
    assert await owner.deliver(written(b"late"), {ANN: "ann@example.org"}) == {ANN: Outcome.GONE}
    assert kept(owner) == [b"one"]
    assert b"".join(owner.reader.chunks(ANN, 2)) == b"two"
    await owner._round(forget=True)  # as every hour
    assert owner.reader.usage(ANN).messages == 1
    await hold(owner, on=False)
    await owner._round(forget=True)
    assert (owner.reader.usage(ANN).messages, kept(owner)) == (0, [])
    assert await owner.change(EraseAccount(account=ANN)) == Answer()


async def test_a_hold_outlives_the_owner_of_the_mailboxes(tmp_path: Path) -> None:
    with MailboxOwner(tmp_path / "mailbox") as owner:
        await hold(owner)
    with MailboxOwner(tmp_path / "mailbox") as owner:
        await owner.change(Begin(account=ANN))
        await append(owner, b"one")
        await expunge(owner, 1)
        assert kept(owner) == [b"one"]
        assert owner.reader.verify() == []


@pytest.mark.parametrize("count", [1, 1200])
async def test_all_that_is_kept_is_told_of_in_its_order(owner: MailboxOwner, count: int) -> None:
    await hold(owner)
    await owner.change(Begin(account=ANN))
    await append(owner, *(b"%d" % number for number in range(count)))
    await expunge(owner, *range(1, count + 1))
    found = list(owner.reader.kept(ANN))
    assert len(found) == count
    assert [(one.removed, one.mailbox, one.uid) for one in found] == sorted(
        (one.removed, one.mailbox, one.uid) for one in found
    )
