"""Questions as in ``request``, over a Unix socket between two processes: for those who ask often, and wait each time.

ZeroMQ reads and writes in threads of its own: for a question and its answer four of them wake, which takes longer than
most answers. Here who asks writes into the socket at once, and whoever answers wakes by itself. Each frame is two
numbers, the octets of what is packed and of those that stand behind it, and both of these.
"""

import os
import socket
import struct
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, Final, TypeAlias

import trio

from engine.links import wire
from engine.links.request import AtOnce, Function, Questions, answer_now, answer_to
from engine.wakeup import Wakeup

_HEAD: Final = struct.Struct(">II")

_SOCKET: Final = "ipc://"
"""What endpoints of this host begin with."""

_READ: Final = 64 * 1024
"""Octets that are read at once where no long frame is on its way."""

_ROOM: Final = 1024 * 1024
"""Octets that the kernel is asked to hold for us; it may hold less."""

_PARTS: Final = 512
"""Of frames, in one call; the kernel takes 1,024."""

_WAITING: Final = 128
"""Processes that may wait to be connected."""

_AGAIN: Final = 0.01
"""Seconds until it is tried again to reach who does not listen yet."""

Frame: TypeAlias = tuple[bytes, memoryview]
"""What is packed, and the octets that stand behind it."""


