"""Administration: how the server is, the pipeline as it runs, domains and accounts, the queue, and single messages."""

from collections.abc import Sequence

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from engine.directory import AUDITOR, HELPDESK, OWNER
from engine.web.admin import (
    accounts,
    audit,
    auditing,
    bans,
    certificates,
    charts,
    dns,
    domains,
    editing,
    holds,
    messages,
    moving,
    oversight,
    overview,
    passing,
    pipeline,
    quarantine,
    queue,
    reported,
    shaping,
    suppression,
)
from engine.web.admin.standing import Standing
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
        *pipeline.routes(watch, Standing(context)),
        *passing.routes(context),
        *charts.ROUTES,
        *reported.ROUTES,
        *domains.ROUTES,
        *accounts.ROUTES,
        *queue.ROUTES,
        *messages.ROUTES,
        *quarantine.ROUTES,
        *suppression.ROUTES,
        *bans.ROUTES,
        *shaping.ROUTES,
        *dns.ROUTES,
        *certificates.ROUTES,
        *editing.ROUTES,
        *moving.routes(context),
        *oversight.ROUTES,
        *auditing.ROUTES,
        *holds.ROUTES,
        *audit.ROUTES,
    ]


@require()
async def _start(request: Request) -> Response:
    """To what whoever it is may see first."""
    roles = own(request).roles
    for role, first in ((OWNER, "overview"), (HELPDESK, "accounts"), (AUDITOR, "oversight")):
        if roles.has(role):
            return RedirectResponse(f"/admin/{first}", 303)
    raise HTTPException(403)
