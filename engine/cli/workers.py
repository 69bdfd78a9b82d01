"""How a command asks a process of the running server."""

from typing import Any

import trio
import zmq

from engine.links.request import Asker, Unanswered
from engine.runtime.places import between
from engine.runtime.state import Running


def ask(running: Running, worker: str, service: str, name: str, *arguments: Any, seconds: float = 10) -> Any:
    """What the worker's service answers to the question of that name. Unanswered when it does not in time."""
    endpoint = between(running.folder, worker, running.lives.get(worker, 0), service)
    answer = trio.run(_ask, endpoint, seconds, name, arguments)
    if answer is None:
        raise Unanswered(f"{worker} does not answer")
    done, value = answer
    if not done:
        raise Unanswered(value)
    return value


async def _ask(endpoint: str, seconds: float, name: str, arguments: tuple[Any, ...]) -> tuple[bool, Any] | None:
    """Whether it was answered, and what, or why not; None: not in time."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    answer: tuple[bool, Any] | None = None
    try:
        async with trio.open_nursery() as nursery:
            asker = Asker(context)
            nursery.start_soon(asker.serve, endpoint)
            with trio.move_on_after(seconds):
                try:
                    answer = True, await asker.ask(name, *arguments)
                except Unanswered as error:
                    answer = False, str(error)
            nursery.cancel_scope.cancel()
    finally:
        context.destroy(linger=0)
    return answer
