"""A hop over a link: a message in, its verdict back, both ends in one event loop."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import zmq

from bench.micro.loop import LIMIT, held
from bench.micro.measure import Measure
from bench.micro.samples import message
from engine import Delivered, Message, Verdict
from engine.links import wire
from engine.links.host import Host
from engine.links.link import Done, Link, Peer
from engine.message import Content
from engine.queue.content import FileContent
from engine.verdict import Changed
from engine.wakeup import Wakeup

pytestmark = pytest.mark.benchmark(group="Link, a hop there and back")

MESSAGES = 1024  # in a round
SAID = Delivered("as told")


class Hop:
    """A link to one worker, whose leg does nothing."""

    def __init__(
        self, context: "zmq.Context[zmq.Socket[bytes]]", endpoint: str, under_way: int, *, inside: bool
    ) -> None:
        self.under_way = under_way
        self.about = message(content=FileContent(Path("/nowhere"), 4096))
        self.runs = 0
        self.host = Host(context, endpoint, self._begin, self._find)
        self.link = Link(context, "relay/nothing", ["worker"], window=512, keyed=False)
        self.link.connect(Peer("worker", 1, self.host if inside else endpoint))
        self._begun: list[tuple[int, Done]] = []
        self._some = Wakeup()

    def _begin(self, _: Message, start: int, done: Done) -> None:
        self._begun.append((start, done))
        self._some.wake()

    async def leg(self) -> None:
        """A task that runs what has gathered, as the tasks of a leg do."""
        while True:
            await self._some.wait()
            begun, self._begun = self._begun, []
            for start, done in begun:
                self.runs += 1
                done(SAID, start + 1, [])

    @staticmethod
    def _find(reference: wire.Reference) -> Content:
        return FileContent(Path(reference[1]), reference[2])

    async def send(self, count: int) -> tuple[int, int]:
        """Send ``count`` messages, so many at once; how many ran in the leg, and how many good verdicts came back."""
        before = self.runs
        good = heard = sent = 0
        ended = Wakeup()

        def done(verdict: Verdict | Changed, stopped: int, _: Any) -> None:
            nonlocal good, heard
            heard += 1
            good += verdict == SAID and stopped == 1
            if sent < count:
                submit()
            elif heard == count:
                ended.wake()

        def submit() -> None:
            nonlocal sent
            sent += 1
            self.link.submit(self.about, done)

        for _ in range(min(self.under_way, count)):
            submit()
        await ended.wait()
        return self.runs - before, good


@asynccontextmanager
async def hop(endpoint: str, under_way: int, *, inside: bool) -> AsyncIterator[Hop]:
    with zmq.Context() as context:
        opened = Hop(context, endpoint, under_way, inside=inside)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(opened.host.serve)
            nursery.start_soon(opened.leg)
            nursery.start_soon(opened.link.run)
            with trio.fail_after(LIMIT):
                await opened.send(1)  # both ends are connected
            yield opened
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("under_way", [1, 64])
@pytest.mark.parametrize("inside", [True, False], ids=["inside", "between"])
def test_hop(measure: Measure, tmp_path: Path, under_way: int, *, inside: bool) -> None:
    with held(hop(f"ipc://{tmp_path}/worker", under_way, inside=inside)) as loop:
        where = "within the process" if inside else "as between processes"
        what = f"a message {where}, {under_way} under way"
        assert measure(what, loop.run, loop.opened.send, MESSAGES, operations=MESSAGES) == (MESSAGES, MESSAGES)
