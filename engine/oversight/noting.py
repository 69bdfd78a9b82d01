"""What `pipeline.toml` says of oversight, noted in the audit log when it has changed: who has changed it, and how."""

from collections.abc import Callable
from typing import NoReturn

import msgspec
import trio

from engine.config import Config
from engine.observe.events import event
from engine.oversight.store import Oversight
from engine.storage.environment import StorageError
from engine.wakeup import Wakeup

NOTED = {"oversight": "oversight-changed", "retention": "retention-changed", "journals": "journaling-changed"}
"""By table, how the entry is called."""

PAUSE = 60.0
"""Seconds until it is tried again when it could not be noted."""


class Noting:
    """The task that does it. One in the whole server. ``revision``: which one is in force, and who has put it so."""

    def __init__(
        self,
        opened: Callable[[], Oversight],
        config: Callable[[], Config],
        revision: Callable[[], tuple[int, str]],
    ) -> None:
        self._opened = opened
        self._config = config
        self._revision = revision
        self._some = Wakeup()

    def switched(self) -> None:
        """Another configuration is in force."""
        self._some.wake()

    async def run(self) -> NoReturn:
        while True:
            await self._some.wait()
            try:
                await trio.to_thread.run_sync(self.note)
            except StorageError as error:
                event("oversight-unnoted", error=str(error))
                await trio.sleep(PAUSE)
                self._some.wake()

    def note(self) -> None:
        """Note what has changed since it was noted last. StorageError."""
        config, (number, by) = self._config(), self._revision()
        for table, what in NOTED.items():
            value = msgspec.to_builtins(getattr(config, table), enc_hook=float)
            self._opened().changed(table, value, what, by or "unknown", revision=number)
