"""From a request to its answer: who asks, what is asked, whether that is allowed, what it comes to."""

import dataclasses
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, TypeAlias

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from engine.observe.events import event
from engine.observe.measures import Counter
from engine.web.api.callers import Caller
from engine.web.api.jobs import Job
from engine.web.api.matching import Turns, check, is_same, tag_of
from engine.web.api.operation import Call, Operation
from engine.web.api.problems import MEDIA, Problem, translated
from engine.web.api.reading import body_of, path_of, query_of
from engine.web.http import Bounds

_ANSWERS = Counter("postroad_api_requests_total", "Requests to the admin API.", ("operation", "status"))

_PRIVATE = {"cache-control": "no-store", "x-content-type-options": "nosniff"}

_MOST = 2**30
"""Octets of a request that reach us at all: what is more than an operation takes we refuse in our own words, unread."""

_KEY = 200
"""Characters of an Idempotency-Key."""


Asks: TypeAlias = Callable[[Request], Awaitable[Caller]]
"""Finds out who asks. Problem."""

Calls: TypeAlias = Callable[..., Call]
"""Makes one of an operation and a caller, and the ``key`` and ``digest`` of the request."""


class Endpoint:
    """All operations of one path, as ASGI has it: so it sees every method."""

    def __init__(self, operations: Mapping[str, Operation], caller: Asks, call: Calls, turns: Turns) -> None:
        self._operations = operations
        self._turns = turns
        self._caller = caller
        self._call = call
        self.bounds = Bounds(_MOST, max(one.seconds for one in operations.values()))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        operation = self._operations.get("GET" if request.method == "HEAD" else request.method)
        caller: Caller | None = None
        try:
            if operation is None:
                raise self._not_allowed()
            caller = await self._caller(request)
            response = await self._answer(operation, caller, request)
        except ClientDisconnect:
            return
        except Exception as error:
            response = problem_response(_problem(error))
        name = operation.name if operation else "none"
        _ANSWERS.of(name, str(response.status_code)).value += 1
        if caller is not None and operation is not None and operation.method != "GET":
            peer = request.client.host if request.client else None
            event("api-called", token=caller.name, operation=name, status=response.status_code, peer=peer)
        await response(scope, receive, send)

    def _not_allowed(self) -> Problem:
        allowed = ", ".join(sorted({*self._operations, *(["HEAD"] if "GET" in self._operations else [])}))
        return Problem(405, f"there is {allowed}", headers={"allow": allowed})

    async def _answer(self, operation: Operation, caller: Caller, request: Request) -> Response:
        caller.needs(operation.scope, by_domain=operation.by_domain)
        shape, octets = operation.shape, await _content(request, operation.body)
        asked: dict[str, Any] = {}
        if shape.path is not None:
            asked["path"] = path_of(shape.path, request.path_params)
        if (query := query_of(shape.query, request.scope["query_string"])) is not None:
            asked["query"] = query
        if (body := body_of(shape.body, octets, request.headers.get("content-type", ""))) is not None:
            asked["body"] = body
        call = self._call(operation, caller, key=_key(request, operation), digest=_digest(request, octets))
        return _response(operation, await self._done(operation, call, asked, request), request)

    async def _done(self, operation: Operation, call: Call, asked: dict[str, Any], request: Request) -> Any:
        field = request.headers.get("if-match") if operation.method != "GET" else None
        if operation.changes is None and field is None:
            return await operation.function(call, **asked)
        async with self._turns.of(operation, asked):
            if field is not None:
                await check(field, operation, call, asked)
                call = dataclasses.replace(call, is_conditional=True)
            return await operation.function(call, **asked)


def _problem(error: Exception) -> Problem:
    found = translated(error)
    if found is None:
        event.bug("api", error)
        return Problem(500)
    return found


def problem_response(problem: Problem) -> Response:
    content = msgspec.json.encode(problem.details)
    return Response(content, problem.status, {**_PRIVATE, **problem.headers, "content-type": MEDIA})


class NotThere:
    """What is below the path of the API, but is nothing that there is; as ASGI has it, for every method."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        _ANSWERS.of("none", "404").value += 1
        await problem_response(Problem(404))(scope, receive, send)


def _response(operation: Operation, value: Any, request: Request) -> Response:
    headers = dict(_PRIVATE)
    if value is None:
        return Response(status_code=204, headers=headers)
    status = operation.status
    if isinstance(value, Job) and operation.method != "GET":
        status = 202 if value.state == "running" else 200
        headers["location"] = f"/api/v1/jobs/{value.id}"
    content = msgspec.json.encode(value)
    if operation.method == "GET":
        headers["etag"] = tag = tag_of(content)
        if is_same(request.headers.get("if-none-match", ""), tag):
            return Response(status_code=304, headers=headers)
    return Response(content, status, {**headers, "content-type": "application/json"})


async def _content(request: Request, limit: int) -> bytes:
    """Problem when there is more than the operation takes."""
    announced = 0
    with suppress(ValueError):
        announced = int(request.headers.get("content-length", "0"))
    found = bytearray()
    if announced <= limit:
        async for chunk in request.stream():
            found += chunk
            if len(found) > limit:
                break
    if max(announced, len(found)) > limit:
        raise Problem(413, f"more than {limit:,} octets", headers={"connection": "close"})
    return bytes(found)


def _key(request: Request, operation: Operation) -> str:
    key = request.headers.get("idempotency-key", "")
    if len(key) > _KEY:
        raise Problem(400, f"an Idempotency-Key has {_KEY} characters at most")
    return key if operation.is_job else ""


def _digest(request: Request, octets: bytes) -> bytes:
    asked = f"{request.method} {request.scope['path']}?".encode() + request.scope["query_string"] + b"\0" + octets
    return hashlib.sha256(asked).digest()
