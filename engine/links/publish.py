"""News from one process to all that want it: publish and subscribe. Nobody waits, and nothing is sent again.

To be told wakes each process that listens. So what is said soon after the last word waits a moment, and goes together.

What is published while nobody listens is lost, and so is what a listener that is far behind does not take in time. So
news must be a hint to look, never the only place where something is said. A listener is greeted with an empty message
once it is listened to: what it is told from then on is all.
"""

from collections.abc import AsyncGenerator
from typing import Any

import trio
import zmq

from engine.links import wire
from engine.links.sockets import Socket
from engine.wakeup import Wakeup

GATHER = 0.02
"""Seconds between two messages: of the 100 ms in which sessions are to hear of new mail."""

BEHIND = 10_000
"""Messages that are kept for a listener that does not take them: of some minutes."""


class Publisher:
    """Says things at ``endpoint``. zmq.ZMQError when it cannot be bound."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str) -> None:
        self._socket = Socket(context, zmq.XPUB, behind=BEHIND)
        self._socket.greet(wire.pack([]))
        self._socket.bind(endpoint)
        self._waiting: list[tuple[Any, ...]] = []
        self._some = Wakeup()

    def tell(self, *values: Any) -> None:
        """Say this to all who listen now: at once, or within GATHER seconds. Without ``serve`` there are none.

        Values are what MessagePack holds: what it does not would end ``serve``.
        """
        self._waiting.append(values)
        self._some.wake()

    async def serve(self) -> None:
        """Say what there is to say, until cancelled."""
        self._waiting.clear()  # whoever is greeted from now on looks at all
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._greet)
                while True:
                    await self._some.wait()
                    waiting, self._waiting = self._waiting, []
                    if waiting:
                        self._socket.send([wire.pack(waiting)])
                    await trio.sleep(GATHER)
        finally:
            self._socket.close()

    async def _greet(self) -> None:
        """ZeroMQ greets who begins to listen when its socket is looked at."""
        while True:
            await self._socket.receive_many()


async def heard(context: zmq.Context[zmq.Socket[bytes]], endpoint: str) -> AsyncGenerator[tuple[Any, ...], None]:
    """All that is said at ``endpoint``, after a greeting, which is empty. Close it with ``aclosing``."""
    socket = Socket(context, zmq.SUB, behind=BEHIND)
    try:
        socket.subscribe()
        socket.connect(endpoint)
        while True:
            for frames in await socket.receive_many():
                for values in wire.unpack(frames[0]) or [()]:
                    yield tuple(values)
    finally:
        socket.close()
