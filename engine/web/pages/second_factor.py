"""The second factor of an account: codes of an authenticator, which is told the secret by a picture."""

import time
from functools import partial

import segno
import trio
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from engine.directory import totp
from engine.operations import accounts
from engine.web.context import context_of
from engine.web.languages import translator
from engine.web.pages.account import embedded, is_own_password, oneself, own, shown
from engine.web.pages.signing_in import field
from engine.web.rendering import page
from engine.web.sessions import require, signed_in
from engine.web.sessions.session import cookie, set_cookie

_STEP = 900
"""Seconds to set up an authenticator."""


@require()
async def _begin(request: Request) -> Response:
    _ = translator(request)
    embedded(request)
    if not await is_own_password(request, await field(request, "password")):
        return shown(request, 422, why=_("The present password is another one."))
    return await _with_secret(request, totp.new_secret())


async def _with_secret(request: Request, secret: bytes, status: int = 200, why: str = "") -> Response:
    account = own(request).account
    keep = partial(context_of(request).sessions.await_step, "totp", _STEP, account=account.id, state=secret)
    address = totp.uri(account.address, secret)
    picture = segno.make(address, error="m").svg_data_uri(scale=5, border=2, dark="#000", light="#fff")
    key = address.partition("secret=")[2].partition("&")[0]
    response = page(request, "pages/totp.html", status, picture=picture, key=key, why=why)
    set_cookie(request, response, cookie(request, "step"), await trio.to_thread.run_sync(keep), seconds=_STEP)
    return response


@require()
async def _confirm(request: Request) -> Response:
    """From now on, if the authenticator shows the right code."""
    _, session, directory = translator(request), own(request), embedded(request)
    token = request.cookies.get(cookie(request, "step"), "")
    step = await trio.to_thread.run_sync(context_of(request).sessions.take_step, token, "totp")
    if step is None or step.account != session.account.id:
        return shown(request, 422, why=_("That took too long; begin anew."))
    now = time.time()
    if totp.matching_step(step.state, (await field(request, "code")).replace(" ", ""), now, 0) is None:
        return await _with_secret(request, step.state, 422, _("That is not the code of now. Each code counts once."))
    await trio.to_thread.run_sync(
        accounts.set_totp, directory, oneself(request), session.account.address, step.state
    )  # fmt: skip
    response = RedirectResponse("/account", 303)
    await signed_in(request, response, session.account, "totp", session.provided)
    return response


@require()
async def _end(request: Request) -> Response:
    _, session, directory = translator(request), own(request), embedded(request)
    if not await is_own_password(request, await field(request, "password")):
        return shown(request, 422, why=_("The present password is another one."))
    await trio.to_thread.run_sync(accounts.disable_totp, directory, oneself(request), session.account.address)
    response = RedirectResponse("/account", 303)
    await signed_in(request, response, session.account, "password", session.provided)
    return response


ROUTES = [
    Route("/account/totp", _begin, methods=["POST"]),
    Route("/account/totp/confirm", _confirm, methods=["POST"]),
    Route("/account/totp/end", _end, methods=["POST"]),
]
