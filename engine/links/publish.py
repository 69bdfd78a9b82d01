"""News from one process to all that want it: publish and subscribe. Nobody waits, and nothing is sent again.

What is published while nobody listens is lost, and so is what a listener that is far behind does not take in time. So
news must be a hint to look, never the only place where something is said. A listener is greeted with an empty message
once it is listened to: what it is told from then on is all.
"""

from collections.abc import AsyncGenerator
from typing import NoReturn

import zmq

from engine.links import wire
from engine.links.sockets import Socket

BEHIND = 100_000
"""Messages that are kept for a listener that does not take them: some 10 MB."""


class Publisher:
    """Says things at ``endpoint``. zmq.ZMQError when it cannot be bound."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str) -> None:
        self._socket = Socket(context, zmq.XPUB, behind=BEHIND)
        self._socket.greet(wire.pack([]))
        self._socket.bind(endpoint)
        self._closed = False

    def tell(self, *values: int) -> None:
        """Say this to all who listen now. Once ``serve`` has ended there are none."""
        if not self._closed:
            self._socket.send([wire.pack(values)])

    async def serve(self) -> NoReturn:
        """Greet who begins to listen, until cancelled: ZeroMQ does it when its socket is looked at."""
        try:
            while True:
                await self._socket.receive_many()
        finally:
            self._closed = True
            self._socket.close()


async def heard(context: zmq.Context[zmq.Socket[bytes]], endpoint: str) -> AsyncGenerator[tuple[int, ...], None]:
    """All that is said at ``endpoint``, after a greeting, which is empty. Close it with ``aclosing``."""
    socket = Socket(context, zmq.SUB, behind=BEHIND)
    try:
        socket.subscribe()
        socket.connect(endpoint)
        while True:
            for frames in await socket.receive_many():
                yield tuple(wire.unpack(frames[0]))
    finally:
        socket.close()
