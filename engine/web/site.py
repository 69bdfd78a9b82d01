"""The site: one application of all its parts, with what holds for each of them."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine.directory import Unavailable
from engine.links.request import Unanswered
from engine.observe.events import event
from engine.operations.operator import Forbidden
from engine.storage.environment import StorageError
from engine.web import admin, api, mail, pages
from engine.web import open as open_
from engine.web.context import Context, context_of
from engine.web.forwarding import Forwarding
from engine.web.languages import translated, translator, worded
from engine.web.moves import PLACES
from engine.web.rendering import page
from engine.web.sessions.session import Sessioned
from engine.web.static_files import StaticFiles
from engine.web.text import Text

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; frame-src 'self'; manifest-src 'self'; form-action 'self'; frame-ancestors 'none'; "
    "base-uri 'none'"
)
"""No script, style or frame but from files of ours (https://www.w3.org/TR/CSP3/)."""

_HEADERS = {
    b"content-security-policy": CSP.encode(),
    b"cache-control": b"no-store",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"permissions-policy": b"camera=(), geolocation=(), microphone=()",
    b"referrer-policy": b"same-origin",  # with none at all, browsers would not say from where a form comes
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
}
"""What every response has, unless it says otherwise itself."""

_HSTS = (b"strict-transport-security", b"max-age=31536000")


class Part(Protocol):
    """A package of the site."""

    def routes(self, context: Context) -> Sequence[BaseRoute]: ...


PARTS: Sequence[Part] = (pages, admin, mail, open_, api)
"""All that there are; what comes first is asked first."""


def site(context: Context, parts: Iterable[Part]) -> Starlette:
    """The application."""
    static = StaticFiles()
    found = Starlette(
        routes=[static.route(), *(route for part in parts for route in part.routes(context))],
        middleware=[
            Middleware(Headers),
            Middleware(Forwarding, hand_on=context.hand_on, places=PLACES),
            Middleware(Sessioned),
        ],
        exception_handlers={
            HTTPException: refused,
            Forbidden: forbidden,
            Unavailable: unavailable,
            Unanswered: unavailable,
            StorageError: unavailable,
        },
    )
    found.router.redirect_slashes = False
    found.state.context = context
    found.state.static = static
    return found


class Headers:
    """Middleware that gives each response what makes a browser careful."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                said = {name.lower() for name, _ in headers}
                headers += [pair for pair in _HEADERS.items() if pair[0] not in said]
                if scope.get("scheme") == "https":
                    headers.append(_HSTS)
                message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, receive, with_headers)


async def refused(request: Request, error: Exception) -> Response:
    """What is not there, or not for whoever asks."""
    assert isinstance(error, HTTPException)
    return told(request, error.status_code, error.detail, error.headers)


async def forbidden(request: Request, error: Exception) -> Response:
    """An operation says that it is not for whoever asks."""
    del error
    return told(request, 403, "you may not do this")


async def unavailable(request: Request, error: Exception) -> Response:
    """Something that is needed cannot be had now; what, is for the log of who runs the server."""
    if context_of(request).troubles.is_news(error):
        event("page-failed", path=request.url.path, error=str(error))
    return told(request, 503, "try again in a moment")


def told(request: Request, status: int, detail: str, headers: object = None) -> Response:
    """A page for people, JSON for programs."""
    if "text/html" in request.headers.get("Accept", ""):
        response: Response = page(request, "error.html", status, code=status, what=_what(request, status, detail))
    else:
        words = translated(request, detail) if isinstance(detail, Text) else worded(request, detail)
        response = JSONResponse({"status": status, "detail": words}, status)
    if isinstance(headers, dict):
        response.headers.update(headers)
    return response


def _what(request: Request, status: int, detail: str) -> str:
    """An error in words: ours, if they are meant for people."""
    _ = translator(request)
    if isinstance(detail, Text):
        return translated(request, detail)
    known = {
        403: _("You may not do this."),
        404: _("There is nothing here."),
        413: _("This is too large."),
        503: _("Something is not ready. Try again in a moment."),
    }
    return known.get(status, _("This did not work."))
