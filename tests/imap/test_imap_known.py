"""Folders that are known are read again when something has changed in their account, and only then."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.imap import known
from engine.imap.known import Folders
from engine.mailbox import MailboxOwner
from engine.mailbox.commands import (
    AnyCommand,
    Append,
    Appended,
    Begin,
    Create,
    Delete,
    Expunge,
    Rename,
    Store,
    Subscribe,
)
from engine.mailbox.flags import SEEN, Mode
from engine.mailbox.layout import INBOX
from engine.protocols.imap.intake import Repeat
from engine.protocols.imap.mailboxes import List

ANN, BEN = 1, 2


@pytest.fixture
async def owner(tmp_path: Path) -> AsyncIterator[MailboxOwner]:
    with MailboxOwner(tmp_path / "mailbox") as owner:
        for account in (ANN, BEN):
            await owner.change(Begin(account=account))
        yield owner


async def test_each_change_is_seen(owner: MailboxOwner) -> None:
    folders = Folders(owner.reader)
    work = (await owner.change(Create(account=ANN, name="Work"))).mailbox
    changes: list[AnyCommand] = [
        Append(account=ANN, mailbox=work, messages=(Appended(content=b"x"),)),
        Store(account=ANN, mailbox=work, uids=(1,), mode=Mode.ADD, flags=SEEN),
        Expunge(account=ANN, mailbox=work, uids=(1,), deleted_only=False),
        Subscribe(account=ANN, name="Work"),
        Subscribe(account=ANN, name="Elsewhere"),
        Subscribe(account=ANN, name="Work", on=False),
        Create(account=ANN, name="Work/Old"),
        Rename(account=ANN, name="Work/Old", to="Old"),
        Delete(account=ANN, name="Work"),
    ]
    for change in changes:
        before = await folders.all(ANN)
        await owner.change(change)
        assert folders.named(ANN, "Work") == owner.reader.folder(ANN, "Work")
        assert folders.named(ANN, "Elsewhere") is None
        assert await folders.all(ANN) == owner.reader.folders(ANN) != before


async def test_an_answer_is_kept_until_something_changes_in_its_account(owner: MailboxOwner) -> None:
    folders, features, answer = Folders(owner.reader), frozenset({"CONDSTORE"}), Repeat(b"* STATUS\r\n", b" OK\r\n")
    folders.named(ANN, "Sent")
    folders.answered(ANN, features, b"STATUS Sent (MESSAGES)", answer)
    await owner.change(Create(account=BEN, name="Other"))
    assert folders.answers(ANN, features) == {b"STATUS Sent (MESSAGES)": answer}
    assert folders.answers(ANN, frozenset()) == folders.answers(BEN, features) == {}
    await owner.change(Append(account=ANN, mailbox=INBOX, messages=(Appended(content=b"x"),)))
    assert folders.answers(ANN, features) == {}


async def test_what_was_listed_is_kept_as_long(owner: MailboxOwner, monkeypatch: pytest.MonkeyPatch) -> None:
    folders, command, features = Folders(owner.reader), List("", ("*",)), frozenset({"CONDSTORE"})
    await folders.all(ANN)
    folders.keep_told(ANN, features, command, b"* LIST\r\n")
    await owner.change(Create(account=BEN, name="Other"))
    assert folders.told(ANN, features, List("", ("*",))) == b"* LIST\r\n"
    assert folders.told(ANN, frozenset(), command) is folders.told(ANN, features, List("", ("%",))) is None
    assert folders.told(BEN, features, command) is None
    await owner.change(Create(account=ANN, name="Other"))
    assert folders.told(ANN, features, command) is None
    monkeypatch.setattr(known, "MOST", 20)  # what is long counts as much as it takes
    long = List("", ("x" * 20 * 500,))
    folders.keep_told(ANN, features, command, b"x" * 20 * 500)
    folders.keep_told(ANN, features, long, b"")
    assert folders.told(ANN, features, command) is folders.told(ANN, features, long) is None


async def test_not_all_answers_are_kept(owner: MailboxOwner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "MOST", 6)
    folders = Folders(owner.reader)
    folders.named(ANN, "Sent")
    for number in range(10):
        folders.answered(ANN, frozenset(), b"STATUS %d" % (number // 2), Repeat(b"", b""))
    assert len(folders.answers(ANN, frozenset())) == 5
    for number in range(10):
        folders.answered(ANN, frozenset(), b"STATUS more %d" % number, Repeat(b"", b""))
    assert len(folders.answers(ANN, frozenset())) == 5
    await folders.all(BEN)
    monkeypatch.setattr(owner.reader, "folder", None)
    with pytest.raises(TypeError):
        folders.named(ANN, "Sent")


async def test_what_is_known_is_not_read_again(owner: MailboxOwner, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = Folders(owner.reader)
    found = folders.named(ANN, "Sent"), await folders.all(BEN), folders.named(BEN, "Drafts")
    await owner.change(Create(account=BEN + 1, name="Other"))  # of somebody else
    monkeypatch.setattr(owner.reader, "folder", None)
    monkeypatch.setattr(owner.reader, "folders", None)
    assert (folders.named(ANN, "Sent"), await folders.all(BEN), folders.named(BEN, "Drafts")) == found


async def test_an_account_that_is_removed_is_read_each_time(owner: MailboxOwner) -> None:
    folders = Folders(owner.reader)
    assert folders.named(ANN, "Sent") is not None
    await owner.erase(ANN)
    assert folders.named(ANN, "Sent") is None
    assert await folders.all(ANN) == []


async def test_not_all_accounts_are_kept(owner: MailboxOwner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "MOST", 6)
    folders = Folders(owner.reader)
    await folders.all(ANN)
    await folders.all(BEN)
    monkeypatch.setattr(owner.reader, "folder", None)
    assert folders.named(BEN, "Sent") is not None
    with pytest.raises(TypeError):
        folders.named(ANN, "Sent")
