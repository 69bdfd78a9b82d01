"""`postroad demo`: two servers, a private DNS zone, and the way of five messages from one mailbox to another."""

import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import click
import trio

from engine.cli.configured import fail
from engine.cli.demo import letters
from engine.cli.demo.screen import Screen
from engine.cli.demo.sites import NotStarted, Site, two_sites
from engine.cli.demo.ways import Journal, Lost, Way, follow, refusal

T = TypeVar("T")

_PATIENCE = 10.0
"""Seconds that a message may take: a thousand times what it does."""

_INTERRUPTED = 130
"""The exit code of what Ctrl-C has ended, as shells have it: 128 + SIGINT."""


@click.command()
def demo() -> None:
    """Start two servers and a private DNS zone, send five messages, and show which way each goes.

    Everything is on 127.0.0.1, on free ports and in a temporary folder, and gone at the end. Exit code 0: every
    message ended as it should.
    """
    screen = Screen()
    good, stopped, trouble = False, False, ""
    try:
        good = trio.run(_until_told_to_stop, screen)
    except* KeyboardInterrupt:  # what is raised in here comes out as a group where Python is older than 3.11.4
        stopped = True
    except* (NotStarted, Lost, letters.Trouble) as group:
        trouble = str(next(_leaves(group)))
    if stopped:
        screen.idle()
        click.echo("Stopped; nothing is left behind.", err=True)
        sys.exit(_INTERRUPTED)
    if trouble:
        screen.idle()
        fail(trouble)
    sys.exit(0 if good else 1)


async def _until_told_to_stop(screen: Screen) -> bool:
    """SIGTERM and SIGHUP clean up as Ctrl-C does: nobody else would end the servers."""

    async def obey() -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGHUP) as signals:
            async for _ in signals:
                raise KeyboardInterrupt

    async with trio.open_nursery() as nursery:
        nursery.start_soon(obey)
        with tempfile.TemporaryDirectory(prefix="postroad-demo-") as folder:
            good = await _show(Path(folder), screen)
        nursery.cancel_scope.cancel()
    return good


async def _show(folder: Path, screen: Screen) -> bool:
    screen.title()
    journal = Journal()
    async with two_sites(folder, journal, screen.busy) as (here, there):
        screen.sites(here, there)
        tour = _Tour(here, there, journal, screen)
        good = [await tour.send(number, letter) for number, letter in enumerate(letters.LETTERS, 1)]
        good += [await tour.read(site, address) for site in (here, there) for address in site.people]
        screen.busy("Stopping both servers")
    trouble = journal.trouble()
    screen.verdict(all(good) and not trouble, trouble)
    return all(good) and not trouble


@dataclass(frozen=True, slots=True)
class _Tour:
    """What is shown while both servers run. Each step returns whether all was as it should be."""

    here: Site
    there: Site
    journal: Journal
    screen: Screen

    async def send(self, number: int, letter: letters.Letter) -> bool:
        """Send one message and follow it to all of its ends."""
        self.screen.busy(f"Sending message {number}")
        identity = await _in_thread(partial(letters.send, letter, self.here))
        try:
            with trio.fail_after(_PATIENCE):
                way = await self._way(letter, identity)
        except trio.TooSlowError:
            raise Lost(
                f"message {number} has no end after {_PATIENCE:g} s; the last event: {self.journal.last}"
            ) from None
        self.screen.letter(number, letter, way)
        return {end.recipient: end.kind for end in way.ends} == dict(letter.ends)

    async def _way(self, letter: letters.Letter, identity: str) -> Way:
        if identity:
            return await follow(self.journal, (self.here.domain, self.there.domain), identity, tuple(letter.ends))
        return await refusal(self.journal, self.here.domain, tuple(letter.ends))

    async def read(self, site: Site, address: str) -> bool:
        """Read a mailbox, which must hold what was sent there and nothing else."""
        self.screen.busy("Reading the mailboxes")
        received = await _in_thread(partial(letters.read, site, address))
        good = letters.as_sent(address, received)
        self.screen.mailbox(address, received, good)
        return good


async def _in_thread(work: Callable[[], T]) -> T:
    return await trio.to_thread.run_sync(work, abandon_on_cancel=True)


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
