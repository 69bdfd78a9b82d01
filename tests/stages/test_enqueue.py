"""The stage `enqueue`: a verdict for each recipient, and one change for all."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

from engine import Defer, Delivered, Each, Envelope, Message, MessageId, Recipient, Reject
from engine.config import Quota as Settings
from engine.directory import Embedded, Limit, Unavailable
from engine.mailbox import MailboxOwner, Outcome, Quotas
from engine.message import Octets
from engine.sorting.sorter import UNSORTED, Sorted
from engine.storage.environment import StorageError
from stages.enqueue import Enqueue

DELIVERED = Delivered("delivered to mailbox")
NOBODY = Reject("no such user here", code="5.1.1")


@dataclass(frozen=True)
class Account:
    id: int
    address: str
    folder: int = 0


class Accounts:
    """A directory of a few accounts; Ann has two addresses."""

    limiter = None

    ids = {"ann@example.org": 1, "postmaster@example.org": 1, "ben@example.org": 2}  # noqa: RUF012 - never changed

    def account(self, address: str) -> Account | None:
        return Account(self.ids[address], address) if address in self.ids else None


class Unsorted:
    """Nobody has a script."""

    async def sort(self, message: Message, people: object) -> Sorted:
        return UNSORTED

    def said(self, message: Message, account: int) -> None:
        return None


def staged(mailboxes: MailboxOwner, directory: Accounts) -> Enqueue:
    return Enqueue(mailboxes, directory, Unsorted())


def message(*recipients: str) -> Message:
    envelope = Envelope("bob@example.net", tuple(map(Recipient, recipients)))
    return Message(MessageId.new(), envelope, Octets(b"Subject: hi\r\n\r\nHello\r\n"))


@pytest.mark.parametrize(
    ("outcome", "verdict"),
    [
        (Outcome.DELIVERED, DELIVERED),
        (Outcome.ALREADY, Delivered("delivered already")),
        (Outcome.GONE, NOBODY),
        (Outcome.OVER_QUOTA, Defer("the mailbox is full", code="4.2.2")),
    ],
)
async def test_every_outcome_is_a_verdict(outcome: Outcome, verdict: object) -> None:
    class Mailboxes:
        async def deliver(self, message: Message, recipients: dict[int, str], variants: object) -> dict[int, Outcome]:
            return dict.fromkeys(recipients, outcome)

    assert await staged(Mailboxes(), Accounts())(message("ann@example.org")) == verdict


@pytest.fixture
async def owner(tmp_path: Path):
    with MailboxOwner(tmp_path / "mailbox") as owner:
        yield owner
        assert owner.reader.verify() == []


@pytest.mark.parametrize(
    ("recipients", "verdict"),
    [
        (["ann@example.org"], DELIVERED),
        (["ann@example.org", "ben@example.org"], DELIVERED),
        (["ann@example.org", "postmaster@example.org"], DELIVERED),
        (["nobody@example.org"], NOBODY),
        (["nobody@example.org", "no@example.org"], NOBODY),
        (
            ["ann@example.org", "nobody@example.org"],
            Each({"ann@example.org": DELIVERED, "nobody@example.org": NOBODY}),
        ),
    ],
)
async def test_verdicts(owner: MailboxOwner, recipients: list[str], verdict: object) -> None:
    assert await staged(owner, Accounts())(message(*recipients)) == verdict
    assert len(owner.reader.messages(1)) == any(Accounts.ids.get(address) == 1 for address in recipients)
    assert owner.writer.changes == any(address in Accounts.ids for address in recipients)


async def test_without_the_directory_mail_waits(owner: MailboxOwner) -> None:
    class Away(Accounts):
        def account(self, address: str) -> Account | None:
            raise Unavailable("the server is away")

    verdict = await staged(owner, Away())(message("ann@example.org"))
    assert verdict == Defer("the directory cannot be asked now", code="4.3.0", log="the server is away")


async def test_a_message_handed_over_again_is_delivered_already(owner: MailboxOwner) -> None:
    enqueue, letter = staged(owner, Accounts()), message("ann@example.org")
    await enqueue(letter)
    assert await enqueue(letter) == Delivered("delivered already")
    assert len(owner.reader.messages(1)) == 1


@pytest.mark.parametrize(
    ("full", "verdict"),
    [("defer", Defer("the mailbox is full", code="4.2.2")), ("reject", Reject("the mailbox is full", code="5.2.2"))],
)
async def test_a_full_mailbox(owner: MailboxOwner, tmp_path: Path, full: str, verdict: object) -> None:
    with Embedded.open(tmp_path / "directory", ["example.org"]) as directory:
        for address in ("ann@example.org", "ben@example.org"):
            directory.add_account(address)
        directory.limit("ann@example.org", Limit(messages=1))
        enqueue = Enqueue(owner, directory, Unsorted(), Quotas(directory, lambda: owner.reader, Settings(full=full)))
        both = "ann@example.org", "ben@example.org"
        assert await enqueue(message(*both)) == DELIVERED
        assert await enqueue(message(*both)) == Each({"ann@example.org": verdict, "ben@example.org": DELIVERED})
        directory.limit("ann@example.org", Limit(messages=2))
        assert await enqueue(message(*both)) == DELIVERED


async def test_an_account_erased_in_between_is_nobody(owner: MailboxOwner) -> None:
    await owner.erase(1)
    verdict = await staged(owner, Accounts())(message("ann@example.org", "ben@example.org"))
    assert verdict == Each({"ann@example.org": NOBODY, "ben@example.org": DELIVERED})


async def test_no_room_defers_who_is_here_and_rejects_who_is_not(tmp_path: Path) -> None:
    with MailboxOwner(tmp_path / "mailbox", reserve=2**60) as owner:
        verdict = await staged(owner, Accounts())(message("ann@example.org", "nobody@example.org"))
    assert isinstance(verdict, Each)
    deferred = verdict.verdicts["ann@example.org"]
    assert isinstance(deferred, Defer)
    assert deferred.code == "4.3.1"
    assert verdict.verdicts["nobody@example.org"] == NOBODY


@pytest.mark.interpreted
async def test_a_broken_store_defers(owner: MailboxOwner, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(work: object, **_: object) -> None:
        raise StorageError("the store failed: input/output error")

    monkeypatch.setattr(owner.writer, "apply", broken)
    verdict = await staged(owner, Accounts())(message("ann@example.org"))
    assert isinstance(verdict, Defer)
    assert (verdict.code, "input/output" in verdict.log, "input/output" in verdict.text) == ("4.3.0", True, False)


async def test_many_messages_at_once(owner: MailboxOwner) -> None:
    enqueue = staged(owner, Accounts())
    async with trio.open_nursery() as nursery:
        for _ in range(300):
            nursery.start_soon(enqueue, message("ann@example.org", "ben@example.org"))
    assert [len(owner.reader.messages(account)) for account in (1, 2)] == [300, 300]
    assert owner.writer.commits < owner.writer.changes == 300
