"""Shared mailboxes: accounts in which several people work, and by which nobody signs in."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import trio
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.directory import ADMINISTRATOR, HELPDESK, Account
from engine.operations import accounts, delegating
from engine.operations.delegating import Person
from engine.storage.environment import StorageError
from engine.web.admin.accounts import to_account
from engine.web.admin.scope import administered, operator, shown_domains
from engine.web.context import context_of
from engine.web.means import mail
from engine.web.pages.account import embedded, own
from engine.web.pages.groups import tried
from engine.web.pages.signing_in import field
from engine.web.rendering import page
from engine.web.sessions import require


@dataclass(frozen=True, slots=True)
class Row:
    """A mailbox that is shared, and who works in it; None: it cannot be read now."""

    account: Account
    people: Sequence[Person] | None


def _rows(request: Request) -> list[Row]:
    """Accounts without a password whose mail does not go to a public folder."""
    directory, domains = embedded(request), set(shown_domains(request))
    shared = [
        one for one in directory.accounts() if one.domain in domains and not one.has_password and not one.folder
    ]  # fmt: skip
    by, means = operator(request, HELPDESK), mail(context_of(request))
    try:
        found = delegating.everybody(means, directory, by, shared)
        return [Row(one, people) for one, people in zip(shared, found, strict=True)]
    except StorageError:
        return [Row(one, None) for one in shared]


@require(HELPDESK)
async def _list(request: Request) -> Response:
    return await _listed(request)


async def _listed(request: Request, status: int = 200, *, why: str = "") -> Response:
    roles = own(request).roles
    return page(
        request,
        "admin/shared.html",
        status,
        rows=await trio.to_thread.run_sync(_rows, request),
        administered=[name for name in shown_domains(request) if roles.administers(name)],
        why=why,
    )


@require(ADMINISTRATOR)
async def _add(request: Request) -> Response:
    name, domain = (await field(request, "name")).strip(), await field(request, "domain")
    directory = administered(request, domain)
    made, why = await tried(request, partial(accounts.add, directory, operator(request), f"{name}@{domain}"))
    return await _listed(request, 422, why=why) if why else to_account(made.address, "added")


ROUTES = [
    Route("/admin/shared", _list, methods=["GET"]),
    Route("/admin/shared", _add, methods=["POST"]),
]
