"""Certificates are got and renewed while the server runs, in good time, and again and again where it fails."""

import time
from collections.abc import Callable

import trio

from engine.acme.client import AcmeError
from engine.acme.issuing import Applicant, Wanted
from engine.config import Config
from engine.net.certificates import day
from engine.observe.events import event
from engine.runtime.certificates import applicant, wanted_names

_LOOK = 5.0
"""Seconds until a new name in [acme] is seen."""

_ASK = 6 * 3600.0
"""Seconds until the authority is asked again when it wants a certificate renewed (RFC 9773 4.3.2)."""

_BACK_OFF = (60.0, 900.0, 3600.0, 4 * 3600.0, 12 * 3600.0)
"""Seconds after a failure. Let's Encrypt allows five failed proofs of a name in an hour."""


class Renewal:
    """Sees to it that there is a good certificate for everything that is wanted."""

    def __init__(self, config: Callable[[], Config]) -> None:
        self._config = config
        self._next: dict[str, float] = {}  # by folder: Unix time before which there is nothing to do
        self._failures: dict[str, int] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.look()
            await trio.sleep(_LOOK)

    async def look(self) -> None:
        """Do what is due."""
        config = self._config()
        if config.acme is None:
            return
        getting = applicant(config)
        wanted = await trio.to_thread.run_sync(getting.wanted, wanted_names(config))
        for folder, one in wanted.items():
            if time.time() >= self._next.get(folder, 0.0):
                self._next[folder] = await self._see_to(getting, folder, one)

    async def _see_to(self, getting: Applicant, folder: str, wanted: Wanted) -> float:
        """Get it, if it is time; when to look again."""
        try:
            if wanted.certificate is not None:
                due = await trio.to_thread.run_sync(getting.renew_at, wanted.certificate, abandon_on_cancel=True)
                if time.time() < due:
                    return min(due, time.time() + _ASK)
            got = await trio.to_thread.run_sync(getting.issue, wanted.names, folder, abandon_on_cancel=True)
        except (AcmeError, OSError) as error:
            failures = self._failures[folder] = self._failures.get(folder, 0) + 1
            pause = _BACK_OFF[min(failures, len(_BACK_OFF)) - 1]
            event("certificate-failed", names=wanted.names, error=str(error), again=pause)
            return time.time() + pause
        self._failures.pop(folder, None)
        event("certificate-issued", names=got.names, expires=day(got.expires))
        return time.time() + _ASK
