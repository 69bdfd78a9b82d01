"""The supervisor's line to a worker: MessagePack over a socket pair, with listening sockets handed along."""

import array
import socket
import struct
from collections import deque
from typing import Any

import msgpack
import trio

_HEAD = struct.Struct(">IB")  # octets of the body, number of file descriptors
_MAX_FDS = 64


class Control:
    """One end. An end of file means that the other process is gone: then ``receive`` gives None."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._plain = sock
        self._socket = trio.socket.from_stdlib_socket(sock)
        self._buffer = bytearray()
        self._fds: deque[int] = deque()
        self._lock = trio.Lock()

    async def send(self, command: str, fds: tuple[int, ...] = (), **values: Any) -> None:
        """Send a command; to a process that is gone, nowhere."""
        body: bytes = msgpack.packb([command, values])
        octets = _HEAD.pack(len(body), len(fds)) + body
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        async with self._lock:
            try:
                sent = await self._socket.sendmsg([octets], rights)
                while sent < len(octets):
                    sent += await self._socket.send(octets[sent:])
            except OSError:
                return

    async def receive(self) -> tuple[str, dict[str, Any], list[int]] | None:
        """The next command, its values, and the file descriptors that came with it."""
        head = await self._exactly(_HEAD.size)
        if head is None:
            return None
        length, count = _HEAD.unpack(head)
        body = await self._exactly(length)
        if body is None:
            return None
        command, values = msgpack.unpackb(body)
        return command, values, [self._fds.popleft() for _ in range(count)]

    async def _exactly(self, length: int) -> bytes | None:
        while len(self._buffer) < length:
            try:
                data, ancillary, _, _ = await self._socket.recvmsg(65536, socket.CMSG_SPACE(_MAX_FDS * 4))
            except OSError:
                return None
            if not data:
                return None
            self._buffer += data
            for level, kind, content in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    fds = array.array("i")
                    fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
                    self._fds.extend(fds)
        taken = bytes(self._buffer[:length])
        del self._buffer[:length]
        return taken

    def close(self) -> None:
        self._socket.close()
