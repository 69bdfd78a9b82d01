"""Asking any service of any worker of the server, or of all, over ways that are opened when they are first needed."""

import contextlib
from collections.abc import Iterable
from typing import Any

import trio

from engine.links.request import Asker, Unanswered
from engine.runtime.places import between
from engine.runtime.revision import Here

PATIENCE = 10.0
"""Seconds that a worker has to answer: a person still waits for the page."""


class Asking:
    """The workers that are there now, this process among them. ``run`` must run beside it."""

    def __init__(self, here: Here) -> None:
        self._here = here
        self._lives: dict[str, int] = {}
        self._ways: dict[tuple[str, str], tuple[Asker, trio.CancelScope]] = {}
        self._nursery: trio.Nursery

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled. Then nobody is there any more."""
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            try:
                await trio.sleep_forever()
            finally:
                self._lives.clear()
                self._ways.clear()

    def up(self, name: str, life: int) -> None:
        """A worker is there (again)."""
        self.lost(name)
        self._lives[name] = life

    def lost(self, name: str) -> None:
        """A worker is gone."""
        self._lives.pop(name, None)
        for way in [way for way in self._ways if way[0] == name]:
            self._ways.pop(way)[1].cancel()

    def endpoint(self, worker: str, service: str) -> str:
        """Where the worker's service is. Unanswered: there is no such worker."""
        if worker not in self._lives:
            raise Unanswered(f"there is no worker {worker} now")
        return between(self._here.folder, worker, self._lives[worker], service)

    async def ask(
        self, worker: str, service: str, question: str, *arguments: Any, octets: bytes = b"", seconds: float = PATIENCE
    ) -> Any:
        """What the worker's service answers. Unanswered, also when it does not within so many seconds."""
        asker = self._way(worker, service)
        with trio.move_on_after(seconds):
            return await asker.ask(question, *arguments, octets=octets)
        raise Unanswered(f"{worker} does not answer")

    async def ask_all(self, workers: Iterable[str], service: str, question: str, seconds: float) -> dict[str, Any]:
        """What the service of each answers, all asked at once. Who is not there, or does not in time, is left out."""
        found: dict[str, Any] = {}

        async def ask_one(worker: str) -> None:
            with contextlib.suppress(Unanswered):
                found[worker] = await self.ask(worker, service, question, seconds=seconds)

        async with trio.open_nursery() as nursery:
            for worker in workers:
                nursery.start_soon(ask_one, worker)
        return found

    def _way(self, worker: str, service: str) -> Asker:
        way = self._ways.get((worker, service))
        if way is None:
            endpoint = self.endpoint(worker, service)
            way = self._ways[worker, service] = Asker(self._here.context), trio.CancelScope()
            self._nursery.start_soon(self._connected, *way, endpoint)
        return way[0]

    async def _connected(self, asker: Asker, scope: trio.CancelScope, endpoint: str) -> None:
        with scope:
            await asker.serve(endpoint)
