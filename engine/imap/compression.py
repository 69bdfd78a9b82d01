"""What is sent and received, deflated (RFC 4978)."""

import zlib
from typing import Final

from engine.net.connection import RECEIVE, Connection, ConnectionLost

_WINDOW: Final = -12
_MEMORY: Final = 5
"""With a window of 4 KiB some 32 KiB for each connection; the defaults of zlib would take 256."""


class Deflated:
    """A connection whose octets are deflated in both directions."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._deflater = zlib.compressobj(zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, _WINDOW, _MEMORY)
        self._inflater = zlib.decompressobj(-15)
        self._rest = b""

    async def receive(self, limit: int = RECEIVE) -> bytes:
        """At most so many octets, however well they were compressed."""
        octets = b""
        while not octets:
            data = self._rest or await self._connection.receive()
            if not data:
                return b""
            try:
                octets = self._inflater.decompress(data, limit)
            except zlib.error as error:
                raise ConnectionLost(f"what comes is not deflated: {error}") from error
            self._rest = self._inflater.unconsumed_tail
        return octets

    async def send(self, data: bytes) -> None:
        await self._connection.send(self._deflater.compress(data) + self._deflater.flush(zlib.Z_SYNC_FLUSH))
