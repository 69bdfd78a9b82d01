"""One's own account: its password, app passwords, sessions, language and look."""

import contextlib
import math
import zlib
from collections.abc import Callable, Iterable
from functools import partial

import msgspec
import trio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from engine.directory import SERVICES, SHORT, AlreadyThere, AppPassword, Directory, Embedded, Invalid, NotFound
from engine.operations import accounts
from engine.operations.operator import Operator
from engine.protocols.sasl import Credentials
from engine.web.bounds import bounded
from engine.web.context import context_of
from engine.web.languages import LANGUAGES, translator
from engine.web.pages.agents import in_words
from engine.web.pages.signing_in import MECHANISM, field, visitor
from engine.web.rendering import page
from engine.web.sessions import Session, require, session_of, signed_in
from engine.web.sessions.store import Person
from engine.web.streams import states

THEMES = ("", "light", "dark")

BY_PASSWORD = ("password", "totp")
"""How those have proved who they are who have a password: a provider's people may have none."""


def own(request: Request) -> Session:
    """The session of a request that has one."""
    session = session_of(request)
    assert session is not None
    return session


def embedded(request: Request) -> Embedded:
    """The directory, where it is ours to change."""
    directory = context_of(request).directory()
    if not isinstance(directory, Embedded):
        raise HTTPException(404)
    return directory


def oneself(request: Request) -> Operator:
    """Whoever asks, for operations about their own account. What they change is kept."""
    account, context = own(request).account, context_of(request)
    note = partial(context.note, peer=context.peer(request) or None)
    return Operator(account.address, frozenset({account.domain}), note)


async def is_own_password(request: Request, password: str) -> bool:
    """Whether whoever is signed in knows it. What is wrong counts as a guess."""
    address = own(request).account.address
    return bool(password) and await visitor(request).answer(Credentials(MECHANISM, address, password)) is not None


def shown(request: Request, status: int = 200, *, why: str = "", app_password: str = "") -> Response:
    """The page. ``why``: what could not be done; ``app_password``: one that is told this once."""
    context, session, state = context_of(request), own(request), _state(request)
    directory = context.directory()
    is_ours = isinstance(directory, Embedded)
    guard = context.login.guard
    passwords = [
        (one, guard.last_use(session.account.id, one.created))
        for one in (directory.app_passwords(session.account.address) if isinstance(directory, Embedded) else ())
    ]
    return page(
        request,
        "pages/account.html",
        status,
        why=why,
        state=state,
        app_password=app_password,
        app_passwords=passwords,
        is_ours=is_ours,
        sessions=[(one, in_words(one.agent)) for one in context.sessions.of(session.account.id)],
        owned=_owned(directory, session.account.address),
        services=SERVICES,
        shortest=SHORT,
        themes=THEMES,
        asks_password=session.how in BY_PASSWORD,
    )


def _owned(directory: Directory, address: str) -> list[str]:
    """The groups whose members they say."""
    return (
        [one.address for one in directory.groups() if address in one.owners] if isinstance(directory, Embedded) else []
    )


def _state(request: Request) -> str:
    """Another one when the account, its passkeys or its sessions have become others."""
    context, mine = context_of(request), own(request).account
    directory, person = context.directory(), context.sessions.person(mine.id)
    account, programs = mine, list[AppPassword]()
    if isinstance(directory, Embedded):
        account = directory.account(mine.address) or mine
        with contextlib.suppress(NotFound):  # gone just now: its streams end soon
            programs = list(directory.app_passwords(mine.address))
    found = account, programs, person, sorted(one.id for one in context.sessions.of(mine.id))
    return f"{zlib.crc32(repr(found).encode()):08x}"


@bounded(seconds=math.inf)
@require()
async def _live(request: Request) -> Response:
    async def state() -> str:
        return _state(request)

    return states(request, state)


@require()
async def _show(request: Request) -> Response:
    return shown(request)


@require()
async def _set_password(request: Request) -> Response:
    _, session, directory = translator(request), own(request), embedded(request)
    new, again = await field(request, "new"), await field(request, "again")
    if new != again:
        return shown(request, 422, why=_("The two new passwords are not the same."))
    if len(new) < SHORT:
        return shown(request, 422, why=_("The new password is too short."))
    if not await is_own_password(request, await field(request, "current")):
        return shown(request, 422, why=_("The present password is another one."))
    try:
        await trio.to_thread.run_sync(
            accounts.set_password, directory, oneself(request), session.account.address, new
        )  # fmt: skip
    except Invalid:
        return shown(request, 422, why=_("This cannot be a password."))
    response = RedirectResponse("/account", 303)
    await signed_in(request, response, session.account, session.how, session.provided)  # all others have ended by it
    return response


@require()
async def _add_app_password(request: Request) -> Response:
    _, session, directory = translator(request), own(request), embedded(request)
    form = await request.form()
    services = [one for one in form.getlist("services") if isinstance(one, str)]
    by, name = oneself(request), await field(request, "name")
    if not services:
        return shown(request, 422, why=_("Give the app password a name, and choose what it is for."))
    add = partial(accounts.add_app_password, directory, by, session.account.address, name, services)
    try:
        made = await trio.to_thread.run_sync(add)
    except AlreadyThere:
        return shown(request, 422, why=_("There is an app password of this name already."))
    except Invalid:
        return shown(request, 422, why=_("Give the app password a name, and choose what it is for."))
    return shown(request, app_password=made.password)


@require()
async def _revoke_app_password(request: Request) -> Response:
    session, directory = own(request), embedded(request)
    try:
        name = await field(request, "name")
        await trio.to_thread.run_sync(
            accounts.revoke_app_password, directory, oneself(request), session.account.address, name
        )  # fmt: skip
    except NotFound:
        pass  # somebody was faster
    return RedirectResponse("/account", 303)


@require()
async def _end_sessions(request: Request) -> Response:
    """One of them, or all but this one."""
    context, session = context_of(request), own(request)
    wanted = await field(request, "session")
    if wanted == "others":
        await trio.to_thread.run_sync(context.sessions.end_others, session.account.id, session.id)
        return RedirectResponse("/account", 303)
    for one in context.sessions.of(session.account.id):
        if one.id.hex() == wanted:
            await trio.to_thread.run_sync(context.sessions.end, one.id)
    return RedirectResponse("/account", 303)


@require()
async def _choose(request: Request) -> Response:
    """The language and the look."""
    language = _one_of(await field(request, "language"), ("", *LANGUAGES))
    theme = _one_of(await field(request, "theme"), THEMES)
    change: Callable[[Person], Person] = partial(msgspec.structs.replace, language=language, theme=theme)
    await trio.to_thread.run_sync(context_of(request).sessions.change_person, own(request).account.id, change)
    return RedirectResponse("/account", 303)


def _one_of(value: str, known: Iterable[str]) -> str:
    return value if value in known else ""


ROUTES = [
    Route("/account", _show, methods=["GET"]),
    Route("/account/password", _set_password, methods=["POST"]),
    Route("/account/app-passwords", _add_app_password, methods=["POST"]),
    Route("/account/app-passwords/revoke", _revoke_app_password, methods=["POST"]),
    Route("/account/live", _live, methods=["GET"]),
    Route("/account/sessions/end", _end_sessions, methods=["POST"]),
    Route("/account/look", _choose, methods=["POST"]),
]
