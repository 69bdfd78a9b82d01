"""How mail leaves for each destination: the rules in force, and a valve for each way."""

import time
from collections.abc import Callable, Sequence

import trio

from engine.config.rules import Rules
from engine.observe.events import event
from engine.shaping.allowances import Allowances
from engine.shaping.claims import Claims
from engine.shaping.governor import Governor, Learnt
from engine.shaping.shape import Shape, shaped
from engine.shaping.sites import Sites
from engine.shaping.valve import Shared, Valve
from engine.storage.environment import StorageError

SHAPES = 50_000
"""Destinations whose shape is remembered."""

VALVES = 10_000
"""Ways whose valve is kept while nothing leaves by them."""

FLUSH = 30.0
"""Seconds between two times at which what was learnt is written."""


class Shaping:
    """One object a process. Without ``allowances`` all rates are counted here; without ``sites`` nothing is kept."""

    def __init__(
        self,
        rules: Rules | None = None,
        *,
        allowances: Allowances | None = None,
        claims: Claims | None = None,
        sites: Sites | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.rules = rules or Rules()
        self.claims = claims or Claims()
        self._shared = Shared(allowances or Allowances.here(), self.claims, alone=allowances is None)
        self._sites = sites
        self._wall = wall
        self._shapes: dict[tuple[str, str, str], Shape] = {}
        self._same: dict[Shape, Shape] = {}
        self._valves: dict[str, Valve] = {}
        self._kept: dict[str, Learnt] = {}  # as it was written last

    def use(self, rules: Rules) -> None:
        """Other rules hold from now on, for connections that are open as well."""
        if rules != self.rules:
            self.rules = rules
            self._shapes.clear()
            self._same.clear()

    def of(self, domain: str, hosts: Sequence[str], source_name: str = "", *, site: str = "") -> Shape:
        """How mail leaves for ``domain``, which ``hosts`` serve. Equal shapes are one object.

        ``site``: what names the hosts together.
        """
        key = domain, site or ",".join(hosts), source_name
        shape = self._shapes.get(key)
        if shape is None:
            if len(self._shapes) >= SHAPES:
                self._shapes.clear()
            found = shaped(self.rules, domain, hosts, source_name)
            shape = self._shapes[key] = self._same.setdefault(found, found)
        return shape

    def valve(self, name: str, source: str = "") -> Valve:
        """That of a way. ``source``: where mail leaves from by it."""
        valve = self._valves.get(name)
        if valve is None:
            self._make_room()
            valve = self._valves[name] = Valve(
                name, Governor(self._learnt(name)), self._shared, self._wall, source=source
            )
        return valve

    def _learnt(self, name: str) -> Learnt | None:
        try:
            return self._sites.learnt(name) if self._sites else None
        except StorageError as error:
            event("shaping-unknown", way=name, error=str(error))
            return None

    def _make_room(self) -> None:
        if len(self._valves) < VALVES:
            return
        for name in [name for name, valve in self._valves.items() if not valve.users][: VALVES // 10]:
            del self._valves[name]
            self._kept.pop(name, None)

    async def run(self) -> None:
        """Write what is learnt, now and then."""
        while True:
            await trio.sleep(FLUSH)
            await trio.to_thread.run_sync(self.keep)

    def keep(self) -> None:
        """Write what has been learnt since the last time. Blocks."""
        if self._sites is None:
            return
        now = {name: valve.governor.learnt() for name, valve in list(self._valves.items()) if valve.governor.passed}
        news = {name: one for name, one in now.items() if self._kept.get(name) != one}
        try:
            if news:
                self._sites.keep(news)
        except StorageError as error:
            event("shaping-unknown", error=str(error))
        else:
            self._kept |= news
