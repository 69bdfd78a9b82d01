"""Accounts: a list with what each uses, one of them with what can be changed of it."""

import urllib.parse
from collections.abc import Sequence, Set
from dataclasses import dataclass
from functools import partial

import trio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from engine.directory import (
    ADMINISTRATOR,
    HELPDESK,
    SHORT,
    Account,
    Allowed,
    AlreadyThere,
    Embedded,
    Invalid,
    Limit,
    NotFound,
    passwords,
)
from engine.directory.roles import OF_DOMAINS, ROLES
from engine.mailbox.views import Usage
from engine.storage.environment import StorageError
from engine.units import Size
from engine.web.admin.scope import administered, changeable, known, may_give, note, outranks, shown_domains
from engine.web.context import Context, context_of
from engine.web.languages import translator
from engine.web.pages.account import embedded, own
from engine.web.pages.signing_in import field
from engine.web.rendering import page
from engine.web.sessions import require

PAGE = 50
"""Accounts of one page."""


@dataclass(frozen=True, slots=True)
class Row:
    """An account in the list."""

    account: Account
    usage: Usage | None  # None: the mailboxes cannot be read now
    allowed: Allowed

    @property
    def share(self) -> float | None:
        """How full it is, of one; None: it has no limit."""
        if self.usage is None:
            return None
        shares = [
            used / most
            for used, most in ((self.usage.size, self.allowed.octets), (self.usage.messages, self.allowed.messages))
            if most
        ]
        return max(shares, default=None)


def usages_of(context: Context, accounts: Sequence[int]) -> Sequence[Usage | None]:
    """What these accounts use; nothing is known while the mailboxes cannot be read, and other things go on."""
    try:
        return context.mailboxes().usages(accounts)
    except StorageError:
        return [None] * len(accounts)


def rows(request: Request, accounts: Sequence[Account]) -> list[Row]:
    """With what they use."""
    context = context_of(request)
    usages = usages_of(context, [one.id for one in accounts])
    return [Row(one, usage, context.quotas.allowed(one)) for one, usage in zip(accounts, usages, strict=True)]


@require(HELPDESK)
async def _list(request: Request) -> Response:
    return await _listed(request)


