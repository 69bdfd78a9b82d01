"""Certificates: whose they are and until when, which listeners offer them, how it goes with those that ACME gets."""

import math
import re
import time
from functools import partial

import trio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from engine.directory import OWNER
from engine.links.request import Unanswered
from engine.net.certificates import CertificateError
from engine.observe.visible import on_one_line
from engine.operations import certificates
from engine.operations.certificates import Certificates, Standing
from engine.web import streams
from engine.web.admin.certified import Certified
from engine.web.admin.scope import operator
from engine.web.bounds import bounded
from engine.web.context import context_of
from engine.web.languages import translator
from engine.web.pages.signing_in import field
from engine.web.rendering import page
from engine.web.sessions import require

_FOLDER = re.compile(r"[a-z0-9_.-]{1,255}")


@require(OWNER)
async def _show(request: Request) -> Response:
    return await _shown(request)


async def _shown(request: Request, status: int = 200, why: str = "") -> Response:
    _, context, by = translator(request), context_of(request), operator(request)
    state = await context.one(Certified).state(by)
    try:
        found = await trio.to_thread.run_sync(certificates.listed, context.config, by)
    except CertificateError as error:
        found = Certificates((), (str(error),))
    standings, silent = list[Standing](), False
    if context.config.acme is not None:
        try:
            standings = await certificates.standings(context.ask, by)
        except Unanswered:
            silent = True
    there = {one.folder for one in found.certificates}
    done = {"wanted": _("It is being got. That takes some seconds, or some minutes; the page then shows it.")}
    return page(
        request,
        "admin/certificates.html",
        status,
        found=found,
        state=state,
        listeners=certificates.listeners(context.config, by),
        acme=context.config.acme,
        standings={one.folder: one for one in standings},
        due={one.folder for one in standings if one.again and one.again.timestamp() <= time.time()},
        lacking=[one for one in standings if one.folder not in there],
        silent=silent,
        plain=on_one_line,
        why=why,
        done=done.get(request.query_params.get("done", ""), ""),
    )


@require(OWNER)
async def _renew(request: Request) -> Response:
    _, folder = translator(request), await field(request, "folder")
    if not _FOLDER.fullmatch(folder):
        raise HTTPException(400)
    try:
        known = await certificates.renew(context_of(request).ask, operator(request), folder)
    except Unanswered:
        return await _shown(request, 503, _("The process that gets certificates does not answer."))
    if not known:
        return await _shown(request, 422, _("ACME does not get this certificate."))
    return RedirectResponse("/admin/certificates?done=wanted", 303)


@bounded(seconds=math.inf)
@require(OWNER)
async def _live(request: Request) -> Response:
    certified, by = context_of(request).one(Certified), operator(request)
    return streams.states(request, partial(certified.state, by))


ROUTES = [
    Route("/admin/certificates/live", _live, methods=["GET"]),
    Route("/admin/certificates", _show, methods=["GET"]),
    Route("/admin/certificates/renew", _renew, methods=["POST"]),
]
