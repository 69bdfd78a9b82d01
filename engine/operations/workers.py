"""How one of the server's workers is asked several things, one after the other."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import trio
import zmq

from engine.links.request import Asker, Unanswered
from engine.runtime.places import between
from engine.runtime.state import Running

Ask: TypeAlias = Callable[..., Awaitable[Any]]
"""Takes the name of a question and its arguments, and gives the answer. Unanswered."""


@asynccontextmanager
async def asking(running: Running, worker: str, service: str, seconds: float) -> AsyncIterator[Ask]:
    """Whom to ask the worker's service, which must answer each question within so many seconds."""
    endpoint = between(running.folder, worker, running.lives.get(worker, 0), service)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        async with trio.open_nursery() as nursery:
            asker = Asker(context)
            nursery.start_soon(asker.serve, endpoint)

            async def ask(name: str, *arguments: Any) -> Any:
                with trio.move_on_after(seconds):
                    return await asker.ask(name, *arguments)
                raise Unanswered(f"{worker} does not answer")

            yield ask
            nursery.cancel_scope.cancel()
    finally:
        context.destroy(linger=0)
