"""Groups: addresses that stand for members who come and go; who may write to them, and who owns them."""

from functools import partial

import trio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from engine.directory import (
    ADMINISTRATOR,
    HELPDESK,
    POSTING,
    DirectoryError,
)
from engine.operations import aliases
from engine.operations.aliases import AliasRow
from engine.web.admin.accounts import to_account
from engine.web.admin.scope import administered, operator, shown_domains
from engine.web.languages import translator
from engine.web.pages.account import embedded, own
from engine.web.pages.groups import SHOWN, addresses_in, tried
from engine.web.pages.signing_in import field
from engine.web.rendering import page
from engine.web.sessions import require


def domain_of(address: str) -> str:
    return address.rpartition("@")[2]


@require(HELPDESK)
async def _list(request: Request) -> Response:
    return await _listed(request)


async def _listed(request: Request, status: int = 200, *, why: str = "") -> Response:
    roles, domains = own(request).roles, shown_domains(request)
    found = await trio.to_thread.run_sync(aliases.groups, embedded(request), operator(request, HELPDESK))
    return page(
        request,
        "admin/groups.html",
        status,
        rows=[one for one in found if domain_of(one.address) in domains],
        administered=[name for name in domains if roles.administers(name)],
        posting=_posting(request),
        why=why,
    )


def _posting(request: Request) -> dict[str, str]:
    _ = translator(request)
    words = (_("everybody"), _("who has an account here"), _("members and owners"))
    return dict(zip(POSTING, words, strict=True))


@require(ADMINISTRATOR)
async def _add(request: Request) -> Response:
    name, domain = (await field(request, "name")).strip(), await field(request, "domain")
    directory, members = administered(request, domain), addresses_in(await field(request, "members"))
    add = partial(aliases.add_group, directory, operator(request), f"{name}@{domain}", members)
    made, why = await tried(request, add)
    return await _listed(request, 422, why=why) if why else to_account(made.address, "added", "/admin/group")


@require(HELPDESK)
async def _show(request: Request) -> Response:
    return await _shown(request, request.query_params.get("address", ""))


def _known(request: Request, address: str) -> AliasRow:
    """A group that whoever asks may see. To others it is not there. HTTPException."""
    directory = embedded(request)
    if not own(request).roles.helps(domain_of(address)):
        raise HTTPException(404)
    try:
        return aliases.change_group(directory, operator(request, HELPDESK), address)
    except DirectoryError as error:
        raise HTTPException(404) from error


async def _shown(request: Request, address: str, status: int = 200, *, why: str = "") -> Response:
    _ = translator(request)
    group = await trio.to_thread.run_sync(_known, request, address)
    directory, by = embedded(request), operator(request, HELPDESK)
    done = {"added": _("The group is there."), "changed": _("The group is changed.")}
    return page(
        request,
        "admin/group.html",
        status,
        group=group,
        members=group.targets[:SHOWN],
        unknown=await trio.to_thread.run_sync(aliases.unknown, directory, by, group.targets[:SHOWN]),
        outside=[one for one in group.targets[:SHOWN] if not directory.is_local(domain_of(one))],
        administers=own(request).roles.administers(domain_of(group.address)),
        posting=_posting(request),
        done=done.get(request.query_params.get("done", ""), ""),
        why=why,
    )


@require(ADMINISTRATOR)
async def _change(request: Request) -> Response:
    """Members come and go."""
    address = await field(request, "address")
    directory = administered(request, domain_of(address))
    added, removed = addresses_in(await field(request, "add")), await field(request, "remove")
    change = partial(
        aliases.change_group, directory, operator(request), address, added, [removed] if removed else []
    )  # fmt: skip
    _, why = await tried(request, change)
    return await _shown(request, address, 422, why=why) if why else to_account(address, "changed", "/admin/group")


@require(ADMINISTRATOR)
async def _rule(request: Request) -> Response:
    """Who may write, and who owns it."""
    address = await field(request, "address")
    directory = administered(request, domain_of(address))
    posting, owners = await field(request, "posting"), addresses_in(await field(request, "owners"))
    rule = partial(aliases.rule_group, directory, operator(request), address, posting, owners)
    _, why = await tried(request, rule)
    return await _shown(request, address, 422, why=why) if why else to_account(address, "changed", "/admin/group")


@require(ADMINISTRATOR)
async def _remove(request: Request) -> Response:
    address = await field(request, "address")
    directory = administered(request, domain_of(address))
    _, why = await tried(request, partial(aliases.remove_group, directory, operator(request), address))
    return await _listed(request, 422, why=why) if why else RedirectResponse("/admin/groups", 303)


ROUTES = [
    Route("/admin/groups", _list, methods=["GET"]),
    Route("/admin/groups", _add, methods=["POST"]),
    Route("/admin/group", _show, methods=["GET"]),
    Route("/admin/group/members", _change, methods=["POST"]),
    Route("/admin/group/rule", _rule, methods=["POST"]),
    Route("/admin/group/remove", _remove, methods=["POST"]),
]
