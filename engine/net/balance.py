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

_PROCESSES = 64
"""That share at most; what more there are serve what comes to them."""

_WHOLE = 2**32 - 1

_NAME = 64
"""Octets of the name of a listener, at most."""


class Balance:
    """What one process, number ``index``, knows of the others that have ``name`` and a folder in common.

    How many connections each has stands in one file that all map: one more than that, for 0 says that it takes none.
    So does how many each has handed to each other one, and how many each has taken: of a hundred that come at once,
    those that are on their way count as well. Beside it each has a socket, to which connections are handed as
    descriptors. OSError when these cannot be made.
    """

    def __init__(self, folder: Path, name: str, index: int) -> None:
        self._folder, self._name, self._index = folder, name, index
        self._open = 0
        self._takes = False
        size = 4 * _PROCESSES * (_PROCESSES + 2)
        file = os.open(folder / f"{name}.open", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(file, size)
            numbers = memoryview(mmap.mmap(file, size)).cast("I")
        finally:
            os.close(file)
        self._counts, self._taken = numbers[:_PROCESSES], numbers[_PROCESSES : 2 * _PROCESSES]
        self._handed = numbers[2 * _PROCESSES :]  # by each, to each
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        path = self._path(index)
        path.unlink(missing_ok=True)  # of a process that had this number, and ended
        self._socket.bind(str(path))
        if index < _PROCESSES:
            self._taken[index] = self._given(index)  # or it was lost, with that process

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
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [connection.fileno()]))]
        self._count_handed(other, 1)
        try:
            self._socket.sendmsg([listener.encode()], rights, 0, str(self._path(other)))
        except OSError as error:
            self._count_handed(other, -1)
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
                self._taken[self._index] = (self._taken[self._index] + 1) & _WHOLE
                for descriptor in descriptors:  # none where we have no room for one more
                    nursery.start_soon(_serve, name.decode(), descriptor, serve)

    def _lightest(self) -> int | None:
        """The process with the fewest connections, if these are clearly fewer than ours."""
        if not self._open or self._index >= _PROCESSES:
            return None
        counts = enumerate(self._counts.tolist())
        loads = {index: self._load(index, count) for index, count in counts if count and index != self._index}
        if not loads:
            return None
        other = min(loads, key=loads.__getitem__)
        return other if 8 * self._load(self._index, self._open + 1) > 9 * loads[other] else None

    def _load(self, index: int, count: int) -> int:
        """How many it has, and will have at once."""
        return count - 1 + ((self._given(index) - self._taken[index]) & _WHOLE)

    def _given(self, index: int) -> int:
        """How many were ever handed to it."""
        return sum(self._handed[index::_PROCESSES]) & _WHOLE

    def _count_handed(self, other: int, more: int) -> None:
        place = self._index * _PROCESSES + other
        self._handed[place] = (self._handed[place] + more) & _WHOLE

    def _tell(self) -> None:
        if self._index < _PROCESSES:
            self._counts[self._index] = (self._open + 1) * self._takes

    def _path(self, index: int) -> Path:
        return self._folder / f"{self._name}-{index}.taken"


async def _serve(listener: str, descriptor: int, serve: Callable[[str, Connection], Awaitable[None]]) -> None:
    await serve_open(Connection(socket.socket(fileno=descriptor)), lambda one: serve(listener, one), listener)
