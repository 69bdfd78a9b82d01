"""Moving in, for oneself: one's own mail is taken from another server.

Whoever has an account may have our server speak to another one by this; so it speaks to public addresses alone, at the
ports of IMAP, and not too often: it is no way to look around behind the firewall, nor to guess others' passwords.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from engine.migration import Login, server_at
from engine.migration.server import PORTS
from engine.operations.migrating import Task, kept
from engine.web import streams
from engine.web.bounds import bounded
from engine.web.context import Context
from engine.web.languages import translator, worded
from engine.web.moves import SHOWN, Move, Moves, state_of, states, told_of, wishes_in
from engine.web.pace import Pace
from engine.web.pages.account import oneself, own
from engine.web.pages.signing_in import field
from engine.web.rendering import page
from engine.web.sessions import require
from engine.web.sessions.requiring import Endpoint

MOST, SECONDS = 20, 3600.0
"""Times that one account may begin within so many seconds."""


def routes(context: Context) -> Sequence[BaseRoute]:
    moves, pace = context.one(Moves), Pace(MOST, SECONDS)
    return [
        Route("/account/moving", require()(partial(_list, moves)), methods=["GET"]),
        Route("/account/moving", require()(partial(_begin, moves, pace)), methods=["POST"]),
        Route("/account/moving/state", require()(partial(_state, moves)), methods=["GET"]),
        Route("/account/moving/live", _live_of(moves), methods=["GET"]),
        Route("/account/moving/change", require()(partial(_change, moves)), methods=["POST"]),
    ]


def _live_of(moves: Moves) -> Endpoint:
    @bounded(seconds=math.inf)
    @require()
    async def live(request: Request) -> Response:
        async def state() -> str:
            return await told_of(request, "/account/moving/state", lambda: state_of(_own(request, moves)))

        return streams.states(request, state)

    return live


def _own(request: Request, moves: Moves) -> list[Move]:
    return [move for move in moves.all() if move.account.id == own(request).account.id]


def _shown(request: Request, moves: Moves, status: int = 200, *, why: str = "") -> Response:
    found = _own(request, moves)
    values = {"moves": found, "state": state_of(found), "states": states(request), "most": SHOWN, "why": why}
    return page(request, "pages/moving.html", status, **values)


async def _state(moves: Moves, request: Request) -> Response:
    """For the other processes."""
    return PlainTextResponse(state_of(_own(request, moves)))


async def _list(moves: Moves, request: Request) -> Response:
    return _shown(request, moves)


async def _begin(moves: Moves, pace: Pace, request: Request) -> Response:
    _, account = translator(request), own(request).account
    try:
        server, named = server_at((await field(request, "server")).strip())
    except ValueError as error:
        return _shown(request, moves, 422, why=_("This is no server: %(why)s") % {"why": worded(request, error)})
    if server.port not in PORTS.values():
        return _shown(request, moves, 422, why=_("Only the usual ports of IMAP can be reached from here."))
    secret = await field(request, "password")
    if not secret:
        return _shown(request, moves, 422, why=_("The password of the other server is missing."))
    if not pace.allows(account.address):
        return _shown(request, moves, 429, why=_("This was tried too often. Try again in an hour."))
    user = (await field(request, "user")).strip() or named or account.address
    login = Login(user, kept(secret), token=bool(await field(request, "token")))
    task = Task(account.address, replace(server, public_only=True), login)
    if any(move.is_going for move in _own(request, moves)):
        return _shown(request, moves, 409, why=_("Your mail is being taken already."))
    if not moves.begin(Move(account, task, await wishes_in(request), oneself(request))):
        return _shown(request, moves, 409, why=_("This mail is being taken already."))
    return RedirectResponse("/account/moving", 303)


async def _change(moves: Moves, request: Request) -> Response:
    move, what = moves.get(await field(request, "id")), await field(request, "what")
    if move is None or move not in _own(request, moves):
        raise HTTPException(404)
    if not moves.changed(move, what):
        raise HTTPException(422)
    by = oneself(request)
    await by.told("migration-changed", address=move.account.address, server=str(move.task.server), what=what)
    return RedirectResponse("/account/moving", 303)
