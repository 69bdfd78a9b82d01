"""The web process."""

import os
from functools import partial
from typing import Any

import trio

from engine.config import NOWHERE, Config, ConfigError, Problem, secrets_in
from engine.net.connection import Connection
from engine.net.crowd import Crowd
from engine.net.targets import is_loopback
from engine.observe.events import event
from engine.runtime.canary import InForce
from engine.runtime.places import processes
from engine.runtime.revision import Here
from engine.runtime.roles.role import Role
from engine.runtime.services import MEASURES_SERVICE
from engine.web.application import Access, application
from engine.web.collecting import Collecting
from engine.web.http import Http
from engine.web.workers import Workers

_NICE = 5
"""How much less it is worth to the kernel than the mail."""

_CONNECTIONS, _CONNECTIONS_OF_NETWORK = 200, 50
"""Far more than scrapers and load balancers have, far fewer than would hurt."""


class WebRole(Role):
    """The process that tells by HTTP how the server is."""

    def __init__(self, config: Config, here: Here, now: InForce) -> None:
        super().__init__(config, here, now)
        os.nice(_NICE)
        self._workers = Workers(here, MEASURES_SERVICE)
        self._access = Access()
        self._tokens: tuple[bytes, ...] = ()  # of the configuration that is being opened
        collecting = Collecting(self._workers, self._expected)
        self._http = Http(application(collecting.now, self._access))
        self._crowd = Crowd(_CONNECTIONS, _CONNECTIONS_OF_NETWORK)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(self._workers.run)
            task_status.started()

    def services(self, config: Config) -> dict[Any, Any]:
        self._tokens = _tokens(config)
        return super().services(config)

    def switched(self, config: Config) -> None:
        super().switched(config)
        self._access.tokens = self._tokens
        self._workers.keep(self._expected())

    def _expected(self) -> list[str]:
        return [process.name for process in processes(self.config)]

    def peer_up(self, name: str, life: int) -> None:
        self._workers.up(name, life)

    def peer_lost(self, name: str) -> None:
        self._workers.lost(name)

    async def serve(self, listener: str, connection: Connection) -> None:
        if refusal := self._crowd.refusal(connection.peer):
            event("connection-refused", peer=connection.peer, why=refusal)
            return
        with self._crowd.joined(connection.peer):
            serve = partial(self._http.serve, connection)
            address = self.config.listen.get(listener)  # none: a reload has just taken it away
            if address is not None and is_loopback(address[0]):
                await serve()
            elif await self._under_tls(connection, listener, people=False):
                await serve(scheme="https")


def _tokens(config: Config) -> tuple[bytes, ...]:
    """Those that [metrics] names. ConfigError."""
    path = config.metrics.token_file
    if path == NOWHERE:
        return ()
    try:
        return secrets_in(path)
    except OSError as error:
        raise ConfigError(config.path, [Problem(0, "[metrics]", f"token_file: {path}: {error.strerror}")]) from error
