"""Trio peers for tests without trio: the private DNS zone and the scripted SMTP server, each in a thread."""

import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from queue import Queue
from typing import TypeVar

import trio

from engine.net.zone import Zone, serve_zone
from tests.support.remote import Remote, serving
from tests.support.server import PATIENCE

Value = TypeVar("Value")


@contextlib.contextmanager
def in_thread(opened: Callable[[], AbstractAsyncContextManager[Value]]) -> Iterator[Value]:
    """Keep an async context open in a thread meanwhile."""
    begun: Queue[tuple[Value, trio.lowlevel.TrioToken, trio.Event] | BaseException] = Queue()

    async def stay() -> None:
        over = trio.Event()
        async with opened() as value:
            begun.put((value, trio.lowlevel.current_trio_token(), over))
            await over.wait()

    def run() -> None:
        try:
            trio.run(stay)
        except BaseException as error:
            begun.put(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    found = begun.get(timeout=PATIENCE)
    if isinstance(found, BaseException):
        raise found
    value, token, over = found
    try:
        yield value
    finally:
        token.run_sync_soon(over.set)
        thread.join(PATIENCE)
        assert not thread.is_alive(), "a peer in a thread never came to its end"


def dns(*zones: Zone) -> contextlib.AbstractContextManager[str]:
    """Serve the zones; gives the address, for ``[dns] servers``."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[str]:
        async with trio.open_nursery() as nursery:
            yield await nursery.start(serve_zone, *zones)
            nursery.cancel_scope.cancel()

    return in_thread(opened)


def smtp_server(remote: Remote) -> contextlib.AbstractContextManager[Remote]:
    """Let ``remote`` serve on a free port."""
    return in_thread(lambda: serving(remote))
