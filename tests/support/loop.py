"""An event loop in a thread, for tests that are no coroutines."""

import threading
from collections.abc import Awaitable, Callable
from typing import Any

import trio


class Running:
    """Runs what it is called with in the loop, and waits for it; ``nursery`` is for what goes on meanwhile."""

    nursery: trio.Nursery

    def __init__(self) -> None:
        self._ready = threading.Event()
        self._thread = threading.Thread(target=trio.run, args=[self._main])
        self._thread.start()
        self._ready.wait()

    async def _main(self) -> None:
        self._token, self._end = trio.lowlevel.current_trio_token(), trio.Event()
        async with trio.open_nursery() as self.nursery:
            self._ready.set()
            await self._end.wait()
            self.nursery.cancel_scope.cancel()

    def __call__(self, work: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        return trio.from_thread.run(work, *arguments, trio_token=self._token)

    def end(self) -> None:
        trio.from_thread.run_sync(self._end.set, trio_token=self._token)
        self._thread.join()
