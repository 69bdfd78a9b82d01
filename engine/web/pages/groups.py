"""Groups that somebody owns: who their members are."""

from collections.abc import Callable
from functools import partial
from typing import Any

import trio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from engine.directory import AlreadyThere, DirectoryError, Group, Invalid, NotFound
from engine.operations import aliases
from engine.operations.operator import Operator
from engine.web.context import context_of
from engine.web.languages import translator
from engine.web.pages.account import embedded, own
from engine.web.pages.signing_in import field
from engine.web.rendering import page
from engine.web.sessions import require

SHOWN = 1000
"""Members that a page shows."""


def addresses_in(text: str) -> list[str]:
    """What somebody has written into a field: addresses, with commas, blanks or lines between."""
    return list(dict.fromkeys(text.replace(",", " ").replace(";", " ").split()))


async def tried(request: Request, change: Callable[[], Any]) -> tuple[Any, str]:
    """What comes of a change in the directory; else why it was not made, in the reader's language."""
    _ = translator(request)
    try:
        return await trio.to_thread.run_sync(change), ""
    except AlreadyThere:
        return None, _("There is somebody of this address already.")
    except NotFound:
        return None, _("There is no such address here.")
    except Invalid:
        return None, _("This cannot be an address, or it would stand for itself.")
    except DirectoryError:
        return None, _("This cannot be done.")


def _owned(request: Request, address: str) -> Group:
    """A group of whoever asks. To others it is not there. HTTPException."""
    found = embedded(request).find(address, subaddress="")
    if not isinstance(found, Group) or own(request).account.address not in found.owners:
        raise HTTPException(404)
    return found


@require()
async def _show(request: Request) -> Response:
    return _shown(request, request.query_params.get("address", ""))


def _shown(request: Request, address: str, status: int = 200, *, why: str = "") -> Response:
    group = _owned(request, address)
    return page(request, "pages/group.html", status, group=group, members=group.targets[:SHOWN], why=why)


@require()
async def _change(request: Request) -> Response:
    """Members come and go."""
    group, context = _owned(request, await field(request, "address")), context_of(request)
    note = partial(context.note, peer=context.peer(request) or None)
    by = Operator(own(request).account.address, frozenset({group.address.rpartition("@")[2]}), note)
    added, removed = addresses_in(await field(request, "add")), await field(request, "remove")
    change = partial(
        aliases.change_group, embedded(request), by, group.address, added, [removed] if removed else []
    )  # fmt: skip
    _, why = await tried(request, change)
    if why:
        return _shown(request, group.address, 422, why=why)
    return RedirectResponse(f"/account/group?address={group.address}", 303)


ROUTES = [
    Route("/account/group", _show, methods=["GET"]),
    Route("/account/group/members", _change, methods=["POST"]),
]
