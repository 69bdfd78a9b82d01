"""Administration: how the server is, the pipeline as it runs, domains and accounts, the queue, and single messages."""

from collections.abc import Sequence

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from engine.directory import AUDITOR, HELPDESK, OWNER
from engine.web.admin import (
    account,
    accounts,
    aliases,
    audit,
    auditing,
    bans,
    bulk,
    certificates,
    changes,
    charts,
    dns,
    domains,
    editing,
    groups,
    holds,
    importing,
    messages,
    moving,
    oversight,
    overview,
    passing,
    pipeline,
    quarantine,
    queue,
    quotas,
    reported,
    shaping,
    sharing,
    suppression,
)
from engine.web.admin.growing import Growing
from engine.web.admin.standing import Standing
from engine.web.admin.watch import Watch
from engine.web.context import Context
from engine.web.pages.account import own
from engine.web.sessions import require


def routes(context: Context) -> Sequence[BaseRoute]:
    watch = Watch(context)
    context.tasks += [watch.run, Growing(context).run]
    return [
        Route("/admin", _start, methods=["GET"]),
        *overview.routes(watch),
        *pipeline.routes(watch, context.one(Standing)),
        *passing.routes(context),
        *charts.ROUTES,
        *reported.ROUTES,
        *domains.ROUTES,
        *accounts.ROUTES,
        *account.ROUTES,
        *bulk.ROUTES,
        *importing.ROUTES,
        *groups.ROUTES,
        *aliases.ROUTES,
        *sharing.ROUTES,
        *quotas.ROUTES,
        *changes.ROUTES,
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
