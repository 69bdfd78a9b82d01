"""An operation of the API: one row says its method, its path, the scope that a token needs, and what does it.

The function's annotations say the rest, and the OpenAPI document is made of them:

    async def show(call: Call, *, path: OneMessage) -> Message:
        \"\"\"Show a message.\"\"\"

``path``, ``query`` and ``body`` are given to functions that have such a parameter, each a struct that forbids unknown
fields and says its limits by ``msgspec.Meta``. The first line of the docstring is the summary, what follows the
description. What it returns is the answer, as JSON; None is 204. A ``Problem`` that it raises is the answer too, and so
are the errors of the directory and of stores. Where ``changes`` names the function of a GET, a request may say which
answer of that it was made upon (If-Match, RFC 9110 13.1.1), and is refused when that is not so any more. Where
``by_domain`` is said, the function itself sees to it that a token which is limited to domains (``call.caller.domains``)
knows and does nothing elsewhere; all others are refused it.
"""

import inspect
import re
import typing
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, Literal, TypeAlias, TypeVar

import msgspec
import trio

from engine.config import Config
from engine.web.api.callers import Caller
from engine.web.api.jobs import Job, Jobs, Work
from engine.web.context import Context

T = TypeVar("T")
Method: TypeAlias = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]

BODY = 64 * 1024
"""Octets of a request, where nothing else is said."""

SECONDS = 60.0
"""To the end of an answer. What may take longer is a job."""


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The base of what is asked for: of paths, queries and bodies."""


class Page(msgspec.Struct, Generic[T], frozen=True):
    """A part of a list. ``next``: the cursor by which the part behind it is asked for; empty: there is none."""

    items: list[T]
    next: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """One request, to whoever answers it."""

    name: str  # of the operation
    context: Context
    caller: Caller
    jobs: Jobs
    threads: trio.CapacityLimiter
    key: str = ""  # Idempotency-Key
    digest: bytes = b""  # of what was asked: method, path, body
    is_conditional: bool = False  # whether it came with an If-Match, which has held

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self.context.config

    async def blocking(self, function: Callable[..., T], *arguments: Any) -> T:
        """What a function gives that blocks: in a thread, and only a few at once."""
        return await trio.to_thread.run_sync(lambda: function(*arguments), limiter=self.threads)

    async def job(self, work: Work) -> Job[Any]:
        """Begin long work; what is known of it a moment later. Problem."""
        return await self.jobs.begun(self.caller.id, self.name, work, self.key, self.digest)


@dataclass(frozen=True, slots=True)
class Shape:
    """What the function of an operation takes and gives."""

    path: type[Any] | None
    query: type[Any] | None
    body: type[Any] | None
    answer: Any  # None: nothing


@dataclass(frozen=True)
class Operation:
    """One row. ``path`` has names in braces, as those of its ``path`` struct."""

    method: Method
    path: str
    scope: str  # of engine/operations/scopes.py; empty: any good token will do
    function: Callable[..., Awaitable[Any]]
    by_domain: bool = False
    status: int = 200
    problems: tuple[int, ...] = ()  # what it answers, besides what all do
    changes: Callable[..., Awaitable[Any]] | None = None  # the GET of what it changes: If-Match is about its ETag
    body: int = BODY  # octets
    seconds: float = SECONDS

    @property
    def name(self) -> str:
        """What it is called in the OpenAPI document, in measures and in the log."""
        return self.function.__name__

    @property
    def part(self) -> str:
        """The part of the API that it belongs to."""
        return self.path.split("/")[1]

    @cached_property
    def shape(self) -> Shape:
        hints = typing.get_type_hints(self.function, include_extras=True)
        answer = hints.get("return")
        path, query, body = (hints.get(name) for name in ("path", "query", "body"))
        return Shape(path, query, body, None if answer is type(None) else answer)

    @cached_property
    def texts(self) -> tuple[str, str]:
        """Summary and description."""
        summary, _, description = inspect.cleandoc(self.function.__doc__ or "").partition("\n\n")
        return " ".join(summary.split()), " ".join(description.split())

    @property
    def is_job(self) -> bool:
        """Whether it begins long work."""
        return typing.get_origin(self.shape.answer) is Job and self.method != "GET"

    @property
    def parameters(self) -> list[str]:
        """Names in its path."""
        return re.findall(r"{([a-z_]+)}", self.path)


def by_path(rows: typing.Iterable[Operation]) -> Mapping[str, Mapping[str, Operation]]:
    """Operations by path and method. What has no braces comes first, so that a name of a part is no parameter."""
    found: dict[str, dict[str, Operation]] = {}
    for row in sorted(rows, key=lambda row: row.path.replace("{", "~")):
        found.setdefault(row.path, {})[row.method] = row
    return found
