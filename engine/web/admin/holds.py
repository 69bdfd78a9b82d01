"""Holds: accounts, domains, groups of which nothing goes for good. Auditors see them; owners begin and end them."""

import contextlib
from collections.abc import Iterator
from functools import partial

import trio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from engine.directory import OWNER, NotFound
from engine.mailbox import Mailboxes
from engine.operations import holding
from engine.operations.reading import Change
from engine.oversight import Refusal
from engine.web.admin.overseer import kept, overseeing, overseer, whose
from engine.web.context import Context, context_of
from engine.web.languages import translator
from engine.web.pages.account import embedded, own
from engine.web.pages.signing_in import field
from engine.web.rendering import page
from engine.web.sessions import require


@contextlib.contextmanager
def _read(context: Context) -> Iterator[Mailboxes]:
    yield context.mailboxes()


def _change(context: Context) -> Change:
    """How a thread of ours has the owner of the mailboxes change them."""
    return lambda command: trio.from_thread.run(context.change, command)


@overseeing
async def _list(request: Request) -> Response:
    return await _listed(request)


async def _listed(request: Request, status: int = 200, *, why: str = "", addresses: str = "") -> Response:
    opened, context = await kept(request), context_of(request)
    rows = await trio.to_thread.run_sync(holding.listed, opened, partial(_read, context), overseer(request))
    may_change = own(request).roles.has(OWNER)
    return page(request, "admin/holds.html", status, rows=rows, may_change=may_change, why=why, addresses=addresses)


@require(OWNER)
async def _add(request: Request) -> Response:
    _ = translator(request)
    opened, context = await kept(request), context_of(request)
    text, reason = await field(request, "addresses"), await field(request, "reason")
    wide, people = await trio.to_thread.run_sync(_parted, request, text)
    found, unknown = await trio.to_thread.run_sync(whose, request, " ".join(people))
    if unknown:
        why = _("There is no account and no group %(address)s.") % {"address": unknown[0]}
        return await _listed(request, 422, why=why, addresses=text)
    if not (found or wide) or not reason.strip():
        why = _("Write whose mail it is about, and the reason.")
        return await _listed(request, 422, why=why, addresses=text)
    by, change = overseer(request), _change(context)
    for one in found:
        with contextlib.suppress(Refusal):  # it is held already
            await trio.to_thread.run_sync(partial(holding.hold, opened, change, by, one, reason))
    for name in wide:
        hold = partial(holding.hold_wide, opened, embedded(request), change, by, name, reason=reason)
        try:
            with contextlib.suppress(Refusal):
                await trio.to_thread.run_sync(hold)
        except NotFound:
            why = _("%(domain)s is no local domain.") % {"domain": name}
            return await _listed(request, 422, why=why, addresses=text)
    return RedirectResponse("/admin/holds", 303)


def _parted(request: Request, text: str) -> tuple[list[str], list[str]]:
    """Domains and groups, and all others, of what somebody has written. Blocks."""
    words = list(dict.fromkeys(text.replace(",", " ").lower().split()))
    wide = [word for word in words if holding.is_wide(embedded(request), word)]
    return wide, [word for word in words if word not in wide]


@require(OWNER)
async def _lift(request: Request) -> Response:
    _ = translator(request)
    opened, context = await kept(request), context_of(request)
    number, name = await field(request, "account"), await field(request, "name")
    reason, by = await field(request, "reason"), overseer(request)
    if not name and not (number.isascii() and number.isdigit() and len(number) < 19):
        raise HTTPException(404)
    if not reason.strip():
        return await _listed(request, 422, why=_("Write the reason."))
    ways = holding.Ways(partial(_read, context), _change(context))
    lift = (
        partial(holding.lift_wide, opened, ways.change, by, name, reason)
        if name
        else partial(holding.lift, opened, ways, by, int(number), reason)
    )
    try:
        await trio.to_thread.run_sync(lift)
    except Refusal as error:
        raise HTTPException(404) from error
    return RedirectResponse("/admin/holds", 303)


ROUTES = [
    Route("/admin/holds", _list, methods=["GET"]),
    Route("/admin/holds", _add, methods=["POST"]),
    Route("/admin/holds/lift", _lift, methods=["POST"]),
]
