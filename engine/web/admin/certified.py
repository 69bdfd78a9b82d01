"""How it stands with the certificates, for all who look on at once: whether there is something new to see."""

import zlib
from functools import partial

import trio

from engine.links.request import Unanswered
from engine.operations import certificates
from engine.operations.operator import Operator
from engine.web.context import Context

FRESH = 0.25
"""Seconds for which it holds, for all who look."""


class Certified:
    """One a process."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._turn = trio.Lock()
        self._state = ""
        self._until = 0.0

    async def state(self, by: Operator) -> str:
        """Another one when a certificate, how ACME does, or the configuration has become another one."""
        async with self._turn:
            if trio.current_time() >= self._until:
                self._state = await self._looked(by)
                self._until = trio.current_time() + FRESH
            return self._state

    async def _looked(self, by: Operator) -> str:
        context = self._context
        files = await trio.to_thread.run_sync(partial(certificates.state, context.config, by))
        told: object = None
        if context.config.acme is not None:
            try:
                told = await certificates.standings(context.ask, by)
            except Unanswered:
                told = "silent"
        return f"{zlib.crc32(repr((context.changed, files, told)).encode()):08x}"
