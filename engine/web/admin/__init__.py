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
    bulk,
    changes,
    domains,
    groups,
    importing,
    messages,
    overview,
    queue,
    quotas,
    sharing,
)
from engine.web.admin.growing import Growing
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
    ]


@require()
async def _start(request: Request) -> Response:
    """To what whoever it is may see first."""
    roles = own(request).roles
    if roles.has(HELPDESK):
        return RedirectResponse("/admin/overview" if roles.has(OWNER) else "/admin/accounts", 303)
    if not roles.has(AUDITOR):
        raise HTTPException(403)
    return RedirectResponse("/admin/changes", 303)
