"""Retention: what is older than its rule says goes, and nothing else; nothing of accounts that are held."""

import time

import pytest
import trio

from engine.config import Retention
from engine.directory import Embedded
from engine.mailbox.commands import Append, Appended, Begin, Copy, Create, Hold
from engine.mailbox.layout import INBOX
from engine.oversight import Whose
from engine.oversight.retention import EVERY, Retaining, old
from engine.units import Duration

ANN, DAY = "ann@example.org", 86400.0
MONTH = Duration("30d")


@pytest.fixture
def directory(tmp_path):
    with Embedded.open(tmp_path / "directory", ["example.org", "other.test"]) as found:
        for address in (ANN, "bob@example.org", "eve@other.test"):
            found.add_account(address)
        yield found


async def put(owner, account, *, mailbox=INBOX, received=0.0, count=1):
    await owner.change(Begin(account=account))
    messages = (Appended(b"Subject: x\r\n\r\nx\r\n", received=int(received * 1000)),) * count
    return (await owner.change(Append(account=account, mailbox=mailbox, messages=messages))).uids


def uids(owner, account, name="INBOX"):
    folder = owner.reader.folder(account, name)
    return list(owner.reader.select(account, folder.number).uids)


def retaining(owner, directory, hands, **rules):
    return Retaining(owner, directory, lambda: rules, hands)


async def test_what_is_older_than_its_rule_goes(owner, directory, hands) -> None:
    await put(owner, 1, count=3)
    hands.now += 10 * DAY
    await put(owner, 1, count=2)
    task = retaining(owner, directory, hands, all=Retention(keep=MONTH))
    assert await task.expire() == 0
    hands.now += 20 * DAY + 1
    assert await task.expire() == 3
    assert uids(owner, 1) == [4, 5]
    hands.now += 10 * DAY
    assert await task.expire() == 2
    assert await task.expire() == 0


async def test_it_can_be_brought_back_for_as_long_as_what_readers_remove(owner, directory, hands) -> None:
    owner.keep_expunged = 14 * DAY
    await put(owner, 1)
    hands.now += 31 * DAY
    assert await retaining(owner, directory, hands, all=Retention(keep=MONTH)).expire() == 1
    assert len(list(owner.reader.kept(1))) == 1


@pytest.mark.parametrize(("age", "left"), [("saved", [1, 2]), ("received", [2])])
async def test_the_age_is_that_in_the_folder_or_that_of_the_mail(owner, directory, hands, age, left) -> None:
    await put(owner, 1, received=hands.now - 31 * DAY)
    await put(owner, 1, received=hands.now)
    await retaining(owner, directory, hands, all=Retention(keep=MONTH, age=age)).expire()
    assert uids(owner, 1) == left


async def test_what_is_put_into_the_trash_is_young_there(owner, directory, hands) -> None:
    await put(owner, 1)
    hands.now += 40 * DAY
    trash = owner.reader.folder(1, "Trash").number
    await owner.change(Copy(account=1, mailbox=INBOX, uids=(1,), to=trash))
    task = retaining(owner, directory, hands, trash=Retention(keep=MONTH, folders=("\\Trash",)))
    assert await task.expire() == 0
    hands.now += 31 * DAY
    assert await task.expire() == 1
    assert (uids(owner, 1), uids(owner, 1, "Trash")) == ([1], [])


async def test_the_first_rule_counts(owner, directory, hands) -> None:
    for account in (1, 2, 3):
        await put(owner, account)
    lists = (await owner.change(Create(account=1, name="Lists/News"))).mailbox
    await put(owner, 1, mailbox=lists)
    hands.now += 400 * DAY
    rules = {
        "bob": Retention(who=("bob@example.org",)),
        "lists": Retention(who=("example.org",), folders=("Lists/*",), keep=MONTH),
        "example": Retention(who=("example.org",), keep=Duration("1000d")),
        "others": Retention(keep=MONTH),
    }
    found = [
        (one.folder, one.rule)
        for account, address in ((1, ANN), (2, "bob@example.org"), (3, "eve@other.test"))
        for one in old(owner.reader, rules, Whose(account, address), hands.now)
    ]
    assert found == [("Lists/News", "lists"), ("INBOX", "others")]


async def test_of_an_account_that_is_held_nothing_goes(owner, directory, hands) -> None:
    await put(owner, 1)
    await put(owner, 2)
    await owner.change(Hold(account=1, on=True))
    hands.now += 31 * DAY
    task = retaining(owner, directory, hands, all=Retention(keep=MONTH))
    assert await task.expire() == 1
    assert uids(owner, 1) == [1]
    await owner.change(Hold(account=1, on=False))
    assert await task.expire() == 1


async def test_many_messages_are_looked_at_bit_by_bit(owner, directory, hands) -> None:
    await put(owner, 1, count=1500)
    hands.now += 31 * DAY
    await put(owner, 1, count=700)
    assert await retaining(owner, directory, hands, all=Retention(keep=MONTH, age="received")).expire() == 1500
    assert uids(owner, 1) == list(range(1501, 2201))


async def test_a_clock_that_jumps_takes_nothing_and_a_steady_one_does(owner, directory, hands, autojump_clock) -> None:
    await put(owner, 1)
    jump = [0.0]
    task = Retaining(
        owner, directory, lambda: {"all": Retention(keep=MONTH)}, lambda: hands.now + trio.current_time() + jump[0]
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(task.run)
        await trio.sleep(EVERY / 2)
        jump[0] = 400 * DAY
        await trio.sleep(EVERY)
        assert uids(owner, 1) == [1]
        await trio.sleep(EVERY)
        while uids(owner, 1):  # threads take their time, whatever the clock shows
            await trio.to_thread.run_sync(time.sleep, 0.01)
        nursery.cancel_scope.cancel()
