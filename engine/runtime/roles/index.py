"""The process that builds the index of the mailboxes."""

import os

import trio

from engine.config import Config
from engine.index.background import Background
from engine.index.builder import Builder
from engine.links.request import answer_requests
from engine.runtime.canary import InForce
from engine.runtime.places import MAILBOXES, between
from engine.runtime.revision import Here
from engine.runtime.roles.role import Role
from engine.runtime.services import NEWS, REBUILD

_NICE = 10
"""How much less it is worth to the kernel: it gets a tenth of what another process that is busy gets."""


class IndexRole(Role):
    """The process that builds the index of the mailboxes, when nobody else wants the processor."""

    def __init__(self, config: Config, here: Here, now: InForce) -> None:
        super().__init__(config, here, now)
        os.nice(_NICE)
        self._builder: Builder | None = None
        self._background: Background
        self._hearing: trio.CancelScope | None = None
        self._nursery: trio.Nursery

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        self._builder = Builder(
            self.mailboxes(),
            self.data / "index",
            full_text=self.config.mailboxes.full_text,
            reserve=self.config.queue.reserve,
        )
        self._background = Background(self._builder)
        here = self.here
        endpoint = between(here.folder, here.process.name, here.life, REBUILD)
        async with trio.open_nursery() as self._nursery:
            self._nursery.start_soon(answer_requests, here.context, endpoint, {REBUILD: self._background.rebuild})
            task_status.started()

    def start(self, nursery: trio.Nursery) -> None:
        super().start(nursery)
        nursery.start_soon(self._background.run)

    def switched(self, config: Config) -> None:
        super().switched(config)
        if self._builder is not None:
            self._builder.reserve, self._builder.full_text = config.queue.reserve, config.mailboxes.full_text

    def peer_up(self, name: str, life: int) -> None:
        if name == MAILBOXES:
            self._hearing = trio.CancelScope()
            self._nursery.start_soon(self._hear, between(self.here.folder, name, life, NEWS), self._hearing)

    def peer_lost(self, name: str) -> None:
        if name == MAILBOXES and self._hearing is not None:
            self._hearing.cancel()

    async def _hear(self, endpoint: str, scope: trio.CancelScope) -> None:
        with scope:
            await self._background.listen(self.here.context, endpoint)

    def close(self) -> None:
        super().close()
        if self._builder is not None:
            self._builder.close()
