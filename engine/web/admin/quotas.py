"""Quotas: who is how full, who will be, and how much an account, a group's members or a domain's accounts may hold."""

from functools import partial

import trio
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from engine.directory import ADMINISTRATOR, HELPDESK, Embedded, Limit
from engine.growth import LEAST
from engine.operations import filling, quotas
from engine.operations.filling import FillingRow
from engine.operations.quotas import QuotaRow
from engine.storage.environment import StorageError
from engine.web.admin.accounts import number_of, size_of
from engine.web.admin.groups import domain_of
from engine.web.admin.scope import administered, changeable, operator, shown_domains
from engine.web.context import context_of
from engine.web.languages import translator
from engine.web.means import reading
from engine.web.pages.account import embedded, own
from engine.web.pages.groups import tried
from engine.web.pages.signing_in import field
from engine.web.rendering import page
from engine.web.sessions import require

SHOWN = 100
"""Accounts that are listed, the fullest."""


@require(HELPDESK)
async def _show(request: Request) -> Response:
    return await _shown(request)


@require(ADMINISTRATOR)
async def _set(request: Request) -> Response:
    why = await _put(request)
    return await _shown(request, 422, why=why) if why else RedirectResponse("/admin/quotas?done=set", 303)


async def _shown(request: Request, status: int = 200, *, why: str = "") -> Response:
    _ = translator(request)
    rows, soon = await trio.to_thread.run_sync(_rows, request)
    domains, roles, directory = shown_domains(request), own(request).roles, embedded(request)
    domain = request.query_params.get("domain", "")
    if domain in domains:
        rows = [row for row in rows if domain_of(row.address) == domain]
        soon = [row for row in soon if domain_of(row.address) == domain]
    return page(
        request,
        "admin/quotas.html",
        status,
        rows=rows[:SHOWN],
        count=len(rows),
        soon=soon,
        within=int(filling.SOON),
        least=LEAST,
        domains=domains,
        domain=domain if domain in domains else "",
        names=[
            *(name for name in domains if roles.administers(name)),
            *(one.address for one in directory.groups() if roles.administers(domain_of(one.address))),
        ],
        done=_("The quota is set.") if request.query_params.get("done") else "",
        why=why,
    )


def _rows(request: Request) -> tuple[list[QuotaRow], list[FillingRow]]:
    """Blocks. Nothing is known while the mailboxes cannot be read."""
    context, by = context_of(request), operator(request, HELPDESK)
    directory: Embedded = embedded(request)
    settings = context.config.quota
    try:
        rows = quotas.listed(directory, reading(context), settings, by)
        return rows, filling.soon(directory, context.growth, settings, by)
    except StorageError:
        return [], []


async def _put(request: Request) -> str:
    """Say how much; why it was not done, if it was not."""
    _ = translator(request)
    name = (await field(request, "name")).strip()
    directory = administered(request, domain_of(name))
    if directory.account(name) is not None:
        changeable(request, name)
    try:
        limit = Limit(size_of(await field(request, "size")), number_of(await field(request, "messages")))
    except ValueError:
        return _("Write a size like 5 GB, and a number of messages.")
    _done, why = await tried(request, partial(quotas.put, directory, operator(request), name, limit))
    return why


ROUTES = [
    Route("/admin/quotas", _show, methods=["GET"]),
    Route("/admin/quotas", _set, methods=["POST"]),
]