class _Frames:
    """Frames over a connected socket."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _ROOM)
        self._socket = sock
        self._unsent: deque[memoryview] = deque()
        self._some = Wakeup()
        self._unread: bytes | bytearray = b""

    def send(self, packed: bytes, octets: bytes = b"") -> None:
        """Hand over at once what the kernel takes; ``write`` sends the rest. To a peer that is gone, nothing."""
        parts = [_HEAD.pack(len(packed), len(octets)), packed, *([octets] if octets else ())]
        idle = not self._unsent
        self._unsent += map(memoryview, parts)
        if idle:
            self._write()
            if self._unsent:
                self._some.wake()

    async def write(self) -> None:
        """Send what the kernel does not take at once, until cancelled."""
        while True:
            await self._some.wait()
            while self._unsent:
                await trio.lowlevel.wait_writable(self._socket)
                self._write()

    def _write(self) -> None:
        unsent = self._unsent
        try:
            sent = self._socket.sendmsg([*islice(unsent, _PARTS)])
        except BlockingIOError:
            return
        except OSError:  # the peer is gone: who reads is told
            unsent.clear()
            return
        while unsent and sent >= len(unsent[0]):
            sent -= len(unsent.popleft())
        if sent:
            unsent[0] = unsent[0][sent:]

    async def read(self) -> list[Frame]:
        """At least one frame, and those that have come behind it; none once the peer is gone."""
        while True:
            frames, missing = self._come()
            if frames:
                return frames
            octets = await (self._receive() if missing <= _READ else self._rest(missing))
            if not octets:
                return []
            self._unread = self._unread + octets if missing <= _READ else octets

    def _come(self) -> tuple[list[Frame], int]:
        """The frames that are there whole, and how many octets are missing of the one that is not."""
        frames: list[Frame] = []
        unread, at, missing = memoryview(self._unread), 0, 0
        while len(unread) - at >= _HEAD.size:
            packed, octets = _HEAD.unpack_from(unread, at)
            begin = at + _HEAD.size
            end = begin + packed + octets
            if end > len(unread):
                missing = end - len(unread)
                break
            frames.append((bytes(unread[begin : begin + packed]), unread[begin + packed : end]))
            at = end
        if at:
            self._unread = self._unread[at:]
        return frames, missing

    async def _rest(self, missing: int) -> bytearray:
        """What has come of a long frame with all that is missing of it; empty: the peer is gone."""
        at = len(self._unread)
        whole = bytearray(at + missing)
        whole[:at] = self._unread
        with memoryview(whole) as room:
            while at < len(whole):
                try:
                    got = self._socket.recv_into(room[at:])
                except BlockingIOError:
                    await trio.lowlevel.wait_readable(self._socket)
                    continue
                except OSError:
                    got = 0
                if not got:
                    return bytearray()
                at += got
        return whole

    async def _receive(self) -> bytes:
        """What comes next, empty: the peer is gone. Always lets other tasks run."""
        await trio.lowlevel.wait_readable(self._socket)
        try:
            return self._socket.recv(_READ)
        except OSError:
            return b""

    def close(self) -> None:
        trio.lowlevel.notify_closing(self._socket)
        self._socket.close()


class DirectAsker:
    """As ``request.Asker``, where ``answer_directly`` serves."""

    def __init__(self) -> None:
        self._frames: _Frames | None = None
        self._questions = Questions()
        self._connected = trio.Event()

    async def ask(self, name: str, *arguments: Any, octets: bytes = b"") -> Any:
        """The answer. Unanswered when there is none. ``octets`` are the last argument, and may be many."""
        while (frames := self._frames) is None:  # again: it may be gone by the turn in which that is heard of
            await self._connected.wait()
        send = frames.send
        return await self._questions.answered(name, arguments, lambda asked: send(asked, octets))

    async def serve(self, endpoint: str) -> None:
        """Be connected to ``endpoint`` until cancelled."""
        while True:
            sock = await _connected(endpoint)
            frames = self._frames = _Frames(sock)
            self._connected.set()
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(frames.write)
                    await self._take(frames)
                    nursery.cancel_scope.cancel()
            finally:
                self._frames = None
                self._connected = trio.Event()
                frames.close()
                self._questions.lost()

    async def _take(self, frames: _Frames) -> None:
        while come := await frames.read():
            for packed, _ in come:
                self._questions.heard(packed)


async def answer_directly(
    endpoint: str, functions: Mapping[str, Function], at_once: Mapping[str, AtOnce] | None = None
) -> None:
    """Answer questions at ``endpoint`` until cancelled, each in a task of its own: it goes on where its asker dies.

    ``at_once``: what is tried first where a question has come alone. It waits for nothing, and gives None where it
    would have to.
    """
    path = endpoint.removeprefix(_SOCKET)
    with suppress(FileNotFoundError):
        os.unlink(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.setblocking(False)
        listening.bind(path)
        listening.listen(_WAITING)
        try:
            async with trio.open_nursery() as nursery:
                while True:
                    await trio.lowlevel.wait_readable(listening)
                    try:
                        sock, _ = listening.accept()
                    except BlockingIOError:
                        continue
                    except OSError:  # there are no descriptors left: whoever waits is taken once there are
                        await trio.sleep(_AGAIN)
                        continue
                    nursery.start_soon(_answer_all, _Frames(sock), functions, at_once or {}, nursery)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(path)


async def _answer_all(
    frames: _Frames, functions: Mapping[str, Function], at_once: Mapping[str, AtOnce], tasks: trio.Nursery
) -> None:
    """What one process asks, until it is gone."""
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(frames.write)
            while come := await frames.read():
                for packed, octets in come:
                    number, name, arguments = wire.unpack(packed)
                    given = [*arguments, octets] if octets else arguments
                    if len(come) == 1 and name in at_once:
                        answer = answer_now(number, at_once[name], given)
                        if answer is not None:
                            frames.send(answer)
                            continue
                    tasks.start_soon(_answer, frames, number, functions, name, given)
            nursery.cancel_scope.cancel()
    finally:
        frames.close()


async def _answer(
    frames: _Frames, number: int, functions: Mapping[str, Function], name: str, arguments: Sequence[Any]
) -> None:
    frames.send(await answer_to(number, functions, name, arguments))


async def _connected(endpoint: str) -> socket.socket:
    """To whoever listens there, once somebody does."""
    while True:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(endpoint.removeprefix(_SOCKET))
        except OSError:
            sock.close()
            await trio.sleep(_AGAIN)
        else:
            return sock
