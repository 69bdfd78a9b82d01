"""How a command asks a process of the running server, or all of them at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import trio
import zmq

from engine.links.request import Asker, Unanswered
from engine.observe.measures import Sample
from engine.runtime.places import between
from engine.runtime.services import MEASURES_SERVICE
from engine.runtime.state import Running

Context: TypeAlias = "zmq.Context[zmq.Socket[bytes]]"


def ask(running: Running, worker: str, service: str, name: str, *arguments: Any, seconds: float = 10) -> Any:
    """What the worker's service answers to the question of that name. Unanswered when it does not in time."""
    endpoint = between(running.folder, worker, running.lives.get(worker, 0), service)
    with _context() as context:
        answer = trio.run(_ask, context, endpoint, seconds, name, arguments)
    if answer is None:
        raise Unanswered(f"{worker} does not answer")
    done, value = answer
    if not done:
        raise Unanswered(value)
    return value


def measured(running: Running, seconds: float = 2) -> dict[str, list[Sample]]:
    """What each worker measures now, by its name. One that does not answer in time is left out."""
    return {
        worker: [(name, tuple((label, value) for label, value in labels), number) for name, labels, number in samples]
        for worker, samples in asked_of_all(running, MEASURES_SERVICE, "measures", seconds=seconds).items()
    }


def asked_of_all(running: Running, service: str, name: str, *, seconds: float = 2) -> dict[str, Any]:
    """What the service answers to a question, in each worker, all asked at once; without those that do not in time."""
    found: dict[str, Any] = {}

    async def ask_one(context: Context, worker: str, life: int) -> None:
        answer = await _ask(context, between(running.folder, worker, life, service), seconds, name, ())
        if answer is not None and answer[0]:
            found[worker] = answer[1]

    async def ask_all(context: Context) -> None:
        async with trio.open_nursery() as nursery:
            for worker, life in running.lives.items():
                nursery.start_soon(ask_one, context, worker, life)

    with _context() as context:
        trio.run(ask_all, context)
    return dict(sorted(found.items()))


@contextmanager
def _context() -> Iterator[Context]:
    context: Context = zmq.Context()
    try:
        yield context
    finally:
        context.destroy(linger=0)


async def _ask(
    context: Context, endpoint: str, seconds: float, name: str, arguments: tuple[Any, ...]
) -> tuple[bool, Any] | None:
    """Whether it was answered, and what, or why not; None: not in time."""
    answer: tuple[bool, Any] | None = None
    async with trio.open_nursery() as nursery:
        asker = Asker(context)
        nursery.start_soon(asker.serve, endpoint)
        with trio.move_on_after(seconds):
            try:
                answer = True, await asker.ask(name, *arguments)
            except Unanswered as error:
                answer = False, str(error)
        nursery.cancel_scope.cancel()
    return answer
