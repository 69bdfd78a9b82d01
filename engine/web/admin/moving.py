"""Moving in: mail is taken from other servers, for one account or many, and one sees how far it is."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from io import StringIO

import trio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from engine.directory import ADMINISTRATOR, OWNER
from engine.migration import Login, Server, server_at
from engine.operations import migrating
from engine.operations.migrating import ForAll, Sheet, Task, kept
from engine.operations.sheets import LineMistake
from engine.web import streams
from engine.web.admin.scope import administered, operator, outranks
from engine.web.bounds import bounded
from engine.web.context import Context
from engine.web.languages import translator, worded
from engine.web.moves import FORM, SHOWN, Move, Moves, state_of, states, told_of, wishes_in
from engine.web.pages.account import embedded, own
from engine.web.pages.signing_in import field
from engine.web.rendering import page
from engine.web.sessions import require
from engine.web.sessions.requiring import Endpoint


def routes(context: Context) -> Sequence[BaseRoute]:
    moves = context.one(Moves)
    return [
        Route("/admin/moving", require(ADMINISTRATOR)(partial(_list, moves)), methods=["GET"]),
        Route("/admin/moving", require(ADMINISTRATOR)(partial(_begin, moves)), methods=["POST"]),
        Route("/admin/moving/many", require(ADMINISTRATOR)(partial(_begin_many, moves)), methods=["POST"]),
        Route("/admin/moving/state", require(ADMINISTRATOR)(partial(_state, moves)), methods=["GET"]),
        Route("/admin/moving/live", _live_of(moves), methods=["GET"]),
        Route("/admin/moving/change", require(ADMINISTRATOR)(partial(_change, moves)), methods=["POST"]),
    ]


def _live_of(moves: Moves) -> Endpoint:
    @bounded(seconds=math.inf)
    @require(ADMINISTRATOR)
    async def live(request: Request) -> Response:
        async def state() -> str:
            return await told_of(request, "/admin/moving/state", lambda: state_of(_seen(request, moves)))

        return streams.states(request, state)

    return live


def _seen(request: Request, moves: Moves) -> list[Move]:
    """Those into accounts that whoever asks administers."""
    roles = own(request).roles
    return [move for move in moves.all() if roles.administers(move.account.domain)]


def _shown(request: Request, moves: Moves, status: int = 200, *, why: str = "") -> Response:
    begun, seen = request.query_params.get("begun", ""), _seen(request, moves)
    return page(
        request,
        "admin/moving.html",
        status,
        moves=seen,
        state=state_of(seen),
        states=states(request),
        most=SHOWN,
        why=why,
        many=request.url.path.endswith("/many"),
        begun=int(begun) if begun.isascii() and begun.isdigit() and len(begun) < 7 else 0,
    )


async def _state(moves: Moves, request: Request) -> Response:
    """For the other processes."""
    return PlainTextResponse(state_of(_seen(request, moves)))


async def _list(moves: Moves, request: Request) -> Response:
    return _shown(request, moves)


async def _begin(moves: Moves, request: Request) -> Response:
    _ = translator(request)
    try:
        server, named = _server_at(request, await field(request, "server"))
    except ValueError as error:
        return _shown(request, moves, 422, why=_("This is no server: %(why)s") % {"why": worded(request, error)})
    address = (await field(request, "address")).strip()
    user, secret = (await field(request, "user")).strip(), await field(request, "password")
    if not secret:
        return _shown(request, moves, 422, why=_("The password of the other server is missing."))
    login = Login(user or named or address, kept(secret), (await field(request, "master")).strip())
    if await field(request, "token"):
        login = replace(login, token=True)
    sheet = Sheet((Task(address, server, login),), ())
    return await _started(moves, request, sheet)


async def _begin_many(moves: Moves, request: Request) -> Response:
    _ = translator(request)
    form = await request.form(max_files=0, max_fields=20, max_part_size=FORM)
    text, place = form.get("csv", ""), form.get("server", "")
    try:
        server = _server_at(request, place)[0] if isinstance(place, str) and place.strip() else None
    except ValueError as error:
        return _shown(request, moves, 422, why=_("This is no server: %(why)s") % {"why": worded(request, error)})
    said = ForAll(server, at=partial(_server_at, request))
    sheet = migrating.parsed(StringIO(text if isinstance(text, str) else "", newline=""), said)
    return await _started(moves, request, sheet)


async def _started(moves: Moves, request: Request, sheet: Sheet) -> Response:
    """Begin all, if nothing is wrong with any of them."""
    _, directory, by = translator(request), embedded(request), operator(request)
    mistakes = await trio.to_thread.run_sync(migrating.checked, directory, by, sheet)
    if mistakes or not sheet.tasks:
        return _shown(request, moves, 422, why=_in_words(request, mistakes) or _("There is no account in it."))
    accounts = [directory.account(task.address) for task in sheet.tasks]
    if any(one is None or not outranks(own(request).roles, one) for one in accounts):
        raise HTTPException(403)
    wishes = await wishes_in(request)
    begun = 0
    for account, task in zip(accounts, sheet.tasks, strict=True):
        if account is not None:
            administered(request, account.domain)
            begun += moves.begin(Move(account, task, wishes, by))
    if not begun:
        return _shown(request, moves, 409, why=_("This mail is being taken already."))
    return RedirectResponse(f"/admin/moving?begun={begun}", 303)


async def _change(moves: Moves, request: Request) -> Response:
    move = moves.get(await field(request, "id"))
    if move is None or not own(request).roles.administers(move.account.domain):
        raise HTTPException(404)
    what = await field(request, "what")
    if not moves.changed(move, what):
        raise HTTPException(422)
    by = operator(request)
    await by.told("migration-changed", address=move.account.address, server=str(move.task.server), what=what)
    return RedirectResponse("/admin/moving", 303)


def _server_at(request: Request, text: str) -> tuple[Server, str]:
    """Where somebody of some domains names it, at public addresses alone. ValueError."""
    server, user = server_at(text.strip())
    return replace(server, public_only=OWNER not in own(request).roles.given), user


def _in_words(request: Request, mistakes: Sequence[LineMistake]) -> str:
    _ = translator(request)
    line, some = _("Line %(line)s: %(why)s"), [(one.line, worded(request, one.text)) for one in mistakes[:20]]
    return "; ".join(line % {"line": number, "why": why} if number else why for number, why in some)
