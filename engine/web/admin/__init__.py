"""Administration: how the server is, the pipeline as it runs, domains and accounts, the queue, and single messages."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from engine.directory import HELPDESK, OWNER
from engine.web.admin import accounts, charts, domains, messages, overview, queue, reported
from engine.web.admin.watch import Watch
from engine.web.context import Context
from engine.web.pages.account import own
from engine.web.sessions import require


def routes(context: Context) -> Sequence[BaseRoute]:
    watch = Watch(context)
    context.tasks.append(watch.run)
    return [
        Route("/admin", _start, methods=["GET"]),
        *overview.routes(watch),
        *charts.ROUTES,
        *reported.ROUTES,
        *domains.ROUTES,
        *accounts.ROUTES,
        *queue.ROUTES,
        *messages.ROUTES,
    ]


@require(HELPDESK)
async def _start(request: Request) -> Response:
    """To what whoever it is may see first."""
    return RedirectResponse("/admin/overview" if own(request).roles.has(OWNER) else "/admin/accounts", 303)
