"""The lists of a large mailbox: how long the server takes for what the page shows first, and for what follows."""

import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import click
import trio

from bench.boxes import PASSWORD, Boxes, store
from bench.latency import quantile
from bench.servers.base import DOMAIN, HOST, Running, Task
from bench.servers.postroad import Postroad
from bench.webmail.browser import Answer, Browser

MIB = 1 << 20

_QUICK, _PATIENCE = 1.0, 1800.0
"""Seconds of a search in what is indexed, at most; and until all is."""

_BOX = re.compile(rb'id="mail" data-box="([^"]+)"')

CHANGES = {"listen.web": f"{HOST}:0", "domains.local": [DOMAIN], "web.max_connections_per_network": 1000}


async def run(folder: Path, messages: int, size: int, turns: int) -> None:
    """Fill a mailbox, start a server on it, and ask."""
    boxes = Boxes(1, messages, size)
    click.echo(f"filling a mailbox with {messages:,} messages …")
    await store(folder / "var", boxes)
    async with Postroad(changes=CHANGES).start(Task("webmail", folder)) as running:
        assert running.web is not None
        browser = Browser(running.web)
        await browser.sign_in(boxes.users()[0], PASSWORD)
        before = _held(running)
        first = await browser.get("/mail/")
        click.echo(f"the page for the first time after the start, nothing known of its messages: {_ms(first.seconds)}")
        found = _BOX.search(first.body)
        assert found is not None
        await _measure(browser, f"/mail/list/{found[1].decode()}", messages, turns)
        click.echo(f"memory of all processes: {before} MiB before, {_held(running)} MiB after, without maps")


async def _measure(browser: Browser, box: str, messages: int, turns: int) -> None:
    """Each request by itself, so many times."""
    asked: dict[str, Callable[[int], str]] = {
        "the whole page": lambda _: "/mail/",
        "conversations, the first window": lambda _: f"{box}?view=threads",
        "plain, the first window": lambda _: f"{box}?view=plain",
        "conversations, somewhere": lambda turn: f"{box}?view=threads&before={_somewhere(turn, messages)}",
        "plain, somewhere": lambda turn: f"{box}?view=plain&before={_somewhere(turn, messages)}",
    }
    searches: dict[str, Callable[[int], str]] = {
        "search: subject:letter": lambda _: f"{box}?q=subject%3Aletter",
        "search: from:sender7@ is:unread": lambda _: f"{box}?q=from%3Asender7%40+is%3Aunread",
    }
    click.echo(f"{'':<36}{'p50, ms':>9}{'p99, ms':>9}{'most, ms':>9}{'KiB':>7}")
    await _table(browser, asked, turns)
    await _indexed(browser, searches["search: subject:letter"](0))
    await _table(browser, searches, turns)


async def _indexed(browser: Browser, search: str) -> None:
    """Wait until the index knows the mailbox, as far as that search tells; before, a search may be given up."""
    began = trio.current_time()
    with trio.move_on_after(_PATIENCE):
        while (answer := await browser.ask("GET", search)).status != 200 or answer.seconds > _QUICK:
            await trio.sleep(2)
    click.echo(f"(searches took less than {_QUICK:.0f} s {trio.current_time() - began:.0f} s later)")


async def _table(browser: Browser, asked: dict[str, Callable[[int], str]], turns: int) -> None:
    for name, address in asked.items():
        answers = await _turns(lambda turn, address=address: browser.get(address(turn)), turns)  # type: ignore[misc]
        seconds = sorted(one.seconds for one in answers)
        shown = (quantile(seconds, 0.5), quantile(seconds, 0.99), seconds[-1])
        click.echo(
            f"{name:<36}" + "".join(f"{1000 * one:9.1f}" for one in shown) + f"{len(answers[-1].body) / 1024:7.0f}"
        )


async def _turns(ask: Callable[[int], Awaitable[Answer]], turns: int) -> list[Answer]:
    found = []
    for turn in range(turns):
        found.append(await ask(turn))
        await trio.sleep(0.01)
    return found


def _somewhere(turn: int, messages: int) -> int:
    """A UID that nobody has asked for lately."""
    return 400 + (turn * 7919 * 13) % (messages - 400)


def _held(running: Running) -> int:
    return running.group.anonymous() // MIB


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms"
