"""What the supervisor puts in force: a configuration under its number, and whether workers die of it."""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from typing import Any

import trio

from engine.config import Config
from engine.revisions import REFUSED, Archive, Kept, from_folder

WATCHED = 60.0
"""Seconds after a change in which workers that die are taken to die of it."""

DEATHS = 2
"""After which a change is taken back. A message is parked that three workers die with: what a bad revision's stages die
of must not come so far."""


@dataclass(frozen=True, slots=True)
class Put:
    """A configuration that workers were given."""

    turn: int  # of all that this supervisor has tried: late answers about one are not taken for those about another
    config: Config
    kept: Kept

    @property
    def number(self) -> int:
        return self.kept.number

    @property
    def texts(self) -> Mapping[str, Any]:
        """What a worker must know to open it, by the texts as they were read once, whatever was edited since."""
        return {
            "turn": self.turn,
            "number": self.number,
            "text": self.config.text,
            "files": dict(self.config.files),
        }


class Puts:
    """All that this supervisor puts in force, each kept before. To wait for the disk is for another thread."""

    def __init__(self, config: Config) -> None:
        self._archive = Archive(config.server.data, config.server.keep_revisions)
        self._turns = count(1)

    async def open(self) -> None:
        """Go on with the numbers that there are."""
        await trio.to_thread.run_sync(self._archive.open)

    async def take(self, config: Config, by: str, before: int = 0) -> Put:
        """Keep a configuration that is about to be put in force."""
        files = from_folder(config.files, config.path.parent)
        take = partial(self._archive.take, config.text, files, by=by, before=before)
        return Put(next(self._turns), config, await trio.to_thread.run_sync(take))

    def again(self, put: Put) -> Put:
        """The same, to be put in force once more."""
        return replace(put, turn=next(self._turns))

    async def settle(self, put: Put, became: str, why: str = "") -> Put:
        """Note what has become of it."""
        self._archive.keep = put.config.server.keep_revisions
        return replace(put, kept=await trio.to_thread.run_sync(self._archive.settle, put.kept, became, why))

    async def refuse(self, text: str, why: str, *, by: str, before: Put) -> None:
        """Keep a text that is no configuration; but if it was a good one and is in force, what it names has gone."""
        take = partial(self._archive.take, text, {}, by=by, before=before.number)
        kept = await trio.to_thread.run_sync(take)
        if kept.number != before.number:
            await trio.to_thread.run_sync(self._archive.settle, kept, REFUSED, why)


@dataclass(slots=True)
class Change:
    """A revision that was put in force not long ago, and who has died since."""

    before: Put  # what to go back to
    until: float  # seconds of the event loop's clock, up to which it is watched
    earlier: Put | None = None  # what was before the change before it, if that was watched still
    _deaths: deque[tuple[float, str]] = field(default_factory=deque)

    def is_too_much(self, worker: str, now: float) -> bool:
        """Whether workers die too often, now that this one has died too."""
        if now > self.until:
            return False
        self._deaths.append((now, worker))
        while self._deaths[0][0] < now - WATCHED:
            self._deaths.popleft()
        return len(self._deaths) >= DEATHS

    def told(self) -> str:
        """Who has died, in words."""
        deaths = sorted(self._counted().items())
        return ", ".join(f"{name} {count} times" if count > 1 else name for name, count in deaths)

    def _counted(self) -> Counter[str]:
        return Counter(worker for _, worker in self._deaths)
