"""A delivery by the stage `enqueue` to accounts without a script, and with one of ten rules."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import cast

import pytest
import trio

from bench.micro.loop import held
from bench.micro.measure import Measure
from bench.micro.samples import KIB, letter, message
from bench.micro.test_sieve import SCRIPT
from engine import Verdict
from engine.directory import Account, Directory
from engine.mailbox import MailboxOwner
from engine.mailbox.commands import ActivateScript, PutScript
from engine.message import Octets
from engine.sorting import Sorter
from stages.enqueue import Enqueue

pytestmark = pytest.mark.benchmark(group="Sieve")

COUNT = 100


class People:
    """A directory in which everybody is Bob."""

    limiter = None

    def account(self, address: str) -> Account:
        return Account(1, address, 0.0)


@asynccontextmanager
async def opened(folder: Path, script: bytes) -> AsyncIterator[Enqueue]:
    with MailboxOwner(folder / "mailbox") as owner:
        if script:
            await owner.change(PutScript(account=1, name="main", content=script, most=1, room=10**6))
            await owner.change(ActivateScript(account=1, name="main"))
        yield Enqueue(owner, cast("Directory", People()), Sorter(owner, "mx.rcpt.test", lambda *_: True))


async def deliver(enqueue: Enqueue) -> int:
    content = Octets(letter(4 * KIB))
    verdicts: list[Verdict] = []

    async def one() -> None:
        verdicts.append(await enqueue(message(1, content)))

    async with trio.open_nursery() as nursery:
        for _ in range(COUNT):
            nursery.start_soon(one)
    return len(verdicts)


@pytest.mark.parametrize("script", [b"", SCRIPT], ids=["none", "ten rules"])
def test_delivery(measure: Measure, tmp_path: Path, script: bytes) -> None:
    with held(opened(tmp_path, script)) as loop:
        what = f"{COUNT} deliveries at once, {'by a script of ten rules' if script else 'without a script'}"
        assert measure(what, partial(loop.run, deliver, loop.opened), operations=COUNT) == COUNT
