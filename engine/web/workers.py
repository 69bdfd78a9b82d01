"""Asking every worker of the server, this process among them, each with a limit on its time."""

import contextlib
from collections.abc import Collection
from typing import Any

import trio

from engine.links.request import Asker, Unanswered
from engine.runtime.places import between
from engine.runtime.revision import Here


class Workers:
    """The workers that are there now, and a way to each. ``run`` must run beside it."""

    def __init__(self, here: Here, service: str) -> None:
        self._here = here
        self._service = service
        self._known: dict[str, tuple[Asker, trio.CancelScope]] = {}
        self._nursery: trio.Nursery

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            await trio.sleep_forever()

    def up(self, name: str, life: int) -> None:
        """A worker is there (again)."""
        self.lost(name)
        asker, scope = Asker(self._here.context), trio.CancelScope()
        self._known[name] = asker, scope
        self._nursery.start_soon(self._connected, asker, between(self._here.folder, name, life, self._service), scope)

    def keep(self, names: Collection[str]) -> None:
        """Only these are asked from now on: others leave, and nobody says so."""
        for name in self._known.keys() - set(names):
            self.lost(name)

    def lost(self, name: str) -> None:
        """A worker is gone."""
        if name in self._known:
            self._known.pop(name)[1].cancel()

    async def _connected(self, asker: Asker, endpoint: str, scope: trio.CancelScope) -> None:
        with scope:
            await asker.serve(endpoint)

    async def ask(self, question: str, seconds: float) -> dict[str, Any]:
        """What each answers, all asked at once. Who does not answer in time is left out."""
        found: dict[str, Any] = {}

        async def ask_one(name: str, asker: Asker) -> None:
            with trio.move_on_after(seconds):
                with contextlib.suppress(Unanswered):
                    found[name] = await asker.ask(question)

        async with trio.open_nursery() as nursery:
            for name, (asker, _) in list(self._known.items()):
                nursery.start_soon(ask_one, name, asker)
        return found
