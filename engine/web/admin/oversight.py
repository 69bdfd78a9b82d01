"""Grants to look at people's mail: asked for, consented to, ended; and where one is open, the way to the mail."""

import time
import urllib.parse
from functools import partial
from typing import Any

import trio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from engine.directory import AUDITOR
from engine.operations import oversight as operations
from engine.operations.oversight import row
from engine.oversight import Grant, NoSuchGrant, Oversight, Refusal
from engine.units import Duration
from engine.web.admin.overseer import MOST, kept, overseeing, overseer, whose
from engine.web.context import context_of
from engine.web.languages import translator
from engine.web.pages.account import own
from engine.web.pages.signing_in import field
from engine.web.rendering import page
from engine.web.sessions import require

LASTS = ("1h", "8h", "1d", "3d", "7d", "30d")
"""How long a grant may be asked for, as far as it may last."""

SHOWN = 200
"""Grants of the list."""


def number_of(text: str) -> int:
    """The number of a grant. 404 for what is none."""
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise HTTPException(404)
    return int(text)


async def granted(request: Request, number: int) -> tuple[Oversight, Grant]:
    """A grant, and what oversight keeps. 404."""
    opened = await kept(request)
    try:
        return opened, await trio.to_thread.run_sync(opened.grant, number)
    except NoSuchGrant as error:
        raise HTTPException(404) from error


@overseeing
async def _list(request: Request) -> Response:
    return await _listed(request)


async def _listed(
    request: Request, status: int = 200, *, why: str = "", written: dict[str, str] | None = None
) -> Response:
    opened, settings = await kept(request), context_of(request).config.oversight
    rows = await trio.to_thread.run_sync(operations.listed, opened, overseer(request))
    lasts = [text for text in LASTS if Duration(text) <= settings.longest]
    return page(
        request,
        "admin/oversight.html",
        status,
        rows=rows[:SHOWN],
        count=len(rows),
        may_ask=own(request).roles.has(AUDITOR),
        lasts=[(text, Duration(text)) for text in lasts or [f"{int(settings.longest)}s"]],
        settings=settings,
        me=own(request).account.address,
        why=why,
        written=written or {"addresses": "", "reason": "", "lasts": "1d"},
    )


@require(AUDITOR)
async def _ask(request: Request) -> Response:
    _ = translator(request)
    written = {name: await field(request, name) for name in ("addresses", "reason", "lasts")}
    opened, settings = await kept(request), context_of(request).config.oversight
    found, unknown = await trio.to_thread.run_sync(whose, request, written["addresses"])
    if unknown:
        why = _("There is no account %(address)s.") % {"address": unknown[0]}
        return await _listed(request, 422, why=why, written=written)
    if not found or len(found) > MOST or not written["reason"].strip():
        why = _("Write whose mail it is about, and the reason.")
        return await _listed(request, 422, why=why, written=written)
    try:
        seconds = float(Duration(written["lasts"]))
        ask = partial(operations.ask, opened, settings, overseer(request), found, written["reason"], seconds=seconds)
        grant = await trio.to_thread.run_sync(ask)
    except (ValueError, Refusal):
        return await _listed(request, 422, why=_("A grant cannot be asked for like this."), written=written)
    return to_grant(grant.number)


def to_grant(number: int, **query: str) -> Response:
    return RedirectResponse(f"/admin/oversight/grant?{urllib.parse.urlencode({'number': number, **query})}", 303)


@overseeing
async def _decide(request: Request) -> Response:
    """Consent, refuse or end."""
    number, what = number_of(await field(request, "number")), await field(request, "what")
    opened, grant = await granted(request, number)
    decisions = {"consent": operations.consent, "refuse": operations.refuse, "end": operations.end}
    if what not in decisions:
        raise HTTPException(422)
    try:
        await trio.to_thread.run_sync(decisions[what], opened, overseer(request), grant.number)
    except Refusal as error:
        raise HTTPException(403) from error
    return to_grant(number)


def values(request: Request, grant: Grant) -> dict[str, Any]:
    """What the page of a grant shows of it, and what whoever looks at it may do."""
    me, now = own(request).account.address, time.time()
    state = grant.state(now)
    return {
        "grant": row(grant, now),
        "mine": grant.by == me,
        "may_decide": state == "waiting" and grant.by != me,
        "may_end": state == "open",
        "may_look": state == "open" and grant.by == me and own(request).roles.has(AUDITOR),
    }


ROUTES = [
    Route("/admin/oversight", _list, methods=["GET"]),
    Route("/admin/oversight", _ask, methods=["POST"]),
    Route("/admin/oversight/decide", _decide, methods=["POST"]),
]
