"""Server-sent events: a response that goes on until the reader leaves, may not read it any more, or the process ends.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import contextlib
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeAlias

import trio
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from engine.directory import Roles
from engine.web.context import Context, context_of
from engine.web.sessions.session import cookie, found, session_of

BEAT = 15.0
"""Seconds between two signs of life: fewer than proxies bear (60), and after which a reader who left is noticed."""

RETRY = 2000
"""Milliseconds after which a browser comes again."""

LOOK = 0.25
"""Seconds between two looks whether something has changed: what one browser does another shows within a second."""

MOST = 40
"""Streams of one account in a process: more pages than anybody has open, and far fewer than the places of a network,
which colleagues want too."""

Emit: TypeAlias = Callable[[str, Any], Awaitable[None]]
"""Sends an event of that name, with what can be JSON."""


class _Open:
    """The streams of a process, counted by whose they are. One a process."""

    def __init__(self, _: Context) -> None:
        self.of = Counter[int]()

    @contextlib.contextmanager
    def one(self, account: int) -> Iterator[None]:
        self.of[account] += 1
        try:
            yield
        finally:
            self.of[account] -= 1
            if not self.of[account]:
                del self.of[account]


class EventStream(Response):
    """Events that ``produce`` emits. Its endpoint is to be ``bounded(seconds=math.inf)``."""

    def __init__(self, request: Request, produce: Callable[[Emit], Awaitable[None]]) -> None:
        super().__init__(headers={"content-type": "text/event-stream", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._request = request
        self._context: Context = context_of(request)
        self._produce = produce
        self._roles = Roles()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        session, streams = session_of(self._request), self._context.one(_Open)
        if session is None or streams.of[session.account.id] >= MOST:
            await Response(status_code=429, headers={"retry-after": "60"})(scope, receive, send)
            return
        self._roles = session.roles
        with streams.one(session.account.id):
            await self._run(send)

    async def _run(self, send: Send) -> None:
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
        while await self._may_still():
            await trio.sleep(BEAT)
            await say(": beat\n\n")
        scope.cancel()

    async def _may_still(self) -> bool:
        """Whether whoever reads is signed in, with the roles that let them in."""
        token = self._request.cookies.get(cookie(self._request), "")
        session = await found(self._context, token, used=False)
        return session is not None and session.roles == self._roles

    async def _end(self, scope: trio.CancelScope) -> None:
        await self._context.ending.wait()
        scope.cancel()


def states(request: Request, state: Callable[[], Awaitable[str]]) -> EventStream:
    """``changed``, with the state that a page is to be of; what is new in it, the page asks for itself."""

    async def produce(emit: Emit) -> None:
        told = None
        while True:
            if (now := await state()) != told:
                told = now
                await emit("changed", now)
            await trio.sleep(LOOK)

    return EventStream(request, produce)


def _emitting(say: Callable[[str], Awaitable[None]]) -> Emit:
    async def emit(name: str, value: Any) -> None:
        await say(f"event: {name}\ndata: {json.dumps(value, separators=(',', ':'))}\n\n")

    return emit
