"""How a command asks a process of the running server, or all of them at once."""

from contextlib import AbstractAsyncContextManager
from typing import Any

import trio

from engine.links.request import Unanswered
from engine.observe.measures import Sample
from engine.operations.workers import Ask, Context, asking, own_context
from engine.runtime.services import MEASURES_SERVICE
from engine.runtime.state import Running


def ask(running: Running, worker: str, service: str, name: str, *arguments: Any, seconds: float = 10) -> Any:
    """What the worker's service answers to the question of that name. Unanswered when it does not in time."""
    done, value = trio.run(_asked, asking(running, worker, service, seconds), name, *arguments)
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

    async def ask_one(context: Context, worker: str) -> None:
        done, value = await _asked(asking(running, worker, service, seconds, context), name)
        if done:
            found[worker] = value

    async def ask_all() -> None:
        with own_context() as context:
            async with trio.open_nursery() as nursery:
                for worker in running.lives:
                    nursery.start_soon(ask_one, context, worker)

    trio.run(ask_all)
    return dict(sorted(found.items()))


async def _asked(whom: AbstractAsyncContextManager[Ask], name: str, *arguments: Any) -> tuple[bool, Any]:
    """Whether it was answered, and what, or why not: no exception, which would leave the nursery in a group."""
    async with whom as put:
        try:
            return True, await put(name, *arguments)
        except Unanswered as error:
            return False, str(error)
