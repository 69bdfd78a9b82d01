"""Certificates are got and renewed while the server runs, in good time, and again and again where it fails."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

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


@dataclass(frozen=True, slots=True)
class Standing:
    """How it goes with the certificate of a folder. Times are Unix times, 0 for never since the process began."""

    folder: str
    names: tuple[str, ...]
    failures: int = 0  # one after the other
    error: str = ""  # of the last one, if it has failed
    failed: float = 0.0
    issued: float = 0.0
    again: float = 0.0  # when it is looked at again


class Renewal:
    """Sees to it that there is a good certificate for everything that is wanted."""

    def __init__(self, config: Callable[[], Config]) -> None:
        self._config = config
        self._next: dict[str, float] = {}  # by folder: Unix time before which there is nothing to do
        self._failures: dict[str, int] = {}
        self._standings: dict[str, Standing] = {}
        self._hurried: set[str] = set()  # by folder: those that are to be got now, due or not

    def standings(self) -> list[Standing]:
        """How it goes, by folder."""
        return [self._standings[folder] for folder in sorted(self._standings)]

    def hurry(self, folder: str) -> bool:
        """Have the certificate of that folder got within seconds, due or not; whether there is such a one."""
        known = folder in self._standings
        if known:
            self._hurried.add(folder)
            self._next[folder] = 0.0
            self._standings[folder] = replace(self._standings[folder], again=time.time())
        return known

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
                again = await self._see_to(getting, folder, one)
                # Whoever has asked for it meanwhile has not been heard yet.
                self._next[folder] = 0.0 if folder in self._hurried else again
                self._standings[folder] = replace(self._standings[folder], again=again)
        self._standings = {folder: one for folder, one in self._standings.items() if folder in wanted}

    async def _see_to(self, getting: Applicant, folder: str, wanted: Wanted) -> float:
        """Get it, if it is time; when to look again."""
        hurried = folder in self._hurried
        self._hurried.discard(folder)
        before = self._standings.get(folder, Standing(folder, wanted.names))
        self._standings[folder] = before = replace(before, names=wanted.names)
        try:
            if wanted.certificate is not None and not hurried:
                due = await trio.to_thread.run_sync(getting.renew_at, wanted.certificate, abandon_on_cancel=True)
                if time.time() < due:
                    self._failures.pop(folder, None)
                    self._standings[folder] = replace(before, failures=0, error="")
                    return min(due, time.time() + _ASK)
            got = await trio.to_thread.run_sync(getting.issue, wanted.names, folder, abandon_on_cancel=True)
        except (AcmeError, OSError) as error:
            failures = self._failures[folder] = self._failures.get(folder, 0) + 1
            pause = _BACK_OFF[min(failures, len(_BACK_OFF)) - 1]
            event("certificate-failed", names=wanted.names, error=str(error), again=pause)
            self._standings[folder] = replace(before, failures=failures, error=str(error), failed=time.time())
            return time.time() + pause
        self._failures.pop(folder, None)
        self._standings[folder] = Standing(folder, got.names, issued=time.time())
        event("certificate-issued", names=got.names, expires=day(got.expires))
        return time.time() + _ASK
