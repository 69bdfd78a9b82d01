"""The supervisor's line to a worker: MessagePack over a socket pair, with listening sockets handed along."""

import array
import socket
import struct
import sys
from collections import deque
from typing import Any

import msgpack
import trio

_HEAD = struct.Struct(">I?")  # octets of the body, whether a socket comes with it

LOST = -1
"""Instead of a descriptor that came while this process could have no more of them."""


class Control:
    """One end. An end of file means that the other process is gone: then ``receive`` gives None."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._plain = sock
        self._socket = trio.socket.from_stdlib_socket(sock)
        self._buffer = bytearray()
        self._fds: deque[int] = deque()  # in the order of their commands, LOST for one that could not be had
        self._lock = trio.Lock()

    async def send(self, command: str, sock: socket.socket | None = None, **values: Any) -> None:
        """Send a command, and a socket with it; to a process that is gone, nowhere."""
        body: bytes = msgpack.packb([command, values])
        octets = _HEAD.pack(len(body), sock is not None) + body
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [sock.fileno()]))] if sock else []
        async with self._lock:
            try:
                sent = await self._socket.sendmsg([octets], rights)
                while sent < len(octets):
                    sent += await self._socket.send(octets[sent:])
            except OSError:
                return

    async def receive(self) -> tuple[str, dict[str, Any]] | None:
        """The next command and its values, among them ``fd``, if a socket came with it: its descriptor, or LOST."""
        head = await self._exactly(_HEAD.size)
        if head is None:
            return None
        length, with_socket = _HEAD.unpack(head)
        body = await self._exactly(length)
        if body is None:
            return None
        command, values = msgpack.unpackb(body)
        if with_socket:
            values["fd"] = self._fds.popleft()
        return command, values

    async def _exactly(self, length: int) -> bytes | None:
        while len(self._buffer) < length:
            try:
                data, ancillary, flags, _ = await self._socket.recvmsg(65536, socket.CMSG_SPACE(4))
            except OSError:
                return None
            if not data:
                return None
            self._buffer += data
            # Linux gives the descriptors of at most one message at a time, and says when it could not
            self._fds.extend(int.from_bytes(content, sys.byteorder) for _, _, content in ancillary)
            if flags & socket.MSG_CTRUNC:
                self._fds.append(LOST)
        taken = bytes(self._buffer[:length])
        del self._buffer[:length]
        return taken

    def close(self) -> None:
        self._socket.close()
