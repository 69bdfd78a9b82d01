"""Who oversees people's mail in the pages: auditors, and owners, who see what is asked and done but no mail."""

from collections.abc import Awaitable, Callable
from functools import partial, wraps
from typing import TypeAlias

import trio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from engine.directory import AUDITOR, OWNER
from engine.operations.operator import Operator
from engine.oversight import Oversight, Whose
from engine.web.context import context_of
from engine.web.pages.account import embedded, own
from engine.web.sessions import require

Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]

MOST = 100
"""Accounts that one grant may be about."""


def overseeing(endpoint: Endpoint) -> Endpoint:
    """Let owners and auditors in; what a session must show is as ``require`` has it."""

    @require()
    @wraps(endpoint)
    async def answer(request: Request) -> Response:
        roles = own(request).roles
        if not (roles.has(AUDITOR) or roles.has(OWNER)):
            raise HTTPException(403)
        return await endpoint(request)

    return answer


def overseer(request: Request) -> Operator:
    """Whoever asks."""
    context = context_of(request)
    return Operator(own(request).account.address, note=context.note, peer=context.peer(request))


def store(request: Request) -> Oversight:
    """What oversight keeps. StorageError."""
    return context_of(request).stores.oversight


async def kept(request: Request) -> Oversight:
    """The same, opened in a thread where that must be. StorageError."""
    return await trio.to_thread.run_sync(partial(store, request))


def whose(request: Request, text: str) -> tuple[list[Whose], list[str]]:
    """The accounts that somebody has written, those too that are gone and held; and what is none. Blocks."""
    found, unknown = dict[int, Whose](), list[str]()
    held = {address: account for account, address in store(request).held().items()}
    directory = embedded(request)
    for address in dict.fromkeys(text.replace(",", " ").lower().split()):
        account = directory.account(address)
        if account is not None:
            found[account.id] = Whose(account.id, account.address)
        elif address in held:
            found[held[address]] = Whose(held[address], address)
        else:
            unknown.append(address)
    return list(found.values())[: MOST + 1], unknown
