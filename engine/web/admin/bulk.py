"""One thing done to many accounts: those that are chosen in the list, or all that it finds; first they are counted."""

from collections.abc import Sequence
from functools import partial

import trio
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from engine.directory import ADMINISTRATOR, Account, DirectoryError, Embedded, Limit
from engine.operations import accounts, aliases, quotas
from engine.operations.operator import Operator
from engine.web.admin.accounts import asked, chosen, matching, size_of
from engine.web.admin.groups import domain_of
from engine.web.admin.scope import operator, outranks, shown_domains
from engine.web.bounds import bounded
from engine.web.context import context_of
from engine.web.languages import translator
from engine.web.pages.account import embedded, own
from engine.web.pages.invited import link
from engine.web.rendering import page
from engine.web.sessions import require

ACTS = ("suspend", "lift", "quota", "group", "invite")

_MOST = 10_000
"""Accounts of one act."""


def _told(form: FormData, name: str) -> str:
    found = form.get(name, "")
    return found.strip() if isinstance(found, str) else ""


def _meant(request: Request, form: FormData) -> list[Account]:
    """The accounts that are to be changed: those named, else all that the list finds; none that are not for whoever
    asks, nor their own."""
    directory, me = embedded(request), own(request)
    domains = [name for name in shown_domains(request) if me.roles.administers(name)]
    found = matching(directory, chosen(domains, _told(form, "domain")), asked(_told(form, "q")))
    if named := {one for one in form.getlist("address") if isinstance(one, str)}:
        found = [one for one in found if one.address in named]
    return [one for one in found if one.id != me.account.id and outranks(me.roles, one)][:_MOST]


@bounded(seconds=300.0)
@require(ADMINISTRATOR)
async def _bulk(request: Request) -> Response:
    _ = translator(request)
    form = await request.form()
    act, names = _told(form, "act"), _names(request)
    if act not in ACTS:
        raise HTTPException(422)
    try:
        limit = Limit(size_of(_told(form, "size")), None)
    except ValueError:
        limit = Limit()
    if (act == "quota" and limit == Limit()) or (act == "group" and not _may_group(request, _told(form, "group"))):
        why = _("Write a size like 5 GB.") if act == "quota" else _("There is no such address here.")
        return _page(request, form, [], act, names[act], 422, why=why)
    meant = await trio.to_thread.run_sync(_meant, request, form)
    if not _told(form, "sure"):
        return _page(request, form, meant, act, names[act])
    if act == "invite":
        rows = await trio.to_thread.run_sync(_invite, request, meant)
        return page(request, "admin/bulk_invited.html", rows=rows)
    work = partial(_do, embedded(request), operator(request), meant, act, limit, _told(form, "group"))
    count = await trio.to_thread.run_sync(work)
    return RedirectResponse(f"/admin/accounts?done={count}", 303)


def _names(request: Request) -> dict[str, str]:
    _ = translator(request)
    return {
        "suspend": _("Suspend"),
        "lift": _("End the suspension"),
        "quota": _("Set the quota"),
        "group": _("Add to the group"),
        "invite": _("Invite"),
    }


def _may_group(request: Request, group: str) -> bool:
    directory = embedded(request)
    known = any(one.address == group for one in directory.groups())
    return known and own(request).roles.administers(domain_of(group))


def _page(  # noqa: PLR0917
    request: Request, form: FormData, meant: Sequence[Account], act: str, name: str, status: int = 200, why: str = ""
) -> Response:
    """How many they are, before anything is done."""
    return page(
        request,
        "admin/bulk.html",
        status,
        act=act,
        name=name,
        why=why,
        count=len(meant),
        some=[one.address for one in meant[:10]],
        fields={field: _told(form, field) for field in ("q", "domain", "size", "group")},
        named=[one for one in form.getlist("address") if isinstance(one, str)],
    )


def _do(  # noqa: PLR0917
    directory: Embedded, by: Operator, meant: Sequence[Account], act: str, limit: Limit, group: str
) -> int:
    """How many it was done to. Who is gone meanwhile is left out. Blocks."""
    if act == "group":
        aliases.change_group(directory, by, group, [one.address for one in meant])
        return len(meant)
    count = 0
    for account in meant:
        try:
            if act == "quota":
                quotas.put(directory, by, account.address, Limit(limit.octets, account.limit.messages))
            else:
                accounts.suspend(directory, by, account.address, act == "suspend")
            count += 1
        except DirectoryError:
            continue
    return count


def _invite(request: Request, meant: Sequence[Account]) -> list[tuple[str, str]]:
    """The link of each. Blocks."""
    by, invitations, found = operator(request), context_of(request).sessions.invitations, []
    for account in meant:
        token = invitations.invite(account, by.name)
        by.tell("account-changed", address=account.address, what="invitation")
        found.append((account.address, link(request, token)))
    return found


ROUTES = [Route("/admin/accounts/bulk", _bulk, methods=["POST"])]
