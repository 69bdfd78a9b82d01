"""What one web process alone has in memory: the others hand requests about it on to that one."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine.links.request import Unanswered

Answer: TypeAlias = tuple[int, list[tuple[bytes, bytes]], bytes]
"""Status, header and body."""

HandOn: TypeAlias = Callable[..., Awaitable[Any]]
"""Has the first web process answer: "answer", method, path, query, header, scheme, client, and the body. Unanswered."""


class Forwarding:
    """Middleware. ``hand_on`` None: this is the first process. ``places``: paths of what it alone has."""

    def __init__(self, app: ASGIApp, hand_on: HandOn | None, places: Sequence[str]) -> None:
        self._app = app
        self._hand_on = hand_on
        self._places = tuple(places)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._hand_on is None or not self._is_there(scope):
            await self._app(scope, receive, send)
            return
        try:
            status, header, body = await handed_on(self._hand_on, Request(scope, receive), scope["path"])
        except Unanswered:
            await PlainTextResponse("Try again in a moment.\n", 503)(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": status, "headers": header})
        await send({"type": "http.response.body", "body": body})

    def _is_there(self, scope: Scope) -> bool:
        """A stream goes on and on: it stays here, and asks."""
        path = str(scope.get("path", ""))
        return scope["type"] == "http" and path.startswith(self._places) and not path.endswith("/live")


async def handed_on(hand_on: HandOn, request: Request, path: str, *more: tuple[bytes, bytes]) -> Answer:
    """What the first process answers to the request, or to one like it for another path. Unanswered.

    ``more``: that its header has besides.
    """
    body = await request.body() if request.method == "POST" else b""
    query = request.scope["query_string"] if path == request.url.path else b""
    client = list(request.client) if request.client else None
    status, header, octets = await hand_on(
        "answer", request.method, path, query, [*request.headers.raw, *more], request.url.scheme, client, body
    )
    return int(status), [(bytes(name), bytes(value)) for name, value in header], bytes(octets)


async def answered(app: ASGIApp, *said: Any) -> Answer:
    """What the site here answers to what ``handed_on`` has said."""
    method, path, query, header, scheme, client, body = said
    scope: Scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.4"}, "http_version": "1.1", "method": method,
        "scheme": scheme, "path": path, "raw_path": path.encode(), "query_string": bytes(query), "root_path": "",
        "headers": [(bytes(name), bytes(value)) for name, value in header], "client": tuple(client) if client else None,
        "server": None, "extensions": {},
    }  # fmt: skip
    status, answer, octets = 500, list[tuple[bytes, bytes]](), bytearray()

    async def receive() -> Message:
        return {"type": "http.request", "body": bytes(body), "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
            answer.extend(message.get("headers", ()))
        else:
            octets.extend(message.get("body", b""))

    await app(scope, receive, send)
    return status, answer, bytes(octets)
