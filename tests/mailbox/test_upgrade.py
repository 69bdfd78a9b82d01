"""A store of format 1 becomes one of today, whenever its owner dies in between."""

import struct
from pathlib import Path

import pytest
from mailbox_samples import HEADING, written

from engine.mailbox import Mailboxes, MailboxOwner, Outcome, StorageError
from engine.mailbox.layout import MAX_DATABASES, Databases, account_key, erasing_key, mailbox_key
from engine.mailbox.rows import MailboxRow
from engine.mailbox.upgrade import bring_up
from engine.storage.environment import open_environment

ACCOUNTS = 7


async def old_store(path: Path) -> None:
    """As format 1 had it: a few accounts with two messages each, and one that is being erased."""
    with MailboxOwner(path) as owner:
        for _ in range(2):
            await owner.deliver(written(b"\r\nHello\r\n"), dict.fromkeys(range(1, ACCOUNTS + 1), "ann@example.org"))
    environment = open_environment(path, map_size=2**30, databases=MAX_DATABASES)
    databases = Databases(environment, create=True)
    with environment.begin(write=True) as transaction:
        for account in range(1, ACCOUNTS + 1):
            row = MailboxRow.parse(transaction.get(mailbox_key(account, 1), db=databases.mailbox))
            for number in range(2, 7):
                transaction.delete(mailbox_key(account, number), db=databases.mailbox)
            old = struct.pack(">IIQIQ", row.uidvalidity, row.uidnext, row.modseq, row.messages, row.size)
            transaction.put(mailbox_key(account, 1), old, db=databases.mailbox)
            erased = account == ACCOUNTS
            transaction.put(account_key(account), struct.pack(">BI", erased, 1), db=databases.account)
            if erased:
                transaction.put(erasing_key(account), b"", db=databases.meta)
        for gone in (databases.entry, databases.subscribed):
            transaction.drop(gone, delete=False)
        transaction.put(b"format", b"\x01", db=databases.meta)
    environment.close()


@pytest.mark.parametrize("steps", [0, 1, 2, 100])
async def test_it_is_upgraded_in_steps_that_a_crash_may_part(tmp_path: Path, monkeypatch, capfd, steps: int) -> None:
    monkeypatch.setattr("engine.mailbox.upgrade.STEP", 2)
    path = tmp_path / "mailbox"
    await old_store(path)
    with pytest.raises(StorageError, match="format 1"):
        Mailboxes.open(path)
    broken_off(path, monkeypatch, steps)
    if steps < 100:
        with pytest.raises(StorageError, match="upgraded"):
            Mailboxes.open(path)
    with MailboxOwner(path) as owner:
        assert owner.reader.verify() == []
        for account in range(1, ACCOUNTS):
            assert [entry.uid for entry in owner.reader.messages(account)] == [1, 2]
            assert b"".join(owner.reader.chunks(account, 2)) == HEADING + b"\r\nHello\r\n"
            assert len(owner.reader.folders(account)) == 6
            status = owner.reader.status(account, 1)
            assert status is not None
            assert (status.messages, status.unseen, status.uidnext) == (2, 2, 3)
            assert await owner.deliver(written(b"x"), {account: "ann@example.org"}) == {account: Outcome.DELIVERED}
        assert await owner.erase(ACCOUNTS) == 2
        assert owner.reader.verify() == []
    with MailboxOwner(path):
        pass
    assert capfd.readouterr().err.count("mailboxes-upgraded") == 1


def broken_off(path: Path, monkeypatch, steps: int) -> None:
    """Upgrade as many steps, and die."""

    class Died(Exception):
        pass

    from engine.mailbox import upgrade

    left, account = steps, upgrade._old

    def old(*arguments):
        nonlocal left
        if not left:
            raise Died
        left -= 1
        return account(*arguments)

    environment = open_environment(path, map_size=2**30, databases=MAX_DATABASES)
    with monkeypatch.context() as patch:
        patch.setattr(upgrade, "_old", old)
        try:
            bring_up(environment, Databases(environment, create=True))
        except Died:
            assert steps < 100
    environment.close()
