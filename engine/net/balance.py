"""Connections that several processes share evenly: one that has clearly more than another hands new ones to it.

The kernel shares them out by their addresses (SO_REUSEPORT), so that of a few connections all may come to one process
while the others have nothing to do.
"""

import errno
import mmap
import os
import socket
from array import array
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import trio

from engine.net.connection import Connection
from engine.net.listening import serve_open

_PROCESSES = 256
"""That share at most; what more there are serve what comes to them."""

_NAME = 64
"""Octets of the name of a listener, at most."""


class Balance:
    """What one process, number ``index``, knows of the others that have ``name`` and a folder in common.

    How many connections each has stands in one file that all map: one more than that, for 0 says that it takes none.
    Beside it each has a socket, to which connections are handed as descriptors. OSError when these cannot be made.
    """

    def __init__(self, folder: Path, name: str, index: int) -> None:
        self._folder, self._name, self._index = folder, name, index
        self._open = 0
        self._takes = False
        size = 4 * _PROCESSES
        file = os.open(folder / f"{name}.open", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(file, size)
            self._counts = memoryview(mmap.mmap(file, size)).cast("I")
        finally:
            os.close(file)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        path = self._path(index)
        path.unlink(missing_ok=True)  # of a process that had this number, and ended
        self._socket.bind(str(path))

    def close(self) -> None:
        self.leave()
        self._socket.close()

    def leave(self) -> None:
        """Let the others hand over nothing more; what they have handed over already is served."""
        self._takes = False
        self._tell()

    @contextmanager
    def joined(self) -> Iterator[None]:
        """One more connection is open, as long as the block."""
        self._open += 1
        self._tell()
        try:
            yield
        finally:
            self._open -= 1
            self._tell()

    def hand_over(self, listener: str, connection: Connection) -> bool:
        """Hand a connection of which nothing has been read to a process that has clearly fewer, if there is one.

        True: it is to be closed here.
        """
        other = self._lightest()
        if other is None:
            return False
        descriptors = array("i", [connection.fileno()])
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)]
        try:
            self._socket.sendmsg([listener.encode()], rights, 0, str(self._path(other)))
        except OSError as error:
            if error.errno in (errno.ECONNREFUSED, errno.ENOENT):  # it has ended, and could not say so
                self._counts[other] = 0
            return False
        return True

    async def take(self, serve: Callable[[str, Connection], Awaitable[None]]) -> None:
        """Serve what the others hand over, each connection in a task, until cancelled."""
        self._takes = self._index < _PROCESSES
        self._tell()
        async with trio.open_nursery() as nursery:
            while True:
                await trio.lowlevel.wait_readable(self._socket)
                name, descriptors, _, _ = socket.recv_fds(self._socket, _NAME, 1)
                for descriptor in descriptors:  # none where we have no room for one more
                    nursery.start_soon(_serve, name.decode(), descriptor, serve)

    def _lightest(self) -> int | None:
        """The process with the fewest connections, if these are clearly fewer than ours."""
        if not self._open:
            return None
        counts = self._counts.tolist()
        least = min(filter(None, counts), default=0)
        return counts.index(least) if least and 4 * self._open > 5 * (least - 1) else None

    def _tell(self) -> None:
        if self._index < _PROCESSES:
            self._counts[self._index] = (self._open + 1) * self._takes

    def _path(self, index: int) -> Path:
        return self._folder / f"{self._name}-{index}.taken"


async def _serve(listener: str, descriptor: int, serve: Callable[[str, Connection], Awaitable[None]]) -> None:
    await serve_open(Connection(socket.socket(fileno=descriptor)), lambda one: serve(listener, one), listener)
