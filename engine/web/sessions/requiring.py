"""Who may have a page: a decorator of what answers. It sees to it as well that a change comes from a page of ours."""

import functools
import hmac
import urllib.parse
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from engine.directory import USER
from engine.web.context import context_of
from engine.web.sessions.session import Session, session_of
from engine.web.text import N_

Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing (RFC 9110 9.2.1)."""

FIELDS, FIELD = 1000, 64 * 1024
"""What a form may have: so many fields, of so many octets each."""


def require(role: str = USER, *, largest: int = FIELD, files: int = 0) -> Callable[[Endpoint], Endpoint]:
    """Let an endpoint answer those only who have signed in and have the role, for some domain at least.

    For which domains is asked of ``session_of(request).roles``. A request that changes something must show the token
    of the session, in the field ``csrf`` of its form or the header ``x-csrf-token``. ``largest``: octets of a field;
    ``files``: that a form may have.
    """

    def guarded(endpoint: Endpoint) -> Endpoint:
        @functools.wraps(endpoint)
        async def answer(request: Request) -> Response:
            session = session_of(request)
            if session is None:
                return _turned_away(request)
            if not session.roles.has(role):
                raise HTTPException(403)
            if request.method not in _SAFE and not await _is_genuine(request, session, largest, files):
                raise HTTPException(403, N_("this did not come from a page of ours; load the page again"))
            if session.roles.given:
                request.state.changes = context_of(request).changed  # before anything is read that a page will show
            return await endpoint(request)

        return answer

    return guarded


def _turned_away(request: Request) -> Response:
    """To where one signs in; a script is told that it has to."""
    if request.method in _SAFE and "text/html" in request.headers.get("Accept", ""):
        wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/sign-in?{urllib.parse.urlencode({'next': wanted})}", 303)
    raise HTTPException(401, N_("sign in first"))


def is_ours(request: Request, session: Session | None = None) -> bool:
    """Whether a request comes from a page of ours, by what browsers alone say, and no script can change.

    With a session the header ``x-csrf-token`` must be that of it as well.
    """
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site", "same-origin")
    if origin is not None and not _is_here(request, origin):
        return False
    if site not in ("same-origin", "none"):
        return False
    return session is None or _same(request.headers.get("x-csrf-token", ""), session.csrf)


def _is_here(request: Request, origin: str) -> bool:
    here = urllib.parse.urlsplit(origin)
    return origin == context_of(request).origin(request) or (bool(here.netloc) and here.netloc == request.url.netloc)


async def _is_genuine(request: Request, session: Session, largest: int, files: int) -> bool:
    if not is_ours(request):
        return False
    if "x-csrf-token" in request.headers:
        return _same(request.headers["x-csrf-token"], session.csrf)
    form = await request.form(max_files=files, max_fields=FIELDS, max_part_size=largest)
    shown = form.get("csrf", "")
    return isinstance(shown, str) and _same(shown, session.csrf)


def _same(shown: str, kept: str) -> bool:
    return hmac.compare_digest(shown.encode("utf-8", "surrogatepass"), kept.encode())
