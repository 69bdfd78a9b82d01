"""Mail for public folders: the right to post, and what `enqueue` makes of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import Delivered, Each, Envelope, Message, MessageId, Recipient, Reject, Session
from engine.directory import Embedded
from engine.mailbox import MailboxOwner, Posting
from engine.mailbox.commands import Create, Delete, DeleteAcl, Rename, SetAcl
from engine.mailbox.layout import PUBLIC
from engine.mailbox.posting import MAY_NOT
from engine.message import Octets
from engine.sorting.sorter import UNSORTED, Sorted
from stages.enqueue import Enqueue

ANN, BEN, NEWS, TALK = "ann@example.org", "ben@example.org", "news@example.org", "talk@example.org"
POSTED = Delivered("delivered to mailbox")


class Unsorted:
    """Nobody has a script."""

    async def sort(self, message: Message, people: object) -> Sorted:
        return UNSORTED

    def said(self, message: Message, account: int) -> None:
        return None


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Embedded]:
    with Embedded.open(tmp_path / "directory", ["example.org"]) as opened:
        for address in (ANN, BEN):
            opened.add_account(address)
        opened.add_group("team@example.org", [ANN])
        yield opened


async def folder(owner: MailboxOwner, name: str, *grants: tuple[str, str, int]) -> int:
    made = await owner.change(Create(account=PUBLIC, name=name))
    for identifier, rights, grantee in grants:
        command = SetAcl(account=PUBLIC, mailbox=made.mailbox, identifier=identifier, rights=rights, grantee=grantee)
        assert (await owner.change(command)).problem is None
    return made.mailbox


def message(*recipients: str, login: str = "") -> Message:
    envelope = Envelope("bob@example.net", tuple(map(Recipient, recipients)), Session(login=login))
    return Message(MessageId.new(), envelope, Octets(b"Subject: hi\r\n\r\nHello\r\n"))


async def test_an_account_a_group_or_anyone_may_hold_the_right(owner: MailboxOwner, directory: Embedded) -> None:
    may = Posting(directory, lambda: owner.reader).may
    ben = directory.account(BEN)
    assert ben is not None
    for_ben = await folder(owner, "ben", (BEN, "p", ben.id), ("anyone", "lrs", 0))
    team = await folder(owner, "team", ("$team@example.org", "lp", 0))
    world = await folder(owner, "world", ("anyone", "p", 0), ("-" + BEN, "p", ben.id))
    here = await folder(owner, "here", ("authenticated", "p", 0))
    assert [[may(one, login) for login in ("", ANN, BEN)] for one in (for_ben, team, world, here)] == [
        [False, False, True], [False, True, False], [True, True, False], [False, True, True],
    ]  # fmt: skip
    assert not may(99, ANN)


async def test_mail_goes_to_the_folders_and_to_people_once(owner: MailboxOwner, directory: Embedded) -> None:
    news = await folder(owner, "news", ("anyone", "p", 0))
    talk = await folder(owner, "talk", ("anyone", "p", 0))
    directory.add_account(NEWS, folder=news)
    directory.add_account(TALK, folder=talk)
    enqueue = Enqueue(owner, directory, Unsorted(), posting=Posting(directory, lambda: owner.reader))
    mail = message(NEWS, ANN, TALK)
    assert await enqueue(mail) == POSTED
    again = await enqueue(mail)
    assert again == Delivered("delivered already")
    await owner.change(Rename(account=PUBLIC, name="news", to="Old/news"))
    assert await enqueue(message(NEWS)) == POSTED
    statuses = [owner.reader.status(PUBLIC, number) for number in (news, talk)]
    assert [status.messages for status in statuses if status] == [2, 1]
    assert len(owner.reader.messages(1)) == 1
    assert b"Delivered-To: news@example.org, talk@example.org\r\n" in b"".join(owner.reader.chunks(PUBLIC, 1, news))

    await owner.change(DeleteAcl(account=PUBLIC, mailbox=talk, identifier="anyone"))
    assert await enqueue(message(TALK, NEWS)) == Each({TALK: MAY_NOT, NEWS: POSTED})
    await owner.change(Delete(account=PUBLIC, name="Old/news"))
    assert await enqueue(message(NEWS)) == MAY_NOT
    assert isinstance(MAY_NOT, Reject)
