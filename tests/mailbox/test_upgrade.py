"""Stores of earlier formats become those of today, whenever their owner dies in between."""

import lzma
import struct
import zlib
from pathlib import Path

import pytest
from mailbox_samples import HEADING, written

from engine.mailbox import Mailboxes, MailboxOwner, Outcome, StorageError
from engine.mailbox.commands import Expunge, Store, Undelete
from engine.mailbox.flags import FLAGGED, SEEN, Mode
from engine.mailbox.layout import FORMAT, FORMAT_KEY, MAX_DATABASES, Databases, account_key, erasing_key, mailbox_key
from engine.mailbox.rows import MailboxRow
from engine.mailbox.upgrade import bring_up
from engine.storage.environment import open_environment

ACCOUNTS = 7

FORMAT_2 = Path(__file__).with_name("format_2.mdb.xz")
"""Written by the Postroad that had that format: account 1 with two mailboxes, flags, a keyword, expunged mail."""

INBOX_2, WORK_2 = 3748602670, 1913919990
"""Checksums of all columns of these mailboxes, as that Postroad read them."""


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


@pytest.mark.parametrize(("steps", "by"), [(0, 3), (1, 3), (2, 3), (100, 3), (0, 2), (1, 2)])
async def test_it_is_upgraded_in_steps_that_a_crash_may_part(
    tmp_path: Path, monkeypatch, capfd, steps: int, by: int
) -> None:
    """``by``: the format that the Postroad knows that dies."""
    monkeypatch.setattr("engine.mailbox.upgrade.STEP", 2)
    path = tmp_path / "mailbox"
    await old_store(path)
    with pytest.raises(StorageError, match="format 1"):
        Mailboxes.open(path)
    broken_off(path, monkeypatch, steps, by)
    if steps < 100:
        with pytest.raises(StorageError, match="upgraded" if by == FORMAT else "format 2"):
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


def broken_off(path: Path, monkeypatch, steps: int, by: int) -> None:
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
    with environment.begin(write=True) as transaction:
        transaction.put(FORMAT_KEY, bytes([by]), db=environment.open_db(b"meta", transaction))
    environment.close()


def checksum(reader: Mailboxes, mailbox: int) -> int:
    view = reader.select(1, mailbox)
    assert view is not None
    return zlib.crc32(repr([list(column) for column in view.columns]).encode())


async def test_flags_in_records_stay_what_they_were(tmp_path: Path, capfd) -> None:
    path = tmp_path / "mailbox"
    path.mkdir()
    (path / "data.mdb").write_bytes(lzma.decompress(FORMAT_2.read_bytes()))
    with pytest.raises(StorageError, match="not ready"):
        Mailboxes.open(path)
    with MailboxOwner(path, keep_expunged=1e9) as owner:
        reader = owner.reader
        assert reader.verify() == []
        assert [checksum(reader, mailbox) for mailbox in (1, 7)] == [INBOX_2, WORK_2]
        before = reader.select(1, 1)
        assert before is not None
        assert (before.status.unseen, before.status.deleted, before.keywords) == (2, 1, ("$Forwarded",))
        uids = tuple(before.uids)
        since = before.status.modseq
        answer = await owner.change(
            Store(account=1, mailbox=1, uids=uids, mode=Mode.ADD, flags=FLAGGED, unchanged_since=since - 2)
        )
        assert set(answer.failed) == {
            uid for uid, modseq in zip(uids, before.modseqs, strict=True) if modseq > since - 2
        }
        now = reader.select(1, 1)
        assert now is not None
        assert list(now.bits) == list(before.bits)
        assert [flags & FLAGGED for flags in now.flags] == [
            flags & FLAGGED if uid in answer.failed else FLAGGED for uid, flags in zip(uids, before.flags, strict=True)
        ]
        await owner.change(Store(account=1, mailbox=7, uids=(1,), mode=Mode.REPLACE, flags=SEEN))
        assert len((await owner.change(Expunge(account=1, mailbox=1, uids=uids))).sources) == 1
        assert len((await owner.change(Undelete(account=1))).uids) == 3
        assert reader.verify() == []
    Mailboxes.open(path).close()
    assert capfd.readouterr().err.count("mailboxes-upgraded") == 1
