"""Signing in, by a password with a code where the account has a second factor, and signing out."""

import re
import urllib.parse
from functools import partial

import trio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from engine.directory import Account, Unavailable, asked
from engine.login import Visitor
from engine.protocols.sasl import Credentials
from engine.web.context import context_of
from engine.web.languages import translator
from engine.web.rendering import page
from engine.web.sessions import is_ours, require, session_of, signed_in, signed_out
from engine.web.sessions.session import cookie, set_cookie
from engine.web.sessions.store import Provided

SERVICE = "web"
"""What one logs in to, for the login's events; no app password is good for it."""

MECHANISM = "PASSWORD"

_CODE_TIME = 300
"""Seconds between the password and the code."""

_PATH = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]{0,2000}")
"""Where one may be led after signing in: a path here (browsers read a backslash as a slash)."""


def visitor(request: Request) -> Visitor:
    """Whoever tries to come in."""
    context = context_of(request)
    return context.login.visitor(SERVICE, context.peer(request), asks_code=True)


def landing(wanted: object) -> str:
    """Where one goes after signing in."""
    return wanted if isinstance(wanted, str) and _PATH.fullmatch(wanted) else "/"


async def field(request: Request, name: str) -> str:
    """A field of the form, empty without it."""
    form = await request.form(max_files=0, max_fields=20, max_part_size=16 * 1024)
    found = form.get(name, "")
    return found if isinstance(found, str) else ""


async def _ask(request: Request) -> Response:
    if session_of(request) is not None:
        return RedirectResponse(landing(request.query_params.get("next")), 303)
    return sign_in_form(request, landing(request.query_params.get("next")))


def sign_in_form(request: Request, then: str, status: int = 200, *, address: str = "", why: str = "") -> Response:
    """The page on which one signs in. ``why``: it did not work."""
    providers = [(name, one.label or name) for name, one in context_of(request).config.web.oidc.items()]
    query = urllib.parse.urlencode({"next": then})
    return page(
        request, "pages/sign_in.html", status, then=then, address=address, why=why, providers=providers, query=query
    )


async def _try(request: Request) -> Response:
    if not is_ours(request):
        raise HTTPException(403)
    address, password = (await field(request, "address")).strip(), await field(request, "password")
    then = landing(await field(request, "next"))
    account = await _account(request, address, password) if address and password else None
    if account is None:
        _ = translator(request)
        why = _("That is not the address and its password, or too many tries were wrong.")
        return sign_in_form(request, then, 401, address=address, why=why)
    return await _password_was_right(request, account, then)


async def _account(request: Request, address: str, password: str) -> Account | None:
    found = await visitor(request).answer(Credentials(MECHANISM, address, password))
    return found if isinstance(found, Account) else None


async def _password_was_right(request: Request, account: Account, then: str) -> Response:
    if account.has_totp:
        return await ask_code(request, account, then)
    response = RedirectResponse(then, 303)
    await signed_in(request, response, account, "password")
    return response


async def ask_code(
    request: Request, account: Account, then: str, *, status: int = 200, why: str = "", provided: Provided | None = None
) -> Response:
    """The page on which an account shows its second factor, after the first one."""
    begin = partial(
        context_of(request).sessions.await_step, "code", _CODE_TIME, account=account.id, address=account.address,
        state=then.encode(), provided=provided,
    )  # fmt: skip
    response = page(request, "pages/code.html", status, why=why)
    set_cookie(request, response, cookie(request, "step"), await trio.to_thread.run_sync(begin), seconds=_CODE_TIME)
    return response


async def _try_code(request: Request) -> Response:
    if not is_ours(request):
        raise HTTPException(403)
    sessions, token = context_of(request).sessions, request.cookies.get(cookie(request, "step"), "")
    step = await trio.to_thread.run_sync(sessions.take_step, token, "code")
    if step is None:
        return RedirectResponse("/sign-in", 303)
    directory = context_of(request).directory()
    account = await asked(directory, directory.account, step.address)
    if account is None or account.id != step.account:
        return RedirectResponse("/sign-in", 303)
    then = landing(step.state.decode())
    if await visitor(request).code(account, (await field(request, "code")).replace(" ", "")):
        response = RedirectResponse(then, 303)
        await signed_in(request, response, account, "oidc" if step.provided else "totp", step.provided)
        return response
    _ = translator(request)
    why = _("That is not the code of now. Each code counts once.")
    return await ask_code(request, account, then, status=401, why=why, provided=step.provided)


@require()
async def _leave(request: Request) -> Response:
    session, goodbye = session_of(request), RedirectResponse("/sign-in", 303)
    await signed_out(request, goodbye)
    provided = session.provided if session else None
    if provided is None or not (address := await _leaving(request, provided)):
        return goodbye
    # No redirect: browsers let a form lead to no other site (CSP form-action), and it is theirs to choose.
    label = context_of(request).config.web.oidc[provided.name].label or provided.name
    response = page(request, "pages/signed_out.html", provider=label, address=address)
    response.headers.raw.extend(pair for pair in goodbye.headers.raw if pair[0] == b"set-cookie")
    return response


async def _leaving(request: Request, provided: Provided) -> str:
    """Where one signs out at the provider as well; empty: nowhere."""
    context = context_of(request)
    party = context.provider(provided.name)
    try:
        return await party.leaving(f"{context.origin(request)}/sign-in", provided.hint) if party else ""
    except Unavailable:
        return ""  # one is signed out here all the same


ROUTES = [
    Route("/sign-in", _ask, methods=["GET"]),
    Route("/sign-in", _try, methods=["POST"]),
    Route("/sign-in/code", _try_code, methods=["POST"]),
    Route("/sign-out", _leave, methods=["POST"]),
]
