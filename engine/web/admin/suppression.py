"""The suppression list: who is not written to again, why, until when; put on it, taken off, out of and into files."""

import io
import time
from collections.abc import AsyncIterator, Iterator
from functools import partial
from itertools import islice
from urllib.parse import urlencode

import trio
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from engine.directory import OWNER
from engine.directory.errors import Invalid
from engine.observe.visible import on_one_line
from engine.operations import suppressions
from engine.operations.operator import Operator
from engine.suppression import Row, Suppressions
from engine.web.admin.scope import operator
from engine.web.bounds import bounded
from engine.web.context import context_of
from engine.web.languages import translator, worded
from engine.web.pages.signing_in import field
from engine.web.rendering import page
from engine.web.sessions import require

PAGE = 100
"""Entries of one page."""

FILE = 16 * 2**20
"""Octets of a file that is taken in."""

LINES = 1000
"""Of a file that goes out, which are made at once."""

LASTS = {"": 0.0, "30": 30 * 86_400.0, "90": 90 * 86_400.0, "365": 365 * 86_400.0}
"""Seconds for which somebody can be put onto the list, by days; none: for ever."""


def _stores(request: Request) -> tuple[Suppressions, Operator]:
    return context_of(request).stores.suppressions, operator(request)


@require(OWNER)
@bounded(seconds=120)
async def _list(request: Request) -> Response:
    return await _listed(request)


async def _listed(request: Request, status: int = 200, why: str = "") -> Response:
    opened, by = _stores(request)
    asked = {name: request.query_params.get(name, "").strip()[:320] for name in ("q", "tenant", "class", "behind")}
    look = partial(
        suppressions.some, opened, by, PAGE, tenant=asked["tenant"], which=asked["class"], behind=asked["behind"]
    )  # fmt: skip
    rows, behind = await trio.to_thread.run_sync(look)
    here = {name: value for name, value in asked.items() if value and name not in ("q", "behind")}
    return page(
        request,
        "admin/suppression.html",
        status,
        rows=rows,
        asked=asked,
        hit=await trio.to_thread.run_sync(_hit, opened, by, asked["q"], asked["tenant"]),
        following=urlencode(here | {"behind": behind}) if behind else "",
        first=urlencode(here) if asked["behind"] else None,
        classes=suppressions.WHY,
        lasts=LASTS,
        plain=on_one_line,
        why=why,
        added=_count(request, "added"),
        removed=_count(request, "removed"),
    )


def _hit(opened: Suppressions, by: Operator, address: str, tenant: str) -> Row | None:
    """What keeps mail to an address, or to all of a domain, away."""
    who = address if "@" in address else f"postmaster@{address}"
    return suppressions.says(opened, by, who, tenant) if address else None


def _count(request: Request, name: str) -> int | None:
    """What the last change came to."""
    text = request.query_params.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else None


@require(OWNER)
async def _add(request: Request) -> Response:
    _, (opened, by) = translator(request), _stores(request)
    entries = (await field(request, "entries")).split()
    lasts, tenant = LASTS.get(await field(request, "lasts"), 0.0), (await field(request, "tenant")).strip()
    add = partial(
        suppressions.add, opened, by, entries, which=await field(request, "class") or "unknown",
        until=time.time() + lasts if lasts else 0.0, note=(await field(request, "note"))[:200], tenant=tenant,
    )  # fmt: skip
    try:
        rows = await trio.to_thread.run_sync(add)
    except Invalid as error:
        return await _listed(
            request, 422, _("This cannot be put onto the list: %(why)s") % {"why": worded(request, error)}
        )
    return _to(tenant, added=len(rows))


@require(OWNER)
async def _remove(request: Request) -> Response:
    """Take those off that are chosen."""
    _, (opened, by) = translator(request), _stores(request)
    form, tenant = await request.form(), await field(request, "tenant")
    entries = [one for one in form.getlist("entry") if isinstance(one, str)]
    try:
        gone = await trio.to_thread.run_sync(suppressions.remove, opened, by, entries, tenant)
    except Invalid as error:
        return await _listed(request, 422, _("This is not on the list: %(why)s") % {"why": worded(request, error)})
    return _to(tenant, removed=sum(gone.values()))


def _to(tenant: str, **done: int) -> Response:
    named = {"tenant": tenant} if tenant else {}
    return RedirectResponse(f"/admin/suppression?{urlencode(named | done)}", 303)


@require(OWNER)
@bounded(body=FILE, seconds=300)
async def _take_in(request: Request) -> Response:
    """What stands in the form; or a whole file, which a script sends as it is."""
    _, (opened, by) = translator(request), _stores(request)
    is_file = "x-csrf-token" in request.headers
    text = (await request.body()).decode("utf-8", "replace") if is_file else await field(request, "text")
    try:
        count = await trio.to_thread.run_sync(suppressions.take_in, opened, by, io.StringIO(text))
    except Invalid as error:
        why = _("What stands before it was taken in: %(why)s") % {"why": worded(request, error)}
        return JSONResponse({"detail": why}, 422) if is_file else await _listed(request, 422, why)
    return JSONResponse({"count": count}) if is_file else _to("", added=count)


@require(OWNER)
@bounded(seconds=600)
async def _export(request: Request) -> Response:
    opened, by = _stores(request)
    headers = {"content-disposition": "attachment; filename=suppression.csv"}
    lines = suppressions.exported(opened, by)
    return StreamingResponse(_pieces(lines), media_type="text/csv; charset=utf-8", headers=headers)


async def _pieces(lines: Iterator[str]) -> AsyncIterator[bytes]:
    while some := await trio.to_thread.run_sync(_joined, lines):
        yield some


def _joined(lines: Iterator[str]) -> bytes:
    return "".join(f"{line}\r\n" for line in islice(lines, LINES)).encode()


ROUTES = [
    Route("/admin/suppression", _list, methods=["GET"]),
    Route("/admin/suppression", _add, methods=["POST"]),
    Route("/admin/suppression/remove", _remove, methods=["POST"]),
    Route("/admin/suppression/import", _take_in, methods=["POST"]),
    Route("/admin/suppression/export", _export, methods=["GET"]),
]
