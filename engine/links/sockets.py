"""The one wrapper that puts a ZeroMQ socket under trio.

ZeroMQ's file descriptor does not say "readable" but "read EVENTS again", once, and any send, receive or look at
EVENTS may eat that edge. So EVENTS is read again after every operation, and whoever finds input wakes the receiver.
Sends never wait: the high-water mark is off, because a link's credits bound what is under way. Where nothing does, as
with PUB and SUB, there is one, and what is above it is dropped.
"""

from collections.abc import Sequence

import trio
import zmq
from zmq.backend import Socket as _Plain

DRAIN = 256
"""Batches taken at one go before other tasks get their turn."""

# pyzmq's own methods wrap these in loops, enums and views that cost more than the call itself.
_send, _receive, _get = _Plain.send, _Plain.recv, _Plain.get
_NOW, _MORE, _INPUT = int(zmq.NOBLOCK), int(zmq.NOBLOCK | zmq.SNDMORE), int(zmq.POLLIN)  # to join enums takes a µs


class Socket:
    """A ZeroMQ socket with one receiving task."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], kind: int, *, behind: int = 0) -> None:
        self._socket = context.socket(kind)
        self._socket.set_hwm(behind)
        self._socket.linger = 0
        self._fd = int(self._socket.get(zmq.FD))
        self._closed = False
        self._sleeping: trio.CancelScope | None = None

    def bind(self, endpoint: str) -> None:
        self._socket.bind(endpoint)

    def connect(self, endpoint: str) -> None:
        self._socket.set(zmq.RECONNECT_IVL, 10)  # milliseconds: the peer may bind a moment later
        self._socket.connect(endpoint)

    def subscribe(self) -> None:
        """Of a SUB socket: take all that is published."""
        self._socket.setsockopt(zmq.SUBSCRIBE, b"")

    def greet(self, frame: bytes) -> None:
        """Of an XPUB socket: send this to each that subscribes."""
        self._socket.setsockopt(zmq.XPUB_WELCOME_MSG, frame)

    def send(self, frames: Sequence[bytes]) -> None:
        """Hand the frames over at once; to a peer that is gone, nowhere."""
        try:
            for frame in frames[:-1]:
                _send(self._socket, frame, _MORE)
            _send(self._socket, frames[-1], _NOW)
        except zmq.Again:  # a DEALER whose peer has never appeared; the link gives its calls out again
            return
        if self._sleeping is not None and self._readable():
            self._sleeping.cancel()

    async def receive_many(self) -> list[list[bytes]]:
        """At least one multipart message, and all that have arrived behind it, up to DRAIN. ClosedResourceError."""
        received = self._receive_now()
        if received:
            await trio.lowlevel.cancel_shielded_checkpoint()  # shielded: what was received must not be lost
        while not received:
            await self._sleep()
            received = self._receive_now()
        return received

    def _readable(self) -> bool:
        return bool(int(_get(self._socket, zmq.EVENTS)) & _INPUT)

    def _receive_now(self) -> list[list[bytes]]:
        if self._closed:
            raise trio.ClosedResourceError("the socket was closed")
        received: list[list[bytes]] = []
        while len(received) < DRAIN and self._readable():
            frames = [_receive(self._socket, _NOW)]
            while _get(self._socket, zmq.RCVMORE):
                frames.append(_receive(self._socket, _NOW))
            received.append(frames)
        return received

    async def _sleep(self) -> None:
        # A look that found nothing has processed all pending commands, so the next edge is still to come.
        with trio.CancelScope() as scope:
            self._sleeping = scope
            try:
                await trio.lowlevel.wait_readable(self._fd)
            finally:
                self._sleeping = None

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            trio.lowlevel.notify_closing(self._fd)
            self._socket.close()
