"""The services that stages get in a rehearsal: over a copy of what they remember, and the mailboxes to be read only."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import zmq

from engine.config import Config
from engine.links.wire import Reference
from engine.mailbox import Mailboxes
from engine.message import Content
from engine.net.dns import DnsTrouble, Outcome, Resolver
from engine.observe.events import event
from engine.runtime.canary import InForce
from engine.runtime.door import Door
from engine.runtime.places import Process
from engine.runtime.revision import Here
from engine.runtime.roles.opened import resolver_of
from engine.runtime.roles.role import Role
from engine.stage import Rehearsed

_PLACE = "rehearsal"

_TROUBLES = 100
"""Kinds of trouble that are remembered."""


class _Unasked(Resolver):
    """The DNS, when nobody outside is to be asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1",))

    async def _look_up(self, name: str, rdtype: str) -> Outcome[Any]:
        return DnsTrouble(f"{name} {rdtype} was not asked for", self.clock())


class Surroundings:
    """What all rehearsals of a process share: the mailboxes, and what the DNS has said.

    Two configurations are compared by the same answers of the DNS, as long as they ask the same servers.
    ``troubles``: what stages could not do, each once.
    """

    def __init__(self, data: Path, *, offline: bool = False) -> None:
        self.data = data
        self.offline = offline
        self._mailboxes: Mailboxes | None = None
        self._resolvers: dict[Any, Resolver] = {}
        self._opening = threading.Lock()
        self.troubles: dict[str, None] = {}

    @contextmanager
    def hearing(self) -> Iterator[None]:
        """Events are heard here meanwhile, and do not go into the log: nothing has happened."""
        before, event.instead = event.instead, self._hear
        try:
            yield
        finally:
            event.instead = before

    def _hear(self, name: str, values: dict[str, Any]) -> None:
        if name in ("stage-failed", "bug") and len(self.troubles) < _TROUBLES:
            where = values.get("stage") or values.get("where")
            self.troubles[f"{where}: {values.get('error')}"] = None

    def mailboxes(self, map_size: int) -> Mailboxes:
        """Those of the server, to be read. StorageError."""
        with self._opening:  # by one thread: LMDB cannot be opened twice in one process
            if self._mailboxes is None:
                self._mailboxes = Mailboxes.open(self.data / "mailbox", map_size=map_size)
            return self._mailboxes

    def resolver(self, config: Config) -> Resolver:
        """One for all that ask the same servers. ConfigError."""
        if config.dns not in self._resolvers:
            self._resolvers[config.dns] = _Unasked() if self.offline else resolver_of(config)
        return self._resolvers[config.dns]

    def close(self) -> None:
        if self._mailboxes is not None:
            self._mailboxes.close()


class Understudy(Role):
    """A process's services, as its role has them, but for what a rehearsal must not touch.

    All stores are those in ``folder``. What several nodes share is on another server, so it is left alone: the copy
    has what this node knows by itself. Nothing is counted for reports.
    """

    def __init__(self, config: Config, folder: Path, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        here = Here(Process(_PLACE, _PLACE), 0, "", self._context, _find)
        changed = replace(config, server=replace(config.server, data=folder), shared=None, traces=None)
        self._read = partial(surroundings.mailboxes, config.mailboxes.map_size)
        super().__init__(changed, here, InForce())  # there is none, and no role asks before it serves

    def opened(self) -> dict[Any, Any]:
        """What stages may ask for. ConfigError for what only shows when it is used."""
        found = self.services(self.config)
        self.switched(self.config)
        self.tally.on = False
        return {**found, Rehearsed: Rehearsed(True), Door: None}  # as a stage has that which lets nothing in

    def mailboxes(self) -> Mailboxes:
        return self._read()

    def _resolver_for(self, config: Config) -> Resolver:
        return self._surroundings.resolver(config)

    def close(self) -> None:
        super().close()
        self._context.term()


def _find(reference: Reference) -> Content:
    raise LookupError(f"no content comes by links in a rehearsal: {reference}")
