"""Domains: what is local here, how much is in each, and how much may be."""

from dataclasses import dataclass

import trio
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from engine.directory import ADMINISTRATOR, HELPDESK, OWNER, AlreadyThere, DomainLimits, InUse, Invalid, Limit, NotFound
from engine.operations import domains, quotas
from engine.web.admin.accounts import number_of, size_of, usages_of
from engine.web.admin.scope import administered, operator, shown_domains
from engine.web.context import context_of
from engine.web.languages import translator
from engine.web.pages.account import embedded, own
from engine.web.pages.signing_in import field
from engine.web.rendering import page
from engine.web.sessions import require


@dataclass(frozen=True, slots=True)
class Row:
    """A domain in the list."""

    name: str
    configured: bool
    accounts: int
    octets: int
    limits: DomainLimits
    administered: bool


def _rows(request: Request) -> list[Row]:
    directory, context, roles = embedded(request), context_of(request), own(request).roles
    found, seen = [], set(shown_domains(request))
    for domain in directory.domains():
        if domain.name in seen:
            numbers = directory.numbers(domain.name)
            octets = sum(one.size for one in usages_of(context, numbers) if one is not None)
            limits = directory.domain_limits(domain.name)
            may = roles.administers(domain.name)
            found.append(Row(domain.name, domain.configured, len(numbers), octets, limits, may))
    return found


async def _listed(request: Request, status: int = 200, *, why: str = "") -> Response:
    rows = await trio.to_thread.run_sync(_rows, request)
    _ = translator(request)
    done = {"added": _("The domain is local now."), "quota": _("The quota is set.")}
    return page(
        request,
        "admin/domains.html",
        status,
        rows=rows,
        is_owner=own(request).roles.has(OWNER),
        done=done.get(request.query_params.get("done", ""), ""),
        why=why,
    )


@require(HELPDESK)
async def _list(request: Request) -> Response:
    return await _listed(request)


@require(OWNER)
async def _add(request: Request) -> Response:
    _ = translator(request)
    try:
        name = (await field(request, "name")).strip()
        await trio.to_thread.run_sync(domains.add, embedded(request), operator(request), name)
    except AlreadyThere:
        return await _listed(request, 422, why=_("The domain is local already."))
    except Invalid:
        return await _listed(request, 422, why=_("This is no name of a domain."))
    return RedirectResponse("/admin/domains?done=added", 303)


@require(OWNER)
async def _remove(request: Request) -> Response:
    _ = translator(request)
    name = await field(request, "name")
    try:
        await trio.to_thread.run_sync(domains.remove, embedded(request), operator(request), name)
    except InUse:
        return await _listed(request, 422, why=_("It still has accounts or aliases, or stands in pipeline.toml."))
    except (Invalid, NotFound):
        return await _listed(request, 422, why=_("This domain is not there."))
    return RedirectResponse("/admin/domains", 303)


@require(ADMINISTRATOR)
async def _set_quota(request: Request) -> Response:
    """What each account may hold; what all may together, the owner says."""
    _ = translator(request)
    name = await field(request, "name")
    directory, is_owner = administered(request, name), own(request).roles.has(OWNER)
    try:
        each = Limit(size_of(await field(request, "size")), number_of(await field(request, "messages")))
        total = Limit(size_of(await field(request, "total")), None)
    except ValueError:
        return await _listed(request, 422, why=_("Write a size like 5 GB, and a number of messages."))
    try:
        await trio.to_thread.run_sync(
            quotas.put, directory, operator(request), name, each, total if is_owner else None
        )  # fmt: skip
    except NotFound:
        return await _listed(request, 422, why=_("This domain is not there."))
    return RedirectResponse("/admin/domains?done=quota", 303)


ROUTES = [
    Route("/admin/domains", _list, methods=["GET"]),
    Route("/admin/domains", _add, methods=["POST"]),
    Route("/admin/domains/remove", _remove, methods=["POST"]),
    Route("/admin/domains/quota", _set_quota, methods=["POST"]),
]
