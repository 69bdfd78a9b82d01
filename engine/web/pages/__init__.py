"""Pages that everybody has: signing in and out, and one's own account."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from engine.web.context import Context
from engine.web.pages import (
    account,
    delegates,
    groups,
    invited,
    moving,
    passkeys,
    providers,
    second_factor,
    signing_in,
)
from engine.web.sessions import session_of


def routes(context: Context) -> Sequence[BaseRoute]:
    return [
        Route("/", _start, methods=["GET"]),
        *signing_in.ROUTES,
        *providers.ROUTES,
        *account.ROUTES,
        *second_factor.ROUTES,
        *passkeys.ROUTES,
        *moving.routes(context),
        *invited.ROUTES,
        *groups.ROUTES,
        *delegates.ROUTES,
    ]


async def _start(request: Request) -> Response:
    """To where somebody most likely wants to go."""
    session = session_of(request)
    if session is None:
        return RedirectResponse("/sign-in", 303)
    return RedirectResponse("/admin" if session.roles.has("helpdesk") else "/mail/", 303)
