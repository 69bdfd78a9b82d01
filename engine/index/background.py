"""The builder at work beside an event loop: a turn at a time in a thread, and what makes it begin."""

from collections.abc import Iterator
from contextlib import aclosing
from typing import NoReturn

import trio
import zmq

from engine.index.builder import Builder
from engine.links.publish import heard
from engine.observe.events import event
from engine.storage.environment import StorageError
from engine.wakeup import Wakeup

GATHER = 1.0
"""Seconds in which nothing more has come, until work begins: many messages cost little more than one, and while mail
streams in, all there is of the machine is for that."""

PATIENCE = 10.0
"""Seconds after which work begins though more keeps coming."""

AGAIN = 30.0
"""Seconds until what failed is tried again."""

SWEEP = 3600.0
"""Seconds between two looks for what has gone."""

REST = 9.0
"""How many times as long as a bit of a sweep has taken nothing is done after it: nobody waits for a sweep, and where
there are many messages it would slow all else down for the first seconds after a start."""


class Background:
    """Lets a builder work, until cancelled."""

    def __init__(self, builder: Builder) -> None:
        self._builder = builder
        self._some = Wakeup()

    async def run(self) -> NoReturn:
        """Build what is lacking, now and whenever something comes; sweep now and every SWEEP seconds."""
        failed = False
        sweeping: Iterator[None] | None = self._builder.sweep()
        due = trio.current_time() + SWEEP
        while True:
            rested = due
            try:
                more = await trio.to_thread.run_sync(self._builder.work)
                if not more and sweeping is not None:
                    began = trio.current_time()
                    sweeping = await trio.to_thread.run_sync(_step, sweeping)
                    if sweeping is not None:
                        rested = trio.current_time() + REST * (trio.current_time() - began)
            except (StorageError, OSError) as error:
                if not failed:
                    failed = True
                    event("index-stopped", error=str(error))
                await trio.sleep(AGAIN)
                continue
            if failed:
                failed = False
                event("index-resumed")
            if not more:
                await self._news(rested)
            if trio.current_time() >= due:
                sweeping, due = self._builder.sweep(), trio.current_time() + SWEEP

    async def _news(self, deadline: float) -> None:
        """Wait until something has come, and then until nothing more comes; or until the deadline."""
        with trio.move_on_at(deadline) as silence:
            await self._some.wait()
        if not silence.cancelled_caught:
            await self._calm()

    async def _calm(self) -> None:
        """Wait until nothing more comes, or for so long as there is patience."""
        with trio.move_on_after(PATIENCE):
            more = True
            while more:
                with trio.move_on_after(GATHER) as silence:
                    await self._some.wait()
                more = not silence.cancelled_caught

    async def listen(self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str) -> None:
        """Take what the owner of the mailboxes publishes at ``endpoint``, until cancelled."""
        async with aclosing(heard(context, endpoint)) as told:
            async for values in told:
                if values:
                    account, mailbox, _ = values
                    self._builder.told(account, mailbox)
                else:  # a greeting: what was said before it has not come
                    self._builder.look()
                self._some.wake()

    async def rebuild(self, account: int | None) -> None:
        """Throw away what is known of an account, or all, and build it anew."""
        self._builder.rebuild(account)
        self._some.wake()


def _step(sweeping: Iterator[None]) -> Iterator[None] | None:
    """A bit of a sweep; what is left of it."""
    try:
        next(sweeping)
    except StopIteration:
        return None
    return sweeping