async def _listed(
    request: Request, status: int = 200, *, why: str = "", made: tuple[str, str] | None = None
) -> Response:
    domains = shown_domains(request)
    wanted, query = request.query_params.get("domain", ""), request.query_params.get("q", "").strip().lower()[:100]
    chosen = {wanted} & set(domains) if wanted else set(domains)
    matching = await trio.to_thread.run_sync(_matching, embedded(request), chosen, query)
    number = _page_number(request, len(matching))
    some = matching[number * PAGE : (number + 1) * PAGE]
    return page(
        request,
        "admin/accounts.html",
        status,
        rows=await trio.to_thread.run_sync(rows, request, some),
        domains=domains,
        administered=[name for name in domains if own(request).roles.administers(name)],
        domain=wanted if wanted in chosen else "",
        query=query,
        count=len(matching),
        number=number,
        pages=max(1, -(-len(matching) // PAGE)),
        why=why,
        made=made,
        shortest=SHORT,
    )


def _matching(directory: Embedded, domains: Set[str], query: str) -> list[Account]:
    return [one for one in directory.accounts() if one.domain in domains and query in one.address]


def _page_number(request: Request, count: int) -> int:
    text = request.query_params.get("page", "0")
    last = max(0, (count - 1) // PAGE)
    return min(int(text), last) if text.isascii() and text.isdigit() and len(text) < 7 else 0


@require(ADMINISTRATOR)
async def _add(request: Request) -> Response:
    _ = translator(request)
    name, domain = (await field(request, "name")).strip(), await field(request, "domain")
    directory = administered(request, domain)
    password = await field(request, "password")
    if password and len(password) < SHORT:
        return await _listed(request, 422, why=_("The password is too short."))
    given = password or passwords.generated()
    try:
        account = await trio.to_thread.run_sync(directory.add_account, f"{name}@{domain}", given)
    except AlreadyThere:
        return await _listed(request, 422, why=_("There is an account or an alias of this name already."))
    except Invalid:
        return await _listed(request, 422, why=_("This cannot be an address or a password."))
    note(request, "added", account.address)
    if password:
        return _to(account.address, "added")
    return await _listed(request, made=(account.address, given))


def _to(address: str, done: str) -> Response:
    return RedirectResponse(f"/admin/account?{urllib.parse.urlencode({'address': address, 'done': done})}", 303)


@require(HELPDESK)
async def _show(request: Request) -> Response:
    return await _shown(request, request.query_params.get("address", ""))


async def _shown(request: Request, address: str, status: int = 200, *, why: str = "", made: str = "") -> Response:
    directory, account = known(request, address)
    context, roles = context_of(request), own(request).roles
    (row,) = await trio.to_thread.run_sync(rows, request, [account])
    return page(
        request,
        "admin/account.html",
        status,
        row=row,
        account=account,
        app_passwords=directory.app_passwords(account.address),
        sessions=context.sessions.of(account.id),
        may_change=outranks(roles, account) and account.id != own(request).account.id,
        administers=roles.administers(account.domain),
        givable=[role for role in _roles(request) if may_give(roles, role) and role not in account.roles],
        takable=[role for role in account.roles if may_give(roles, role)],
        done=_done(request, request.query_params.get("done", "")),
        why=why,
        made=made,
        shortest=SHORT,
    )


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
        "sessions": _("All sessions of the account have ended."),
    }
    return known.get(what, "")


@require(HELPDESK)
async def _set_password(request: Request) -> Response:
    _, address = translator(request), await field(request, "address")
    directory, account = changeable(request, address, administers=False)
    password = await field(request, "password")
    if password and len(password) < SHORT:
        return await _shown(request, address, 422, why=_("The password is too short."))
    given = password or passwords.generated()
    try:
        await trio.to_thread.run_sync(directory.set_password, account.address, given)
    except Invalid:
        return await _shown(request, address, 422, why=_("This cannot be a password."))
    note(request, "password", account.address)
    return _to(account.address, "password") if password else await _shown(request, address, made=given)


@require(HELPDESK)
async def _end_totp(request: Request) -> Response:
    directory, account = changeable(request, await field(request, "address"), administers=False)
    await trio.to_thread.run_sync(directory.set_totp, account.address, None)
    note(request, "totp", account.address)
    return _to(account.address, "totp")


@require(HELPDESK)
async def _end_sessions(request: Request) -> Response:
    _, account = changeable(request, await field(request, "address"), administers=False)
    await trio.to_thread.run_sync(context_of(request).sessions.end_others, account.id)
    note(request, "sessions", account.address)
    return _to(account.address, "sessions")


@require(ADMINISTRATOR)
async def _set_quota(request: Request) -> Response:
    _ = translator(request)
    directory, account = changeable(request, await field(request, "address"))
    try:
        limit = Limit(size_of(await field(request, "size")), number_of(await field(request, "messages")))
    except ValueError:
        return await _shown(request, account.address, 422, why=_("Write a size like 5 GB, and a number of messages."))
    await trio.to_thread.run_sync(directory.limit, account.address, limit)
    note(request, "quota", account.address)
    return _to(account.address, "quota")


def size_of(text: str) -> int | None:
    """Octets; None where nothing is said. ValueError."""
    return int(Size(text.replace(",", "."))) if text.strip() else None


def number_of(text: str) -> int | None:
    """The same of a number."""
    if not text.strip():
        return None
    if not text.strip().isascii() or not text.strip().isdigit() or len(text) > 15:
        raise ValueError(text)
    return int(text)


@require(ADMINISTRATOR)
async def _set_roles(request: Request) -> Response:
    directory, account = changeable(request, await field(request, "address"))
    added, removed = await field(request, "add"), await field(request, "remove")
    if not all(may_give(own(request).roles, role) for role in (added, removed) if role):
        raise HTTPException(403)
    change = partial(
        directory.set_roles, account.address, [added] if added else [], [removed] if removed else []
    )  # fmt: skip
    try:
        await trio.to_thread.run_sync(change)
    except (Invalid, NotFound) as error:
        raise HTTPException(422) from error
    note(request, "roles", account.address)
    return _to(account.address, "roles")


@require(ADMINISTRATOR)
async def _remove(request: Request) -> Response:
    directory, account = changeable(request, await field(request, "address"))
    if account.id == own(request).account.id:
        raise HTTPException(403)
    context = context_of(request)
    await trio.to_thread.run_sync(directory.remove_account, account.address)
    await trio.to_thread.run_sync(context.sessions.end_others, account.id)
    await trio.to_thread.run_sync(context.stores.lists.forget, account.address)
    note(request, "removed", account.address)
    return RedirectResponse(f"/admin/accounts?domain={urllib.parse.quote(account.domain)}", 303)


ROUTES = [
    Route("/admin/accounts", _list, methods=["GET"]),
    Route("/admin/accounts", _add, methods=["POST"]),
    Route("/admin/account", _show, methods=["GET"]),
    Route("/admin/account/password", _set_password, methods=["POST"]),
    Route("/admin/account/totp/end", _end_totp, methods=["POST"]),
    Route("/admin/account/sessions/end", _end_sessions, methods=["POST"]),
    Route("/admin/account/quota", _set_quota, methods=["POST"]),
    Route("/admin/account/roles", _set_roles, methods=["POST"]),
    Route("/admin/account/remove", _remove, methods=["POST"]),
]
