"""Shaping: how mail leaves for a domain and which rule says so; what is done about sites now; how each site does."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import trio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from engine.config.rules import PAUSE, VALUES
from engine.directory import OWNER
from engine.observe.visible import on_one_line
from engine.operations import shaping
from engine.operations.impossible import Impossible
from engine.operations.shaping import Explained
from engine.units import Duration
from engine.web.admin.scope import operator
from engine.web.admin.standing import Busy, Standing
from engine.web.bounds import bounded
from engine.web.context import context_of
from engine.web.languages import translator, worded
from engine.web.pages.signing_in import field
from engine.web.rendering import page
from engine.web.sessions import require

LASTS = {"900": 900.0, "3600": 3600.0, "21600": 21_600.0, "86400": 86_400.0}
"""Seconds for which a site can be suspended."""

PATIENCE = 12.0
"""Seconds that the DNS has to say who serves a domain."""

MOST = 200
"""Sites and actions that are listed."""

_TIMES = {name for name, kind in VALUES.items() if kind in (Duration, tuple[Duration, ...])} | {PAUSE}
"""Values that are times."""

_HOSTS = 50
"""Of a domain, that are looked at in place of what the DNS says."""

_UNITS = (("d", 86_400), ("h", 3600), ("m", 60))


@require(OWNER)
@bounded(seconds=30)
async def _show(request: Request) -> Response:
    return await _shown(request)


async def _shown(request: Request, status: int = 200, why: str = "") -> Response:
    """The page, with the explanation that is asked for."""
    context, by = context_of(request), operator(request)
    domain, source, mx = (request.query_params.get(name, "").strip()[:2000] for name in ("domain", "source", "mx"))
    explained: Explained | None = None
    if domain and not why:
        explained, why = await _explained(request, domain, source, mx.replace(",", " ").split()[:_HOSTS])
        status = 422 if why else status
    actions = await trio.to_thread.run_sync(shaping.actions, context.stores.actions, by)
    return page(
        request,
        "admin/shaping.html",
        status,
        domain=domain,
        source=source,
        mx=mx,
        explained=explained,
        actions=actions[:MOST],
        sites=await _sites(request),
        lasts=LASTS,
        why=why,
        done=_done(request),
        **_words(request),
    )


async def _explained(request: Request, domain: str, source: str, mx: Sequence[str]) -> tuple[Explained | None, str]:
    """What holds for the domain, or why nobody can say."""
    _, context = translator(request), context_of(request)
    with trio.move_on_after(PATIENCE):
        try:
            return await shaping.explained(context.config, domain, mx, source, context.resolver().ask), ""
        except ValueError:
            return None, _("This is no name of a domain.")
        except Impossible as error:
            return None, _("Nobody can say how its mail leaves: %(why)s") % {"why": worded(request, error)}
    return None, _("The DNS does not answer in time.")


def _done(request: Request) -> str:
    _ = translator(request)
    known = {
        "suspended": _("Nothing is sent there for a time. What is for it waits."),
        "lifted": _("The action has ended."),
        "over": _("This action is not in force any more."),
    }
    return known.get(request.query_params.get("done", ""), "")


def _words(request: Request) -> dict[str, Any]:
    _ = translator(request)
    return {
        "plain": on_one_line,
        "shown": partial(_value, _),
        "acts": {
            "suspend": _("nothing is sent"), "slow": _("less is sent"), "use_source": _("another source is used"),
            "expire": _("what waits is given up"), "notify": _("the postmaster is told"),
        },
    }  # fmt: skip


def _value(_: Callable[[str], str], name: str, value: Any) -> str:
    """A value of shaping for people."""
    match value:
        case None:
            return "–"
        case True:
            return _("yes")
        case False:
            return _("no")
        case list():
            return ", ".join(_value(_, name, one) for one in value) or "–"
        case float() if name in _TIMES:
            return _as_written(value)
    return str(value) or "–"


def _as_written(seconds: float) -> str:
    """A time as pipeline.toml has it: "90s", "5m", "2d"."""
    for unit, length in _UNITS:
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:g}{unit}"
    return f"{seconds:g}s"


async def _sites(request: Request) -> Sequence[Busy]:
    """Those that have most to do, as the page of the pipeline shows them."""
    return await context_of(request).one(Standing).now()


@require(OWNER)
async def _piece(request: Request) -> Response:
    """The sites alone, which the page asks for again and again."""
    return page(request, "admin/sites.html", sites=await _sites(request), **_words(request))


@require(OWNER)
async def _suspend(request: Request) -> Response:
    _, context = translator(request), context_of(request)
    lasts, site = LASTS.get(await field(request, "lasts")), (await field(request, "site")).strip()[:255]
    if lasts is None:
        raise HTTPException(400)
    try:
        action = shaping.suspension(site, lasts)
    except ValueError:
        return await _shown(request, 422, _("This is no site."))
    await trio.to_thread.run_sync(shaping.suspend, context.stores.actions, operator(request), action)
    return RedirectResponse("/admin/shaping?done=suspended", 303)


@require(OWNER)
async def _lift(request: Request) -> Response:
    store, identity = context_of(request).stores.actions, await field(request, "id")
    if not identity.isalnum() or len(identity) > 16:
        raise HTTPException(400)
    gone = await trio.to_thread.run_sync(shaping.lift, store, operator(request), identity)
    return RedirectResponse(f"/admin/shaping?done={'lifted' if gone else 'over'}", 303)


ROUTES = [
    Route("/admin/shaping", _show, methods=["GET"]),
    Route("/admin/shaping/sites", _piece, methods=["GET"]),
    Route("/admin/shaping/suspend", _suspend, methods=["POST"]),
    Route("/admin/shaping/lift", _lift, methods=["POST"]),
]
