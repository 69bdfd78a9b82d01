"""Bans and abuse: who is kept out, who has sent too much, whose mail is parked because it is unlike them."""

import trio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from engine.directory import ADMINISTRATOR, valid_address
from engine.directory.errors import Invalid
from engine.login.rates import Sent
from engine.net.targets import overlap
from engine.operations import abuse
from engine.operations.operator import Forbidden
from engine.scanning.guard import Unreachable
from engine.web.admin.scope import operator
from engine.web.context import context_of
from engine.web.languages import translator
from engine.web.pages.signing_in import field
from engine.web.rendering import page
from engine.web.sessions import require

LASTS = {"3600": 3600.0, "86400": 86_400.0, "604800": 604_800.0, "2592000": 2_592_000.0}
"""Seconds for which somebody can be kept out."""

MOST = 500
"""Lines of each list."""


@require(ADMINISTRATOR)
async def _list(request: Request) -> Response:
    return await _listed(request)


async def _listed(request: Request, status: int = 200, why: str = "") -> Response:
    stores, by = context_of(request).stores, operator(request)
    suspects = await trio.to_thread.run_sync(abuse.suspects, stores.tables)
    sent = await trio.to_thread.run_sync(stores.rates.sent)
    found = await trio.to_thread.run_sync(abuse.bans, context_of(request).login.guard, by)
    limited = [one for one in sent if one.limited and abuse.may_know(by, one.kind, one.name)]
    return page(
        request,
        "admin/bans.html",
        status,
        bans=found[:MOST],
        count=len(found),
        limited=sorted(limited, key=_end)[:MOST],
        suspects=[one for one in suspects if by.may(one.account)][:MOST],
        lasts=LASTS,
        has_all=by.domains is None,
        why=why,
        done=_done(request, request.query_params.get("done", "")),
    )


def _end(one: Sent) -> tuple[float, str]:
    return -one.until, one.name


def _done(request: Request, what: str) -> str:
    _ = translator(request)
    known = {
        "banned": _("It is kept out from now on."),
        "lifted": _("It is kept out no more."),
        "rate": _("What it has sent is forgotten: it may send on."),
        "suspect": _("The account may send again. What is parked stays so, until somebody decides."),
    }
    return known.get(what, "")


@require(ADMINISTRATOR)
async def _ban(request: Request) -> Response:
    """Keep somebody out, but not whoever asks for it."""
    _, who, by = translator(request), (await field(request, "who")).strip()[:320], operator(request)
    lasts = LASTS.get(await field(request, "lasts"))
    if lasts is None:
        raise HTTPException(400)
    try:
        if "@" in who:
            who = valid_address(who)
        elif overlap(context_of(request).peer(request), who):
            return await _listed(request, 422, _("This is where you come from yourself."))
        await trio.to_thread.run_sync(abuse.ban, context_of(request).login.guard, by, who, lasts)
    except Forbidden as error:
        raise HTTPException(403) from error
    except (Invalid, ValueError):
        return await _listed(request, 422, _("Write an IP address, a network of a few, or the address of an account."))
    return RedirectResponse("/admin/bans?done=banned", 303)


@require(ADMINISTRATOR)
async def _lift(request: Request) -> Response:
    who, guard = await field(request, "who"), context_of(request).login.guard
    try:
        await trio.to_thread.run_sync(abuse.lift_bans, guard, operator(request), who)
    except Forbidden as error:
        raise HTTPException(403) from error
    return RedirectResponse("/admin/bans?done=lifted", 303)


@require(ADMINISTRATOR)
async def _lift_rate(request: Request) -> Response:
    """Forget what somebody has sent, on the shared server too; where that is away, it is forgotten here."""
    _, who, by = translator(request), await field(request, "who"), operator(request)
    context = context_of(request)
    try:
        await abuse.lift_rates(context.config, context.stores.rates, by, who)
    except Forbidden as error:
        raise HTTPException(403) from error
    except Unreachable:
        return await _listed(request, 503, _("It is forgotten here; the shared server cannot be reached."))
    return RedirectResponse("/admin/bans?done=rate", 303)


@require(ADMINISTRATOR)
async def _clear(request: Request) -> Response:
    _, account, by = translator(request), await field(request, "account"), operator(request)
    try:
        await abuse.let_send(context_of(request).stores.tables, by, account)
    except Forbidden as error:
        raise HTTPException(403) from error
    except Unreachable:
        return await _listed(request, 503, _("The shared server cannot be reached. Try again in a moment."))
    return RedirectResponse("/admin/bans?done=suspect", 303)


ROUTES = [
    Route("/admin/bans", _list, methods=["GET"]),
    Route("/admin/bans", _ban, methods=["POST"]),
    Route("/admin/bans/lift", _lift, methods=["POST"]),
    Route("/admin/bans/rates/lift", _lift_rate, methods=["POST"]),
    Route("/admin/bans/suspects/clear", _clear, methods=["POST"]),
]
