"""An event loop that stays up between the rounds of a benchmark, so that none of them pays for set-up."""

from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

import trio

S = TypeVar("S")
T = TypeVar("T")

LIMIT = 60
"""Seconds for one call: far more than any takes that works."""


class Loop(Generic[S]):
    """What is open in the loop, and the way to have work done there.

    To hand work over takes some 100 µs: a round should do much at once, and say how much.
    """

    def __init__(self, opened: S, token: trio.lowlevel.TrioToken, stop: trio.Event) -> None:
        self.opened = opened
        self._token = token
        self._stop = stop

    def run(self, work: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        """What ``work`` returns; this thread waits for it. TooSlowError after ``LIMIT`` seconds."""
        return trio.from_thread.run(self._bounded, work, arguments, trio_token=self._token)

    @staticmethod
    async def _bounded(work: Callable[..., Awaitable[T]], arguments: tuple[Any, ...]) -> T:
        with trio.fail_after(LIMIT):
            return await work(*arguments)

    def end(self) -> None:
        self._token.run_sync_soon(self._stop.set)


@contextmanager
def held(opening: AbstractAsyncContextManager[S]) -> Iterator[Loop[S]]:
    """Open ``opening`` in a loop in a thread of its own, until the end of the block."""
    ready: SimpleQueue[Loop[S] | None] = SimpleQueue()

    async def main() -> None:
        async with opening as opened:
            stop = trio.Event()
            ready.put(Loop(opened, trio.lowlevel.current_trio_token(), stop))
            await stop.wait()

    with ThreadPoolExecutor(1) as threads:
        ended = threads.submit(trio.run, main)
        ended.add_done_callback(lambda _: ready.put(None))  # it may end before it was ready
        loop = ready.get()
        try:
            if loop is not None:
                yield loop
        finally:
            if loop is not None:
                with suppress(trio.RunFinishedError):  # ended by an error, which comes out below
                    loop.end()
            ended.result()
