"""What a web server does with a request for a link: no socket here, so that any server can mount it.

By POST with the body of RFC 8058 the address is taken off. By GET there is to be a page with a button: programs that
look at links before people do must not take anybody off (RFC 8058 3.2, 6).
"""

import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias
from urllib.parse import parse_qsl

from engine.protocols.sealed import Expired, Forged
from engine.unsubscribe.links import Link, verify

BODY_LIMIT = 4096
"""Octets of a request's body that are read: what is wanted has 26, or some more in multipart/form-data."""

_PART = re.compile(
    rb'content-disposition:[ \t]*form-data;[^\r\n]*\bname="?list-unsubscribe"?[^\r\n]*\r?\n(?:[^\r\n]+\r?\n)*\r?\n'
    rb"[ \t]*one-click[ \t]*\r?\n",
    re.IGNORECASE,
)

Removal: TypeAlias = Callable[[Link], Awaitable[None]]
"""Takes the address of a link off its list, for good; does nothing more the second time. An error of it is told to the
program that clicked, which may try again."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the server read. ``path`` is what stands behind the part of the URL that is this handler's."""

    method: str
    path: str
    content_type: str = ""
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Answer:
    """What becomes of it. `ask`: a page with a button. `gone`: it is done. All others did nothing."""

    what: Literal["ask", "gone", "unknown", "old", "method", "nonsense"]
    link: Link | None = None

    @property
    def code(self) -> int:
        """That of the response (RFC 9110 15)."""
        return _CODES[self.what]


_CODES = {"ask": 200, "gone": 200, "unknown": 404, "old": 410, "method": 405, "nonsense": 400}


@dataclass(frozen=True, slots=True)
class Clicks:
    """Answers requests for links that were signed with one of ``secrets``, at most ``max_age`` seconds ago."""

    secrets: Sequence[bytes]
    max_age: float
    remove: Removal
    clock: Callable[[], float] = time.time

    async def answer(self, request: Request) -> Answer:
        """Never a redirect, never a login (RFC 8058 3.2). Raises what ``remove`` raises."""
        try:
            link = verify(request.path.strip("/").partition("?")[0], self.secrets, self.clock(), self.max_age)
        except Forged:
            return Answer("unknown")
        except Expired:
            return Answer("old")
        if request.method in ("GET", "HEAD"):
            return Answer("ask", link)
        if request.method != "POST":
            return Answer("method", link)
        if not is_one_click(request):
            return Answer("nonsense", link)
        await self.remove(link)
        return Answer("gone", link)


def is_one_click(request: Request) -> bool:
    """Whether the body says so, as application/x-www-form-urlencoded or multipart/form-data (RFC 8058 3.2)."""
    body = request.body[: BODY_LIMIT + 1]
    if len(body) > BODY_LIMIT:
        return False
    if request.content_type.lower().startswith("multipart/form-data"):
        return _PART.search(body) is not None
    given = parse_qsl(body.decode("ascii", "replace"), max_num_fields=20, keep_blank_values=True) if body else []
    return any(name.lower() == "list-unsubscribe" and value.lower() == "one-click" for name, value in given)
