"""One account: what can be changed of it, who works in its mailbox, and its app passwords."""

import contextlib
from functools import partial

import trio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from engine.directory import (
    ADMINISTRATOR,
    HELPDESK,
    SERVICES,
    SHORT,
    AlreadyThere,
    Invalid,
    Limit,
    NotFound,
    passwords,
)
from engine.directory.roles import OF_DOMAINS, ROLES
from engine.operations import accounts, delegating, quotas
from engine.operations.delegating import LEVELS, Person
from engine.storage.environment import StorageError
from engine.web.admin.accounts import number_of, rows, size_of, to_account
from engine.web.admin.scope import changeable, known, may_give, operator, outranks, shown_domains
from engine.web.context import context_of
from engine.web.languages import translator
from engine.web.means import mail
from engine.web.pages.account import own
from engine.web.pages.delegates import refusal, sends_of
from engine.web.pages.invited import link
from engine.web.pages.passkeys import of as passkeys_of
from engine.web.pages.signing_in import field
from engine.web.rendering import page
from engine.web.sessions import require


@require(HELPDESK)
async def _show(request: Request) -> Response:
    return await shown(request, request.query_params.get("address", ""))


async def shown(
    request: Request, address: str, status: int = 200, *, why: str = "", made: str = "", app: str = "", url: str = ""
) -> Response:
    """The page. What is shown once: ``made``, a password; ``app``, an app password; ``url``, a link that invites."""
    directory, account = known(request, address)
    context, roles = context_of(request), own(request).roles
    (row,) = await trio.to_thread.run_sync(rows, request, [account])
    by, guard = operator(request, HELPDESK), context.login.guard
    return page(
        request,
        "admin/account.html",
        status,
        row=row,
        account=account,
        app_passwords=await trio.to_thread.run_sync(accounts.app_passwords, directory, guard, by, account.address),
        people=await trio.to_thread.run_sync(_people, request, account.address),
        levels=LEVELS,
        services=SERVICES,
        sessions=context.sessions.of(account.id),
        passkeys=len(context.sessions.person(account.id).passkeys),
        invitation=context.sessions.invitations.of(account.id),
        may_change=outranks(roles, account) and account.id != own(request).account.id,
        administers=roles.administers(account.domain),
        givable=[role for role in _roles(request) if may_give(roles, role) and role not in account.roles],
        takable=[role for role in account.roles if may_give(roles, role)],
        done=_done(request, request.query_params.get("done", "")),
        why=why,
        made=made,
        app_password=app,
        url=url,
        shortest=SHORT,
    )


def _people(request: Request, address: str) -> list[Person] | None:
    """Who else works in the mailbox; None: it cannot be read now."""
    directory, account = known(request, address)
    try:
        return delegating.people(mail(context_of(request)), directory, operator(request, HELPDESK), account)
    except StorageError:
        return None


def _roles(request: Request) -> list[str]:
    """All that there are, for each domain; what reaches furthest comes last, where nobody chooses it unawares."""
    domains = shown_domains(request)
    whole = [role for role in ROLES if role not in OF_DOMAINS]
    return [f"{role}@{domain}" for role in OF_DOMAINS for domain in domains] + whole


def _done(request: Request, what: str) -> str:
    _ = translator(request)
    known = {
        "added": _("The account is there."),
        "quota": _("The quota is set."),
        "roles": _("The roles are changed."),
        "password": _("The password is set; all sessions of the account have ended."),
        "totp": _("The second factor is off."),
        "passkeys": _("The passkeys of the account open it no more."),
        "sessions": _("All sessions of the account have ended."),
        "revoked": _("The app password is good for nothing any more."),
        "suspended": _("The account is suspended: nobody can sign in as it. Its mail is still taken in."),
        "lifted": _("The account can be used again."),
        "person": _("It is noted who works in the mailbox."),
    }
    return known.get(what, "")


@require(HELPDESK)
async def _set_password(request: Request) -> Response:
    _, address = translator(request), await field(request, "address")
    directory, account = changeable(request, address, administers=False)
    password = await field(request, "password")
    if password and len(password) < SHORT:
        return await shown(request, address, 422, why=_("The password is too short."))
    given, by = password or passwords.generated(), operator(request, HELPDESK)
    try:
        await trio.to_thread.run_sync(accounts.set_password, directory, by, account.address, given)
    except Invalid:
        return await shown(request, address, 422, why=_("This cannot be a password."))
    return to_account(account.address, "password") if password else await shown(request, address, made=given)


@require(HELPDESK)
async def _invite(request: Request) -> Response:
    """Make the link by which whoever has it sets the password."""
    _, account = changeable(request, await field(request, "address"), administers=False)
    by, invitations = operator(request, HELPDESK), context_of(request).sessions.invitations

    def made() -> str:
        token = invitations.invite(account, by.name)
        by.tell("account-changed", address=account.address, what="invitation")
        return token

    return await shown(request, account.address, url=link(request, await trio.to_thread.run_sync(made)))


@require(HELPDESK)
async def _end_totp(request: Request) -> Response:
    directory, account = changeable(request, await field(request, "address"), administers=False)
    by = operator(request, HELPDESK)
    await trio.to_thread.run_sync(accounts.disable_totp, directory, by, account.address)
    return to_account(account.address, "totp")


