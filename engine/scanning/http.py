"""A server that is asked by HTTP, over connections that are kept."""

from collections.abc import Iterable
from contextlib import suppress
from functools import partial

from engine.message import Content
from engine.net.connection import Connection, ConnectionLost
from engine.protocols.http_client import BODY_LIMIT, HttpClient, HttpError, Response
from engine.scanning.connections import Connections, received, send
from engine.scanning.guard import Unreachable
from engine.scanning.where import Where


class HttpServer:
    """Where requests are posted to, by one worker."""

    def __init__(self, where: Where, target: str, limit: int = BODY_LIMIT) -> None:
        """``limit``: octets of the body of a response."""
        self._target = target
        self._connections = Connections(where, partial(HttpClient, limit))

    def close(self) -> None:
        self._connections.close()

    async def post(self, fields: Iterable[tuple[str, str]], body: Content) -> Response:
        """The response, whatever its status. Unreachable where there is none."""

        async def ask(connection: Connection, client: HttpClient) -> Response:
            head = client.begin("POST", self._target, fields, body.size)
            with suppress(ConnectionLost):  # why it does not take it, it may have said before it closed
                await send(connection, head, body)
            while (response := client.receive(await _next(connection, client))) is None:
                pass
            return response

        try:
            return await self._connections.run(ask)
        except HttpError as error:
            raise Unreachable(str(error)) from error


async def _next(connection: Connection, client: HttpClient) -> bytes:
    """The next octets; b"" says that a response has ended so. ConnectionLost when none has begun."""
    return await connection.receive() if client.has_heard else await received(connection)
