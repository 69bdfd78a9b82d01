"""The course of it: mail passes through a store, which now and then is compared with a fresh one that has the same."""

import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.ageing.mail import Flow
from bench.ageing.space import Space
from bench.ageing.stores import Commit, Opening, Store

_LOOK = 20
"""Commits between two looks at the space."""

AGED, FRESH, CONTROL = "aged", "fresh", "fresh again"
"""The last shows what two that should be alike differ by."""


@dataclass(slots=True)
class Peak:
    """The most that was seen, in octets."""

    used: int = 0  # pages of LMDB that hold something
    live: int = 0  # these, and content in files
    stored: int = 0  # LMDB's file
    taken: int = 0  # this, and content in files

    def saw(self, space: Space) -> None:
        self.used = max(self.used, space.used)
        self.stored = max(self.stored, space.stored)
        self.live = max(self.live, space.used + space.files)
        self.taken = max(self.taken, space.stored + space.files)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Some time of ageing."""

    passed: int  # messages, since the beginning
    alive: int  # messages, at the end
    rate: float  # messages a second
    commits: Sequence[Commit]
    space: Space  # at the end


class Course:
    """The ageing of one store."""

    def __init__(self, store: Store, flow: Flow, opening: Opening, folder: Path) -> None:
        """Fresh stores are made by ``opening`` in ``folder``."""
        self.store = store
        self.flow = flow
        self.peak = Peak()
        self._opening = opening
        self._folder = folder
        self._steps = flow.steps()

    @property
    def share(self) -> float:
        """LMDB's file, by the most that was in use in it at once."""
        return self.peak.stored / self.peak.used

    async def begin(self, backlog: int) -> None:
        """Put so many small messages in, and take a fifth of them out."""
        for number, step in enumerate(self.flow.backlog(backlog)):
            await self.store.change(step)
            if number % _LOOK == 0:
                self.peak.saw(await self.store.space())

    async def go_on(self, until: int) -> Stretch:
        """Let mail pass until so many messages have."""
        commits: list[Commit] = []
        before, begun = self.flow.passed, time.perf_counter()
        while self.flow.passed < until:
            commits.append(await self.store.change(next(self._steps)))
            if len(commits) % _LOOK == 0:
                self.peak.saw(await self.store.space())
        rate = (self.flow.passed - before) / (time.perf_counter() - begun)
        space = await self.store.space()
        self.peak.saw(space)
        return Stretch(self.flow.passed, len(self.flow.alive), rate, commits, space)

    async def compare(self, turns: int) -> dict[str, list[Commit]]:
        """The same mail goes on through this store and two fresh ones with the same messages in them, in turn."""
        commits: dict[str, list[Commit]] = {}
        async with AsyncExitStack() as stack:
            stores = {AGED: self.store}
            for name in (FRESH, CONTROL):
                data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fresh-", dir=self._folder)))
                stores[name] = await stack.enter_async_context(self._opening(data))
                for step in self.flow.beginning():
                    await stores[name].change(step)
            order = list(stores)
            for _ in range(turns):
                step = next(self._steps)
                for name in order:
                    commits.setdefault(name, []).append(await stores[name].change(step))
                order.append(order.pop(0))
        self.peak.saw(await self.store.space())
        return commits

    async def end(self) -> list[str]:
        """Let go what is still there. What does not agree then, in words."""
        for step in self.flow.end():
            await self.store.change(step)
        left = (await self.store.space()).files
        return [*self.store.problems(), *([f"{left:,} octets are left in files"] if left else [])]
