"""Signing in by a passkey, and what becomes of an account's passkeys. Scripts ask, for browsers have no form for it."""

import json
from functools import partial
from typing import Any

import trio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from engine.directory import asked
from engine.web.context import context_of
from engine.web.languages import translator
from engine.web.pages.account import BY_PASSWORD, is_own_password, oneself, own
from engine.web.pages.signing_in import field, landing, visitor
from engine.web.sessions import is_ours, require, signed_in
from engine.web.sessions.passkeys import STEP, Passkeys, Refused
from engine.web.sessions.session import cookie, set_cookie

_NAME = 60
"""Characters of the name of a passkey."""


def of(request: Request) -> Passkeys:
    context = context_of(request)
    return Passkeys(context.origin(request), context.sessions)


async def _said(request: Request) -> dict[str, Any]:
    """What a script says."""
    try:
        found = json.loads(await request.body())
    except ValueError as error:
        raise HTTPException(400) from error
    if not isinstance(found, dict):
        raise HTTPException(400)
    return found


async def _asking(request: Request, kind: str, options: dict[str, Any], state: bytes, account: int = 0) -> Response:
    begin = partial(context_of(request).sessions.await_step, kind, STEP, account=account, state=state)
    response = JSONResponse(options)
    set_cookie(request, response, cookie(request, "step"), await trio.to_thread.run_sync(begin), seconds=int(STEP))
    return response


async def _state(request: Request, kind: str, account: int = 0) -> bytes:
    """What was kept when the browser was asked."""
    token = request.cookies.get(cookie(request, "step"), "")
    step = await trio.to_thread.run_sync(context_of(request).sessions.take_step, token, kind)
    if step is None or step.account != account:
        raise HTTPException(400)
    return step.state


async def _ask_to_sign_in(request: Request) -> Response:
    if not is_ours(request):
        raise HTTPException(403)
    context = context_of(request)
    if not context.pace.allows(context.login.guard.network(context.peer(request))):
        raise HTTPException(429, headers={"retry-after": "60"})
    return await _asking(request, "passkey", *of(request).asked_to_sign_in())


async def _sign_in(request: Request) -> Response:
    if not is_ours(request):
        raise HTTPException(403)
    said, state = await _said(request), await _state(request, "passkey")
    _ = translator(request)
    why = _("This passkey is not known here.")
    try:
        number, address = await trio.to_thread.run_sync(of(request).sign_in, state, said.get("credential", {}))
    except Refused as error:
        raise HTTPException(401, why) from error
    directory = context_of(request).directory()
    account = await asked(directory, directory.account, address)
    if account is None or account.id != number or not await visitor(request).proven(account, "PASSKEY"):
        raise HTTPException(401, why)
    response = JSONResponse({"next": landing(said.get("next"))})
    await signed_in(request, response, account, "passkey")
    return response


@require()
async def _ask_to_register(request: Request) -> Response:
    """Who came in by a password shows it once more: a passkey opens the account when that is another one."""
    session, _ = own(request), translator(request)
    if session.how in BY_PASSWORD and not await is_own_password(request, _text(await _said(request), "password")):
        raise HTTPException(403, _("The present password is another one."))
    options, state = of(request).asked_to_register(session.account)
    return await _asking(request, "register", options, state, session.account.id)


def _text(said: dict[str, Any], name: str) -> str:
    found = said.get(name)
    return found if isinstance(found, str) else ""


@require()
async def _register(request: Request) -> Response:
    session = own(request)
    said, state = await _said(request), await _state(request, "register", session.account.id)
    _ = translator(request)
    name = _text(said, "name").strip()[:_NAME]
    add = partial(of(request).register, session.account, name or _("Passkey"), state, said.get("credential", {}))
    try:
        await trio.to_thread.run_sync(add)
    except Refused as error:
        raise HTTPException(400, _("The passkey could not be kept.")) from error
    by = oneself(request)
    await by.told("account-changed", address=by.name, what="passkey")
    return JSONResponse({"next": "/account"})


@require()
async def _remove(request: Request) -> Response:
    session = own(request)
    try:
        created = float(await field(request, "created"))
    except ValueError as error:
        raise HTTPException(400) from error
    await trio.to_thread.run_sync(of(request).remove, session.account, created)
    by = oneself(request)
    await by.told("account-changed", address=by.name, what="no passkey")
    return RedirectResponse("/account", 303)


ROUTES = [
    Route("/sign-in/passkey/options", _ask_to_sign_in, methods=["POST"]),
    Route("/sign-in/passkey", _sign_in, methods=["POST"]),
    Route("/account/passkeys/options", _ask_to_register, methods=["POST"]),
    Route("/account/passkeys", _register, methods=["POST"]),
    Route("/account/passkeys/remove", _remove, methods=["POST"]),
]
