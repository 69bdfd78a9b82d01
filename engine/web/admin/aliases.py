"""Aliases: addresses that stand for others, here or elsewhere, and what catches all that is not known in a domain."""

from functools import partial

import trio
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from engine.directory import ADMINISTRATOR, HELPDESK
from engine.operations import aliases
from engine.web.admin.groups import domain_of
from engine.web.admin.scope import administered, operator, shown_domains
from engine.web.languages import translator
from engine.web.pages.account import embedded, own
from engine.web.pages.groups import addresses_in, tried
from engine.web.pages.signing_in import field
from engine.web.rendering import page
from engine.web.sessions import require


@require(HELPDESK)
async def _list(request: Request) -> Response:
    return await _listed(request)


async def _listed(request: Request, status: int = 200, *, why: str = "") -> Response:
    _ = translator(request)
    roles, domains, directory = own(request).roles, shown_domains(request), embedded(request)
    found = await trio.to_thread.run_sync(aliases.listed, directory, operator(request, HELPDESK))
    done = {"added": _("The alias is there."), "changed": _("The alias is changed.")}
    return page(
        request,
        "admin/aliases.html",
        status,
        rows=[one for one in found if domain_of(one.address) in domains],
        outside={
            target for one in found for target in one.targets if not directory.is_local(domain_of(target))
        },
        administered=[name for name in domains if roles.administers(name)],
        done=done.get(request.query_params.get("done", ""), ""),
        why=why,
    )  # fmt: skip


@require(ADMINISTRATOR)
async def _add(request: Request) -> Response:
    """A name; or nothing before the @, for all that is not known in the domain."""
    name, domain = (await field(request, "name")).strip(), await field(request, "domain")
    directory, targets = administered(request, domain), addresses_in(await field(request, "targets"))
    if name == "*":
        name = ""
    _, why = await tried(request, partial(aliases.add, directory, operator(request), f"{name}@{domain}", targets))
    return await _listed(request, 422, why=why) if why else RedirectResponse("/admin/aliases?done=added", 303)


@require(ADMINISTRATOR)
async def _change(request: Request) -> Response:
    address = await field(request, "address")
    directory, targets = administered(request, domain_of(address)), addresses_in(await field(request, "targets"))
    _, why = await tried(request, partial(aliases.change, directory, operator(request), address, targets))
    return await _listed(request, 422, why=why) if why else RedirectResponse("/admin/aliases?done=changed", 303)


@require(ADMINISTRATOR)
async def _remove(request: Request) -> Response:
    address = await field(request, "address")
    directory = administered(request, domain_of(address))
    _, why = await tried(request, partial(aliases.remove, directory, operator(request), address))
    return await _listed(request, 422, why=why) if why else RedirectResponse("/admin/aliases", 303)


ROUTES = [
    Route("/admin/aliases", _list, methods=["GET"]),
    Route("/admin/aliases", _add, methods=["POST"]),
    Route("/admin/aliases/change", _change, methods=["POST"]),
    Route("/admin/aliases/remove", _remove, methods=["POST"]),
]
