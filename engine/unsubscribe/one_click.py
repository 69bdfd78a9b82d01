"""What a web server does with a request for a link: no socket here, so that any server can mount it.

By POST with the body of RFC 8058 the address is taken off. By GET there is a page with a button: programs that look at
links before people do must not take anybody off (RFC 8058 3.2, 6).
"""

import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TypeAlias
from urllib.parse import parse_qsl

from engine.unsubscribe.links import Expired, Forged, Link, verify

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
    """What it is to send, as text/html in UTF-8, with ``fields`` beside."""

    code: int
    body: bytes
    fields: tuple[tuple[str, str], ...] = (
        ("Content-Type", "text/html; charset=utf-8"),
        ("Cache-Control", "no-store"),
        ("Referrer-Policy", "no-referrer"),  # the link is a secret of the address
        ("X-Robots-Tag", "noindex"),
        ("Content-Security-Policy", "default-src 'none'; form-action 'self'; frame-ancestors 'none'"),
    )


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
            return _page(404, "There is no such link.")
        except Expired:
            return _page(410, "This link is too old.")
        if request.method in ("GET", "HEAD"):
            return _page(200, f"No more mail to {link.address}?", button=True)
        if request.method != "POST":
            return _page(405, "Only GET and POST.", ("Allow", "GET, HEAD, POST"))
        if not is_one_click(request):
            return _page(400, "This is no request to unsubscribe.")
        await self.remove(link)
        return _page(200, f"{link.address} gets no more of this mail.")


def is_one_click(request: Request) -> bool:
    """Whether the body says so, as application/x-www-form-urlencoded or multipart/form-data (RFC 8058 3.2)."""
    body = request.body[: BODY_LIMIT + 1]
    if len(body) > BODY_LIMIT:
        return False
    if request.content_type.lower().startswith("multipart/form-data"):
        return _PART.search(body) is not None
    given = parse_qsl(body.decode("ascii", "replace"), max_num_fields=20, keep_blank_values=True) if body else []
    return any(name.lower() == "list-unsubscribe" and value.lower() == "one-click" for name, value in given)


def _page(code: int, text: str, *fields: tuple[str, str], button: bool = False) -> Answer:
    form = (
        '<form method="post"><input type="hidden" name="List-Unsubscribe" value="One-Click">'
        "<button>Unsubscribe</button></form>"
    )
    html = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        'content="width=device-width"><title>Unsubscribe</title></head>\n'
        f"<body><p>{escape(text)}</p>{form if button else ''}</body></html>\n"
    )
    answer = Answer(code, html.encode("utf-8", "replace"))
    return Answer(code, answer.body, (*answer.fields, *fields))
