"""Accounts: a list with what each uses, and when it was used last."""

import contextlib
import urllib.parse
from collections.abc import Sequence, Set
from dataclasses import dataclass

import trio
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
    Unavailable,
    passwords,
)
from engine.mailbox.views import Usage
from engine.operations import accounts
from engine.operations.lately import last_mail
from engine.storage.environment import StorageError
from engine.units import Size
from engine.web.admin.scope import administered, operator, shown_domains
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
    """An account in the list. Times are Unix times; None: never, as far as it is known."""

    account: Account
    usage: Usage | None  # None: the mailboxes cannot be read now
    allowed: Allowed
    last_login: float | None = None
    last_mail: float | None = None

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
    """With what they use. Blocks."""
    context = context_of(request)
    usages = usages_of(context, [one.id for one in accounts])
    return [
        Row(one, usage, context.quotas.allowed(one), _last_login(context, one), _last_mail(context, one))
        for one, usage in zip(accounts, usages, strict=True)
    ]


def _last_login(context: Context, account: Account) -> float | None:
    """The last that is known of: to the day by mail programs, to the minute in the pages."""
    seen = [one.seen for one in context.sessions.of(account.id)[:1]]
    with contextlib.suppress(Unavailable):
        seen.append(context.login.guard.last_login(account.id) or 0.0)
    return max(seen, default=0.0) or None


def _last_mail(context: Context, account: Account) -> float | None:
    try:
        return last_mail(context.mailboxes(), account.id)
    except StorageError:
        return None


@require(HELPDESK)
async def _list(request: Request) -> Response:
    return await _listed(request)


async def _listed(
    request: Request, status: int = 200, *, why: str = "", made: tuple[str, str] | None = None
) -> Response:
    domains = shown_domains(request)
    wanted, query = request.query_params.get("domain", ""), asked(request.query_params.get("q", ""))
    found = await trio.to_thread.run_sync(matching, embedded(request), chosen(domains, wanted), query)
    number = _page_number(request, len(found))
    some = found[number * PAGE : (number + 1) * PAGE]
    directory, roles = embedded(request), own(request).roles
    return page(
        request,
        "admin/accounts.html",
        status,
        rows=await trio.to_thread.run_sync(rows, request, some),
        domains=domains,
        administered=[name for name in domains if roles.administers(name)],
        groups=[one.address for one in directory.groups() if roles.administers(one.address.rpartition("@")[2])],
        domain=wanted if wanted in domains else "",
        query=query,
        count=len(found),
        number=number,
        pages=max(1, -(-len(found) // PAGE)),
        done=_done(request),
        why=why,
        made=made,
        shortest=SHORT,
    )


def _done(request: Request) -> int | None:
    """To how many something was done, as the page that did it tells in the address."""
    number = request.query_params.get("done", "")
    return int(number) if number.isascii() and number.isdigit() and len(number) < 7 else None


def asked(text: str) -> str:
    """What somebody looks for."""
    return text.strip().lower()[:100]


def chosen(domains: Sequence[str], wanted: str) -> Set[str]:
    """The domains that are looked through."""
    return {wanted} & set(domains) if wanted else set(domains)


def matching(directory: Embedded, domains: Set[str], query: str) -> list[Account]:
    """Accounts of these domains whose address has that in it."""
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
        account = await trio.to_thread.run_sync(accounts.add, directory, operator(request), f"{name}@{domain}", given)
    except AlreadyThere:
        return await _listed(request, 422, why=_("There is an account or an alias of this name already."))
    except Invalid:
        return await _listed(request, 422, why=_("This cannot be an address or a password."))
    if password:
        return to_account(account.address, "added")
    return await _listed(request, made=(account.address, given))


def to_account(address: str, done: str, path: str = "/admin/account") -> Response:
    """To the page of an account, which says what was done."""
    return RedirectResponse(f"{path}?{urllib.parse.urlencode({'address': address, 'done': done})}", 303)


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


ROUTES = [
    Route("/admin/accounts", _list, methods=["GET"]),
    Route("/admin/accounts", _add, methods=["POST"]),
]
