"""The session of a request: found once, before anything answers it."""

from collections.abc import MutableMapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import trio
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from engine.directory import Account, Roles, Unavailable, asked
from engine.observe.events import event
from engine.storage.environment import StorageError
from engine.web.context import Context, context_of
from engine.web.sessions.store import Found, Person, Provided, csrf

_FOUND = "postroad.session"
"""Where in the scope of a request its session is."""


LIVE = "x-live"
"""The header by which a page says that it asks by itself: that does not keep its session in use."""


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who has signed in."""

    id: bytes
    account: Account
    roles: Roles
    csrf: str  # what forms and scripts show, to prove that they are of our pages
    how: str  # what proved who it is: "password", "totp", "passkey", "oidc"
    person: Person
    provided: Provided | None = None  # who has let them in, where that was a provider


def session_of(request: HTTPConnection) -> Session | None:
    """Who asks; None: somebody who has not signed in."""
    found = request.scope.get(_FOUND)
    return found if isinstance(found, Session) else None


class Sessioned:
    """Middleware that finds the session of each request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not scope["path"].startswith("/static/"):
            request = HTTPConnection(scope)
            token = request.cookies.get(cookie(request))
            try:
                by_itself = LIVE in request.headers
                scope[_FOUND] = await found(context_of(request), token, used=not by_itself) if token else None
            except (Unavailable, StorageError) as error:
                if context_of(request).troubles.is_news(error):
                    event("web-session-unknown", error=str(error))
                await PlainTextResponse("Try again in a moment.\n", 503)(scope, receive, send)
                return
        await self._app(scope, receive, send)


async def found(context: Context, token: str, *, used: bool = True) -> Session | None:
    """The session of a token: it ends with its account, and with its password. Unavailable, StorageError.

    ``used``: by somebody who asks for something, and not by a page that lies open.
    """
    stored = context.sessions.find(token)
    account = await account_of(context, stored) if stored is not None else None
    if stored is None or account is None:
        return None
    if used:
        await trio.to_thread.run_sync(context.sessions.see, stored)
    return _session(context, stored, account, token)


async def account_of(context: Context, stored: Found) -> Account | None:
    """Whose session it is. None: it has just ended, with the account, its password, or its provider.

    Unavailable, StorageError.
    """
    directory = context.directory()
    account = await asked(directory, directory.account, stored.address)
    if account is not None and _is_theirs(account, stored) and _is_still_provided(context, stored.provided):
        return account
    await trio.to_thread.run_sync(context.sessions.end, stored.id)
    return None


def _session(context: Context, stored: Found, account: Account, token: str) -> Session:
    person, provided = context.sessions.person(account.id), stored.provided
    settings = context.config.web.oidc.get(provided.name) if provided else None  # a reload may just have taken it away
    given = settings.roles_of(provided.groups) if provided and settings else ()
    roles = Roles(tuple(dict.fromkeys((*account.roles, *given))))
    return Session(stored.id, account, roles, csrf(token), stored.how, person, provided)


def _is_theirs(account: Account, stored: Found) -> bool:
    """Whether it is the account that has signed in, as it was then."""
    return account.id == stored.account and account.changed <= stored.created and not account.suspended


def _is_still_provided(context: Context, provided: Provided | None) -> bool:
    """Whether the provider that let somebody in is one of ours still."""
    settings = context.config.web.oidc.get(provided.name) if provided else None
    return provided is None or (settings is not None and settings.issuer == provided.issuer)


async def signed_in(
    request: Request, response: Response, account: Account, how: str, provided: Provided | None = None
) -> None:
    """Let the browser be this account from now on. A session that it had ends: nobody can have foisted it on it."""
    context, old = context_of(request), session_of(request)
    if old is not None:
        await trio.to_thread.run_sync(context.sessions.end, old.id)
    agent, peer = request.headers.get("user-agent", ""), context.peer(request)
    begin = partial(
        context.sessions.begin, account.id, account.address, peer=peer, agent=agent, how=how, provided=provided
    )
    token = await trio.to_thread.run_sync(begin)
    provider = provided.name if provided else None
    event("web-session-begun", address=account.address, peer=peer, how=how, provider=provider)
    set_cookie(request, response, cookie(request), token, seconds=int(context.config.web.lifetime))


async def signed_out(request: Request, response: Response) -> None:
    """End the session of the request."""
    session = session_of(request)
    if session is not None:
        await trio.to_thread.run_sync(context_of(request).sessions.end, session.id)
        event("web-session-ended", address=session.account.address, peer=context_of(request).peer(request))
        request.scope.pop(_FOUND, None)
    response.delete_cookie(cookie(request), **_attributes(request))


def cookie(request: HTTPConnection, name: str = "session") -> str:
    """The name of one of our cookies: one that no other host, and nobody in the clear, can set (RFC 6265bis 4.1.3)."""
    return f"__Host-{name}" if _is_secure(request) else name


def set_cookie(request: HTTPConnection, response: Response, name: str, value: str, *, seconds: int) -> None:
    response.set_cookie(name, value, max_age=seconds, **_attributes(request))


def _attributes(request: HTTPConnection) -> MutableMapping[str, Any]:
    # Lax: who follows a link to a message in another program's window is signed in. What changes anything is POSTed.
    return {"path": "/", "secure": _is_secure(request), "httponly": True, "samesite": "lax"}


def _is_secure(request: HTTPConnection) -> bool:
    return context_of(request).origin(request).startswith("https://")
