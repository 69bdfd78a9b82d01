"""Server-sent events: a response that goes on until the reader leaves, is signed out, or the process ends.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import trio
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from engine.web.context import Context, context_of
from engine.web.sessions.session import cookie, found

BEAT = 15.0
"""Seconds between two signs of life: fewer than proxies bear (60), and after which a reader who left is noticed."""

RETRY = 2000
"""Milliseconds after which a browser comes again."""

Emit: TypeAlias = Callable[[str, Any], Awaitable[None]]
"""Sends an event of that name, with what can be JSON."""


class EventStream(Response):
    """Events that ``produce`` emits. Its endpoint is to be ``bounded(seconds=math.inf)``."""

    def __init__(self, request: Request, produce: Callable[[Emit], Awaitable[None]]) -> None:
        super().__init__(headers={"content-type": "text/event-stream", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._request = request
        self._context: Context = context_of(request)
        self._produce = produce

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        turn = trio.Lock()

        async def say(text: str) -> None:
            async with turn:
                try:
                    await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
                except OSError:  # there is nobody any more
                    nursery.cancel_scope.cancel()

        finished = False
        async with trio.open_nursery() as nursery:
            await say(f"retry: {RETRY}\n\n")
            nursery.start_soon(self._beat, say, nursery.cancel_scope)
            nursery.start_soon(self._end, nursery.cancel_scope)
            await self._produce(_emitting(say))
            finished = True
            nursery.cancel_scope.cancel()
        if finished or self._context.ending.is_set():
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _beat(self, say: Callable[[str], Awaitable[None]], scope: trio.CancelScope) -> None:
        while await self._is_signed_in():
            await trio.sleep(BEAT)
            await say(": beat\n\n")
        scope.cancel()

    async def _is_signed_in(self) -> bool:
        token = self._request.cookies.get(cookie(self._request), "")
        return await found(self._context, token, used=False) is not None

    async def _end(self, scope: trio.CancelScope) -> None:
        await self._context.ending.wait()
        scope.cancel()


def _emitting(say: Callable[[str], Awaitable[None]]) -> Emit:
    async def emit(name: str, value: Any) -> None:
        await say(f"event: {name}\ndata: {json.dumps(value, separators=(',', ':'))}\n\n")

    return emit
