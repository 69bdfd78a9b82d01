"""Writes down, once a day, what each account holds: of that, the page of quotas tells who will be full."""

from functools import partial
from typing import NoReturn

import trio

from engine.directory import DirectoryError, Embedded
from engine.observe.events import event
from engine.operations import filling
from engine.storage.environment import StorageError
from engine.web.context import Context
from engine.web.means import reading

LOOK = 600.0
"""Seconds between two looks whether a new day has begun: whoever comes first of several processes does it."""


class Growing:
    """One a process."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def run(self) -> NoReturn:
        said = ""
        while True:
            try:
                await self.look()
                said = ""
            except (StorageError, DirectoryError) as error:
                if str(error) != said:
                    event("usage-not-noted", error=str(error))
                said = str(error)
            await trio.sleep(LOOK)

    async def look(self) -> None:
        """Write down what there is to write. StorageError, DirectoryError."""
        directory = self._context.directory()
        if isinstance(directory, Embedded):
            note = partial(filling.note, directory, reading(self._context), self._context.growth)
            await trio.to_thread.run_sync(note)
