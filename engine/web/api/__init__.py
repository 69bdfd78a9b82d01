"""The admin API: what operators do, for programs that show a token. `rows` has all that can be asked."""

import re
from collections.abc import Sequence
from functools import cache

import msgspec
import trio
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route, Router

from engine.login import Tokens
from engine.web.api.answering import Endpoint, NotThere
from engine.web.api.callers import Caller, Callers
from engine.web.api.jobs import FOLDER, Jobs
from engine.web.api.matching import Turns
from engine.web.api.openapi import BASE, document
from engine.web.api.operation import Call, Operation, by_path
from engine.web.api.rows import PARTS, ROWS
from engine.web.context import Context

_AT_ONCE = 8
"""Threads in which requests look into stores."""


def routes(context: Context) -> Sequence[BaseRoute]:
    """All of it, as a part of the site."""
    return Api(context).routes()


class _Below(Mount):
    """All paths that begin so, those with a line break too: what is wrong with them is told as everywhere here."""

    def __init__(self, path: str, app: Router) -> None:
        super().__init__(path, app)
        self.path_regex = re.compile(self.path_regex.pattern, re.DOTALL)


class Api:
    """One a process. StorageError."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.tokens = Tokens.open(context.data)
        self.jobs = Jobs.open(context.data, context.stores.here.process.name)
        self._callers = Callers(context.login, self.tokens, context.allowances)
        self._turns = Turns(context.data / FOLDER / "turns")
        self._threads = trio.CapacityLimiter(_AT_ONCE)

    def routes(self) -> list[BaseRoute]:
        endpoints = [
            Route(path, Endpoint(some, self._who, self._call, self._turns)) for path, some in by_path(ROWS).items()
        ]
        below = Router([_described(), *endpoints], redirect_slashes=False, default=NotThere())
        return [_Below(BASE, below)]

    async def _who(self, request: Request) -> Caller:
        return await self._callers.of(request.headers, self._context.peer(request))

    def _call(self, operation: Operation, caller: Caller, *, key: str, digest: bytes) -> Call:
        return Call(operation.name, self._context, caller, self.jobs, self._threads, key, digest)

    def close(self) -> None:
        self.tokens.close()
        self.jobs.close()
        self._turns.close()


def _described() -> Route:
    """The document that says what there is: no secret, so nobody needs a token for it."""
    octets = _document()

    def told(_: Request) -> Response:
        return Response(octets, headers={"content-type": "application/json", "cache-control": "max-age=300"})

    return Route("/openapi.json", told)


@cache
def _document() -> bytes:
    return msgspec.json.encode(document(ROWS, PARTS))
