"""How one of the server's workers is asked several things, one after the other."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from typing import Any, TypeAlias

import trio
import zmq

from engine.links.request import Asker, Unanswered
from engine.runtime.places import between
from engine.runtime.state import Running

Context: TypeAlias = "zmq.Context[zmq.Socket[bytes]]"

Ask: TypeAlias = Callable[..., Awaitable[Any]]
"""Takes the name of a question and its arguments, and gives the answer. Unanswered."""


@asynccontextmanager
async def asking(
    running: Running, worker: str, service: str, seconds: float, context: "Context | None" = None
) -> AsyncIterator[Ask]:
    """Whom to ask the worker's service, which must answer each question within so many seconds.

    ``context``: one for several workers, which `own_context` opens; without it, this one has its own.
    """
    endpoint = between(running.folder, worker, running.lives.get(worker, 0), service)
    with own_context() if context is None else nullcontext(context) as used:
        async with trio.open_nursery() as nursery:
            asker = Asker(used)
            nursery.start_soon(asker.serve, endpoint)

            async def ask(name: str, *arguments: Any) -> Any:
                with trio.move_on_after(seconds):
                    return await asker.ask(name, *arguments)
                raise Unanswered(f"{worker} does not answer")

            yield ask
            nursery.cancel_scope.cancel()


@contextmanager
def own_context() -> Iterator[Context]:
    context: Context = zmq.Context()
    try:
        yield context
    finally:
        context.destroy(linger=0)
