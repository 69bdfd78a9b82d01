"""The mailbox store on a disk: deliveries, few and many in a commit, and reading. Every commit is synced."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from bench.micro.loop import Loop, held
from bench.micro.measure import Measure
from bench.micro.samples import KIB, letter, message
from engine.mailbox import MailboxOwner
from engine.mailbox.commands import Create, Store
from engine.mailbox.flags import FLAGGED, SEEN, Mode
from engine.mailbox.layout import INBOX
from engine.message import Octets

pytestmark = pytest.mark.benchmark(group="Mailboxes on a disk")

ACCOUNTS = 100


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[MailboxOwner]:
    with MailboxOwner(folder / "mailbox") as owner:
        yield owner


async def deliver(owner: MailboxOwner, count: int, recipients: int) -> int:
    """So many messages of 4 KiB at once, each to so many accounts; how many accounts have got one."""
    content = Octets(letter(4 * KIB))
    outcomes: list[int] = []

    async def one(number: int) -> None:
        accounts = {(number + offset) % ACCOUNTS + 1: "bob@rcpt.test" for offset in range(recipients)}
        outcomes.append(len(await owner.deliver(message(1, content), accounts)))

    async with trio.open_nursery() as nursery:
        for number in range(count):
            nursery.start_soon(one, number)
    return sum(outcomes)


@pytest.mark.parametrize(("count", "recipients"), [(1, 1), (100, 1), (100, 10)])
def test_deliver(measure: Measure, tmp_path: Path, count: int, recipients: int) -> None:
    with held(opened(tmp_path)) as loop:
        what = f"deliver {count}, {recipients} recipients each" if count > 1 else "deliver one alone"
        work: partial[int] = partial(loop.run, deliver, loop.opened, count, recipients)
        assert measure(what, work, operations=count) == count * recipients


async def fill(owner: MailboxOwner, count: int) -> None:
    content = Octets(letter(KIB))
    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(owner.deliver, message(1, content), {1: "bob@rcpt.test"})


def test_listing(measure: Measure, tmp_path: Path) -> None:
    with held(opened(tmp_path)) as loop:
        filled: Loop[MailboxOwner] = loop
        filled.run(fill, filled.opened, 10_000)
        entries = measure("POP3's listing of 10,000 messages", filled.opened.reader.messages, 1)
        assert len(entries) == 10_000


def test_select(measure: Measure, tmp_path: Path) -> None:
    with held(opened(tmp_path)) as loop:
        loop.run(fill, loop.opened, 10_000)
        view = measure("IMAP's SELECT of 10,000 messages", loop.opened.reader.select, 1, 1)
        assert view is not None
        assert len(view.uids) == 10_000


async def turn(owner: MailboxOwner, flags: int, uids: tuple[int, ...]) -> int:
    """Give all of these a flag, and take it away."""
    changed = 0
    for mode in (Mode.ADD, Mode.REMOVE):
        command = Store(account=1, mailbox=INBOX, uids=uids, mode=mode, flags=flags)
        changed += len((await owner.change(command)).sources)
    return changed


@pytest.mark.parametrize("step", [1, 2, 10_000])
def test_flags(measure: Measure, tmp_path: Path, step: int) -> None:
    with held(opened(tmp_path)) as loop:
        loop.run(fill, loop.opened, 10_000)
        loop.run(turn, loop.opened, SEEN, tuple(range(1, 10_001, 3)))
        uids = tuple(range(1, 10_001, step))
        work: partial[int] = partial(loop.run, turn, loop.opened, FLAGGED, uids)
        what = f"a flag of each of {len(uids):,} messages" if len(uids) > 1 else "a flag of one message of 10,000"
        assert measure(what, work, operations=2 * len(uids)) == 2 * len(uids)


async def make(owner: MailboxOwner, count: int) -> None:
    for number in range(count):
        await owner.change(Create(account=1, name=f"folder {number}"))


def test_folders(measure: Measure, tmp_path: Path) -> None:
    with held(opened(tmp_path)) as loop:
        loop.run(make, loop.opened, 200)
        folders = measure("LIST with STATUS of 200 mailboxes", loop.opened.reader.folders, 1)
        assert len(folders) == 206
