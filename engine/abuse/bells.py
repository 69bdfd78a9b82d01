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
    """A store that carries rings to other nodes. Both may raise Unreachable."""

    async def ring(self, who: str) -> None: ...

    async def hear(self, who: str, heard: Callable[[], None], wanted: Callable[[], bool]) -> None: ...


class Bells:
    """One object a process. ``afar``: who carries rings to other nodes now, if anybody."""

    def __init__(self, afar: Callable[[], Afar | None] = lambda: None) -> None:
        self._afar = afar
        self._out: socket.socket | None = None

    async def listen(self, me: str, heard: Callable[[], None]) -> NoReturn:
        """Call ``heard`` after each ring for ``me``, and once after several that came together."""
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

    async def ring(self, those: Iterable[str]) -> None:
        """Wake them, as far as they can be reached."""
        for who in those:
            afar = None if self._rung_here(who) else self._afar()
            if afar is not None:
                with contextlib.suppress(Unreachable):
                    await afar.ring(who)

    def _rung_here(self, who: str) -> bool:
        """Whether there is such a process on this machine."""
        if self._out is None:
            self._out = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self._out.sendto(b"", _PREFIX + who)
        except BlockingIOError:  # it has rings enough
            return True
        except OSError:
            return False
        return True