@require(HELPDESK)
async def _end_passkeys(request: Request) -> Response:
    """Of an account that somebody else was in: they may have left one of their own."""
    _, account = changeable(request, await field(request, "address"), administers=False)
    by, known = operator(request, HELPDESK), passkeys_of(request)

    def end() -> None:
        known.remove_all(account)
        by.tell("account-changed", address=account.address, what="no passkeys")

    await trio.to_thread.run_sync(end)
    return to_account(account.address, "passkeys")


@require(HELPDESK)
async def _end_sessions(request: Request) -> Response:
    _, account = changeable(request, await field(request, "address"), administers=False)
    by, sessions = operator(request, HELPDESK), context_of(request).sessions

    def end() -> None:
        sessions.end_others(account.id)
        by.tell("account-changed", address=account.address, what="sessions ended")

    await trio.to_thread.run_sync(end)
    return to_account(account.address, "sessions")


@require(ADMINISTRATOR)
async def _suspend(request: Request) -> Response:
    directory, account = changeable(request, await field(request, "address"))
    if account.id == own(request).account.id:
        raise HTTPException(403)
    suspended = await field(request, "suspended") == "yes"
    await trio.to_thread.run_sync(accounts.suspend, directory, operator(request), account.address, suspended)
    return to_account(account.address, "suspended" if suspended else "lifted")


@require(ADMINISTRATOR)
async def _set_quota(request: Request) -> Response:
    _ = translator(request)
    directory, account = changeable(request, await field(request, "address"))
    try:
        limit = Limit(size_of(await field(request, "size")), number_of(await field(request, "messages")))
    except ValueError:
        return await shown(request, account.address, 422, why=_("Write a size like 5 GB, and a number of messages."))
    await trio.to_thread.run_sync(quotas.put, directory, operator(request), account.address, limit)
    return to_account(account.address, "quota")


@require(ADMINISTRATOR)
async def _set_roles(request: Request) -> Response:
    directory, account = changeable(request, await field(request, "address"))
    added, removed = await field(request, "add"), await field(request, "remove")
    change = partial(
        accounts.set_roles, directory, operator(request), account.address, [added] if added else [],
        [removed] if removed else [],
    )  # fmt: skip
    try:
        await trio.to_thread.run_sync(change)
    except (Invalid, NotFound) as error:
        raise HTTPException(422) from error
    return to_account(account.address, "roles")


@require(ADMINISTRATOR)
async def _remove(request: Request) -> Response:
    directory, account = changeable(request, await field(request, "address"))
    if account.id == own(request).account.id:
        raise HTTPException(403)
    context, by = context_of(request), operator(request)

    def remove() -> None:
        accounts.remove(directory, context.stores.lists, by, account.address)
        context.sessions.end_others(account.id)
        context.sessions.invitations.end(account.id)

    await trio.to_thread.run_sync(remove)
    return RedirectResponse(f"/admin/accounts?domain={account.domain}", 303)


# App passwords


@require(ADMINISTRATOR)
async def _add_app_password(request: Request) -> Response:
    _ = translator(request)
    directory, account = changeable(request, await field(request, "address"))
    form = await request.form()
    services = [one for one in form.getlist("services") if isinstance(one, str)]
    name = await field(request, "name")
    why = _("Give the app password a name, and choose what it is for.")
    if not services:
        return await shown(request, account.address, 422, why=why)
    add = partial(accounts.add_app_password, directory, operator(request), account.address, name, services)
    try:
        made = await trio.to_thread.run_sync(add)
    except AlreadyThere:
        why = _("There is an app password of this name already.")
        return await shown(request, account.address, 422, why=why)
    except Invalid:
        return await shown(request, account.address, 422, why=why)
    return await shown(request, account.address, app=made.password)


@require(HELPDESK)
async def _revoke_app_password(request: Request) -> Response:
    directory, account = changeable(request, await field(request, "address"), administers=False)
    by, name = operator(request, HELPDESK), await field(request, "name")
    with contextlib.suppress(NotFound):  # somebody was faster
        await trio.to_thread.run_sync(accounts.revoke_app_password, directory, by, account.address, name)
    return to_account(account.address, "revoked")


# Who else works in the mailbox


@require(ADMINISTRATOR)
async def _let(request: Request) -> Response:
    """Say what one person may do there, or nothing."""
    directory, account = changeable(request, await field(request, "address"))
    who, level = (await field(request, "who")).strip(), await field(request, "level")
    sends = sends_of(await field(request, "sends"))
    by, means = operator(request), mail(context_of(request))
    let = partial(delegating.let, means, directory, by, account, who, level=level, sends=sends)
    if why := await refusal(request, let):
        return await shown(request, account.address, 422, why=why)
    return to_account(account.address, "person")


ROUTES = [
    Route("/admin/account", _show, methods=["GET"]),
    Route("/admin/account/password", _set_password, methods=["POST"]),
    Route("/admin/account/invite", _invite, methods=["POST"]),
    Route("/admin/account/totp/end", _end_totp, methods=["POST"]),
    Route("/admin/account/passkeys/end", _end_passkeys, methods=["POST"]),
    Route("/admin/account/sessions/end", _end_sessions, methods=["POST"]),
    Route("/admin/account/suspend", _suspend, methods=["POST"]),
    Route("/admin/account/quota", _set_quota, methods=["POST"]),
    Route("/admin/account/roles", _set_roles, methods=["POST"]),
    Route("/admin/account/remove", _remove, methods=["POST"]),
    Route("/admin/account/app-passwords", _add_app_password, methods=["POST"]),
    Route("/admin/account/app-passwords/revoke", _revoke_app_password, methods=["POST"]),
    Route("/admin/account/people", _let, methods=["POST"]),
]
