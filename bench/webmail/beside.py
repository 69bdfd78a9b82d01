"""Mail is relayed while people are in the webmail: what they take from its rate, and how long they wait."""

import random
import re
import statistics
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import quote

import click
import trio

from bench.boxes import PASSWORD, Boxes, store
from bench.latency import quantile
from bench.load import send, sink
from bench.measure import Cell, counted
from bench.servers.base import HOST, Task
from bench.servers.postroad import Postroad
from bench.webmail.browser import Browser

PEOPLE = "people.test"
"""The domain of those who read; what is relayed is for another one."""

_AGAIN = 0.01
"""Share of acts before which somebody signs in anew."""

_LINE = re.compile(rb'class="line[^>]* data-box="([^"]+)" data-uid="(\d+)"')
_BOX = re.compile(rb'id="mail" data-box="([^"]+)"')
_SEARCHES = ("from:sender7", "subject:letter", "is:unread", "has:attachment", "newer:1y server", "larger:5k")


@dataclass(frozen=True, slots=True)
class Wanted:
    people: int
    think: float  # seconds between two acts, about
    stored: int  # messages in each mailbox
    rounds: int
    seconds: float  # of a run, about
    cell: Cell


@dataclass
class Crowd:
    """Those who are in the webmail, and how long each kind of act took them."""

    port: int
    wanted: Wanted
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    async def run(self, users: list[str], *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled; started when all have signed in."""
        inside = 0

        async def entered() -> None:
            nonlocal inside
            inside += 1
            if inside == len(users):
                task_status.started()

        async with trio.open_nursery() as nursery:
            for number, user in enumerate(users):
                nursery.start_soon(self._person, user, random.Random(number), entered)

    async def _person(self, user: str, chance: random.Random, entered: Callable[[], Awaitable[None]]) -> None:
        browser = Browser(self.port)
        await trio.sleep(chance.uniform(0, self.wanted.think))
        self.seconds["sign in"].append(await browser.sign_in(user, PASSWORD))
        page = await browser.get("/mail/")
        self.seconds["page"].append(page.seconds)
        found = _BOX.search(page.body)
        assert found is not None
        box = found[1].decode()
        lines = _LINE.findall(page.body)
        await entered()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(browser.listen, "/mail/news")
            while True:
                await trio.sleep(chance.expovariate(1 / self.wanted.think))
                if chance.random() < _AGAIN:
                    self.seconds["sign in"].append(await browser.sign_in(user, PASSWORD))
                    self.seconds["page"].append((await browser.get("/mail/")).seconds)
                lines = await self._act(browser, box, lines, chance)

    async def _act(
        self, browser: Browser, box: str, lines: list[tuple[bytes, bytes]], chance: random.Random
    ) -> list[tuple[bytes, bytes]]:
        """One thing that people do, as the page does it; the lines that are shown then."""
        what = chance.choices(("open", "list", "search", "flag"), (5, 3, 1, 2))[0]
        if what == "list":
            answer = await browser.get(f"/mail/list/{box}?view=threads")
            self.seconds["list"].append(answer.seconds + (await browser.get(f"/mail/folders?box={box}")).seconds)
            return _LINE.findall(answer.body)
        if what == "search":
            answer = await browser.get(f"/mail/list/{box}?q={quote(chance.choice(_SEARCHES))}")
            self.seconds["search"].append(answer.seconds)
            return lines
        at, uid = (one.decode() for one in chance.choice(lines))
        if what == "open":
            letter = await browser.get(f"/mail/message/{at}/{uid}?")
            text = await browser.get(f"/mail/body/{at}/{uid}?remote=0&plain=0")
            self.seconds["open"].append(letter.seconds + text.seconds)
            return lines
        act = chance.choice(("flag", "unflag", "seen", "unseen"))
        done = await browser.post("/mail/act", [{"act": act, "items": {at: [int(uid)]}}])
        self.seconds["flag"].append(done.seconds)
        answer = await browser.get(f"/mail/list/{box}?view=threads")
        await browser.get(f"/mail/folders?box={box}")
        return _LINE.findall(answer.body)


async def run(folder: Path, wanted: Wanted) -> None:
    """Rounds of the same mail, with nobody in the webmail and with all of them."""
    boxes = Boxes(wanted.people, wanted.stored, 4096, PEOPLE)
    click.echo(f"filling {wanted.people} mailboxes with {wanted.stored:,} messages each …")
    await store(folder / "var", boxes)
    changes = {"listen.web": f"{HOST}:0", "domains.local": [PEOPLE], "web.max_connections_per_network": 1000}
    async with sink() as (port, arrived):
        task = Task("relay", folder, next_hop=port)
        async with Postroad(changes=changes).start(task) as running:
            assert running.web is not None
            rate = partial(_rate, running.port, wanted.cell, arrived)
            count = counted(await rate(counted(await rate(2000), 3.0)), wanted.seconds)
            await _rounds(wanted, boxes.users(), Crowd(running.web, wanted), partial(rate, count))


async def _rounds(wanted: Wanted, users: list[str], crowd: Crowd, rate: Callable[[], Awaitable[float]]) -> None:
    alone, beside = list[float](), list[float]()
    for number in range(wanted.rounds):
        alone.append(await rate())
        async with trio.open_nursery() as nursery:
            await nursery.start(crowd.run, users)
            beside.append(await rate())
            nursery.cancel_scope.cancel()
        click.echo(
            f"round {number + 1}: {alone[-1]:,.0f} messages/s alone, {beside[-1]:,.0f} beside {len(users)} people"
        )
    one, other = statistics.median(alone), statistics.median(beside)
    click.echo(f"median: {one:,.0f} messages/s alone, {other:,.0f} beside {len(users)} people: {other / one:.2f}")
    click.echo(f"{'':<10}{'times':>7}{'p50, ms':>9}{'p99, ms':>9}")
    for what, seconds in crowd.seconds.items():
        found = sorted(seconds)
        click.echo(f"{what:<10}{len(found):7}{1000 * quantile(found, 0.5):9.0f}{1000 * quantile(found, 0.99):9.0f}")


async def _rate(port: int, cell: Cell, arrived: Callable[[], int], count: int) -> float:
    """Messages a second until the next server has the last one."""
    before = arrived()
    sent = await send(cell, count, port, lambda: arrived() - before, limit=600)
    return count / sent.arrived
