"""Signing in at a provider (OpenID Connect), and being signed out by it."""

import urllib.parse
from functools import partial

import msgspec
import trio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from engine.directory import Account, AlreadyThere, Embedded, Invalid, NotFound, Unavailable, asked
from engine.login import Begun, Denied, Proof, Refused, RelyingParty, Unverified
from engine.observe.events import event
from engine.operations.operator import Operator
from engine.web.context import context_of
from engine.web.languages import translator
from engine.web.pages.signing_in import ask_code, field, landing, sign_in_form, visitor
from engine.web.sessions import is_ours, signed_in
from engine.web.sessions.session import cookie, set_cookie
from engine.web.sessions.store import Provided

MECHANISM = "OIDC"

_STEP, _COOKIE = "oidc", "provider"
"""What is kept while somebody is away at a provider, and the cookie that binds it to the browser."""

_TIME = 900
"""Seconds that somebody has at the provider."""

_SKEW = 60.0
"""Seconds that the clock of a provider may be ahead, when it says that somebody has left."""

_begun = msgspec.msgpack.Decoder(Begun)
_encode = msgspec.msgpack.Encoder().encode


def _party(request: Request) -> RelyingParty:
    """We, to the provider that the path names. HTTPException."""
    found = context_of(request).provider(request.path_params["name"])
    if found is None:
        raise HTTPException(404)
    return found


def _redirect(request: Request, party: RelyingParty) -> str:
    return f"{context_of(request).origin(request)}/sign-in/with/{party.name}/back"


async def _begin(request: Request) -> Response:
    """Send the browser to the provider."""
    context, party, then = context_of(request), _party(request), landing(request.query_params.get("next"))
    if not is_ours(request):  # others may show the page, but not sign somebody in unasked
        return RedirectResponse(f"/sign-in?{urllib.parse.urlencode({'next': then})}", 303)
    _, peer = translator(request), context.peer(request)
    if not context.pace.allows(context.login.guard.network(peer)) or context.login.keeps_out(peer):
        response = sign_in_form(request, then, 429, why=_("Too many tries came from your network. Wait some minutes."))
        response.headers["retry-after"] = "60"
        return response
    try:
        address, begun = await party.begin(_redirect(request, party), then)
    except Unavailable as error:
        return _failed(request, party, then, error)
    keep = partial(context.sessions.await_step, _STEP, _TIME, state=_encode(begun))
    response = RedirectResponse(address, 303)
    set_cookie(request, response, cookie(request, _COOKIE), await trio.to_thread.run_sync(keep), seconds=_TIME)
    return response


async def _back(request: Request) -> Response:
    """The browser is back, with an answer."""
    party, token = _party(request), request.cookies.get(cookie(request, _COOKIE), "")
    step = await trio.to_thread.run_sync(context_of(request).sessions.take_step, token, _STEP)
    if step is None:
        return _failed(request, party, "/", Refused("it was not begun in this browser, or too long ago"), status=400)
    begun = _begun.decode(step.state)
    then, answer = landing(begun.then), request.query_params.multi_items()
    try:
        if len(dict(answer)) < len(answer):  # RFC 6749 3.1
            raise Refused("something stands twice in the answer")
        proof = await party.end(begun, _redirect(request, party), dict(answer))
    except (Refused, Unavailable) as error:
        return _failed(request, party, then, error)
    account = await _account(request, party, proof)
    if account is None:
        unknown = Unverified(f"there is no account {proof.address}")
        return _failed(request, party, then, unknown, address=proof.address)
    return await _let_in(request, party, proof, account, then)


async def _let_in(request: Request, party: RelyingParty, proof: Proof, account: Account, then: str) -> Response:
    _ = translator(request)
    is_enough = proof.is_strong or not account.has_totp
    if not await visitor(request).proven(account, MECHANISM, is_enough=is_enough):
        return sign_in_form(request, then, 401, why=_("Too many tries came from your network. Wait some minutes."))
    until = context_of(request).sessions.now() + party.settings.lifetime
    provided = Provided(
        party.name, party.settings.issuer, proof.subject, until, proof.session, proof.groups, proof.hint
    )
    if not is_enough:
        return await ask_code(request, account, then, provided=provided)
    response = RedirectResponse(then, 303)
    await signed_in(request, response, account, "oidc", provided)
    return response


async def _account(request: Request, party: RelyingParty, proof: Proof) -> Account | None:
    """Whose address it is; a new account, where that is wanted. Unavailable."""
    context = context_of(request)
    directory = context.directory()
    found = await asked(directory, directory.account, proof.address)
    if found is not None or not party.settings.create or not isinstance(directory, Embedded):
        return found
    try:
        made = await trio.to_thread.run_sync(directory.add_account, proof.address)
    except AlreadyThere:  # made a moment ago; or the name stands for something else
        return await asked(directory, directory.account, proof.address)
    except (Invalid, NotFound):  # in no local domain
        return None
    by = Operator(f"oidc:{party.name}", note=partial(context.note, peer=context.peer(request)))
    await by.told("account-added", address=made.address, account=made.id)
    return made


def _failed(
    request: Request, party: RelyingParty, then: str, error: Exception, *, status: int = 401, address: str = ""
) -> Response:
    """Say it in plain words; the log has the cause."""
    peer = context_of(request).peer(request)
    event("web-oidc-refused", provider=party.name, peer=peer, why=str(error), address=address or None)
    status = 503 if isinstance(error, Unavailable) else status
    return sign_in_form(request, then, status, why=_in_words(request, party, error, status, address))


def _in_words(request: Request, party: RelyingParty, error: Exception, status: int, address: str) -> str:
    _, provider = translator(request), party.settings.label or party.name
    if address:
        return _("There is no mailbox %(address)s here.") % {"address": address}
    if status == 400:
        return _("That took too long, or was begun in another window. Sign in again.")
    said = {
        Unavailable: _("%(provider)s cannot be asked now. Try again in a moment."),
        Denied: _("%(provider)s has not let you in."),
        Unverified: _("%(provider)s does not tell us an address of yours that has a mailbox here."),
    }
    otherwise = _("What %(provider)s says does not hold. Try again; if it stays so, tell whoever runs this server.")
    return next((text for kind, text in said.items() if isinstance(error, kind)), otherwise) % {"provider": provider}


async def _left(request: Request) -> Response:
    """The provider says that somebody has signed out there (OpenID Connect Back-Channel Logout 2.5)."""
    party, headers = _party(request), {"cache-control": "no-store"}
    try:
        left = await party.left(await field(request, "logout_token"))
    except Unavailable:
        return JSONResponse({"error": "temporarily_unavailable"}, 503, headers)
    except Refused as error:
        event("web-oidc-refused", provider=party.name, peer=context_of(request).peer(request), why=str(error))
        return JSONResponse({"error": "invalid_request", "error_description": str(error)}, 400, headers)
    # Who has signed in since stays: so one that is shown again ends nothing.
    end = partial(
        context_of(request).sessions.end_provided, party.name, party.settings.issuer,
        subject=left.subject, session=left.session, before=left.issued + _SKEW,
    )  # fmt: skip
    event("web-oidc-left", provider=party.name, sessions=await trio.to_thread.run_sync(end))
    return Response(status_code=200, headers=headers)


ROUTES = [
    Route("/sign-in/with/{name}", _begin, methods=["GET"]),
    Route("/sign-in/with/{name}/back", _back, methods=["GET"]),
    Route("/sign-out/by/{name}", _left, methods=["POST"]),
]
