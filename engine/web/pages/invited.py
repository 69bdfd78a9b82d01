"""Whoever has a link that invites them: they choose the password of their account, and are in."""

import trio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from engine.directory import SHORT, Account, Embedded, Invalid, asked
from engine.operations import accounts
from engine.operations.operator import Operator
from engine.web.context import context_of
from engine.web.languages import translator
from engine.web.pages.signing_in import field
from engine.web.rendering import page
from engine.web.sessions import is_ours, signed_in


def link(request: Request, token: str) -> str:
    """What somebody is sent."""
    return f"{context_of(request).origin(request)}/invitation?token={token}"


async def invited(request: Request, token: str) -> Account | None:
    """The account of a link that is good: one whose password nobody has set since, and which may do no more since."""
    context = context_of(request)
    found = await trio.to_thread.run_sync(context.sessions.invitations.find, token)
    directory = context.directory()
    if found is None or not isinstance(directory, Embedded):
        return None
    account = await asked(directory, directory.account, found.address)
    if account is None or account.id != found.account or account.suspended or account.changed > found.made:
        return None
    # Whoever made the link may have it still: it must not be the way to a role that was given since.
    return account if set(account.roles) <= set(found.roles) else None


def _form(request: Request, token: str, account: Account | None, status: int = 200, why: str = "") -> Response:
    return page(request, "pages/invited.html", status, token=token, account=account, why=why, shortest=SHORT)


async def _ask(request: Request) -> Response:
    token = request.query_params.get("token", "")
    account = await invited(request, token)
    return _form(request, token, account, 200 if account else 404)


async def _set(request: Request) -> Response:
    context = context_of(request)
    if not is_ours(request):
        raise HTTPException(403)
    if not context.pace.allows(context.login.guard.network(context.peer(request))):
        raise HTTPException(429, headers={"retry-after": "60"})
    _, token = translator(request), await field(request, "token")
    account = await invited(request, token)
    if account is None:
        return _form(request, token, None, 404)
    new, again = await field(request, "new"), await field(request, "again")
    if new != again:
        return _form(request, token, account, 422, _("The two new passwords are not the same."))
    if len(new) < SHORT:
        return _form(request, token, account, 422, _("The new password is too short."))
    try:
        await trio.to_thread.run_sync(_taken, request, token, account, new)
    except Invalid:
        return _form(request, token, account, 422, _("This cannot be a password."))
    except KeyError:
        return _form(request, token, None, 404)
    return await _in(request, account)


def _taken(request: Request, token: str, account: Account, password: str) -> None:
    """Set the password. Blocks. KeyError: somebody was faster; Invalid."""
    context = context_of(request)
    directory, by = context.directory(), Operator(account.address, frozenset({account.domain}), context.note)
    assert isinstance(directory, Embedded)
    if context.sessions.invitations.take(token) is None:
        raise KeyError(token)
    accounts.set_password(directory, by, account.address, password)


async def _in(request: Request, account: Account) -> Response:
    """Sign them in, unless a second factor is asked for."""
    if account.has_totp:
        return RedirectResponse("/sign-in", 303)
    response = RedirectResponse("/", 303)
    await signed_in(request, response, account, "password")
    return response


ROUTES = [
    Route("/invitation", _ask, methods=["GET"]),
    Route("/invitation", _set, methods=["POST"]),
]
