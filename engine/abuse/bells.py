"""Bells: how processes that share the tables wake each other, rather than look again and again.

Here a bell is a socket without a place in any folder, so that nothing is left of who was killed; for other nodes it is
a channel of the shared store. A ring says only that it is worth looking: what is lost costs time and nothing else.
"""

import contextlib
import socket
from collections.abc import Callable, Iterable
from functools import partial
from typing import NoReturn, Protocol

import trio

from engine.scanning.guard import Unreachable

AGAIN = 5.0
"""Seconds until a shared store is listened to again."""

_PREFIX = "\0postroad-bell-"


class Afar(Protocol):
    """A store that carries rings to other nodes, and says whether anybody heard. Both may raise Unreachable."""

    async def ring(self, who: str) -> bool: ...

    async def hear(self, who: str, heard: Callable[[], None], wanted: Callable[[], bool]) -> None: ...


class Bells:
    """One object a process. ``afar``: who carries rings to other nodes now, if anybody."""

    def __init__(self, afar: Callable[[], Afar | None] = lambda: None) -> None:
        self._afar = afar

    async def listen(self, me: str, heard: Callable[[], None]) -> NoReturn:
        """Call ``heard`` at the beginning, and after each ring for ``me``: once after several that came together."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._listen_afar, me, heard)
            await self._listen_here(me, heard)
        raise AssertionError

    async def _listen_here(self, me: str, heard: Callable[[], None]) -> NoReturn:
        with trio.socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bell:
            try:
                await bell.bind(_PREFIX + me)
            except (OSError, ValueError):  # there are no such sockets here: then it is looked now and then
                await trio.sleep_forever()
            heard()  # who rang before took us for gone
            while True:
                await bell.recv(1)
                heard()

    async def _listen_afar(self, me: str, heard: Callable[[], None]) -> NoReturn:
        while True:
            if (afar := self._afar()) is not None:
                with contextlib.suppress(Unreachable):
                    await afar.hear(me, heard, partial(self._is, afar))
            await trio.sleep(AGAIN)

    def _is(self, afar: Afar) -> bool:
        return self._afar() is afar

    async def ring(self, those: Iterable[str]) -> list[str]:
        """Wake them, as far as they can be reached. Those who heard nothing for sure are gone, or not here yet."""
        return [who for who in those if not (self._rung_here(who) or await self._rung_afar(who))]

    async def _rung_afar(self, who: str) -> bool:
        """False: there is no such process, as far as a store can say."""
        afar = self._afar()
        try:
            return afar is not None and await afar.ring(who)
        except Unreachable:
            return True  # nobody knows

    @staticmethod
    def _rung_here(who: str) -> bool:
        """Whether there is such a process on this machine."""
        # A socket for each ring: what one process does not read would fill that of all others.
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as out:
            try:
                out.sendto(b"", _PREFIX + who)
            except BlockingIOError:  # it has rings enough
                return True
            except OSError:
                return False
        return True
