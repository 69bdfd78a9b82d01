"""Who else works in one's own mailbox, as one says oneself."""

from functools import partial

import trio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from engine.directory import Invalid, NotFound
from engine.links.request import Unanswered
from engine.operations import delegating
from engine.operations.delegating import Sends
from engine.operations.operator import Operator
from engine.storage.environment import StorageError
from engine.web.context import context_of
from engine.web.languages import translator
from engine.web.means import mail
from engine.web.pages.account import embedded, own
from engine.web.pages.signing_in import field
from engine.web.rendering import page
from engine.web.sessions import require


def _oneself(request: Request) -> Operator:
    """Whoever asks. Colleagues may be of any domain here: what one lets them do is about one's own mailbox alone."""
    context = context_of(request)
    return Operator(own(request).account.address, None, partial(context.note, peer=context.peer(request) or None))


def sends_of(text: str) -> Sends:
    """How somebody sends, as a form says it. 422."""
    for known in delegating.SENDS:
        if text == known:
            return known
    raise HTTPException(422)


async def refusal(request: Request, let: partial[None]) -> str:
    """Why somebody was not let in, in the reader's language; empty if they were."""
    _ = translator(request)
    try:
        await trio.to_thread.run_sync(let)
    except NotFound:
        return _("There is no such account or group.")
    except Invalid:
        return _("This cannot be said of them.")
    except (Unanswered, StorageError):
        return _("The mailboxes do not answer now. Try again in a moment.")
    return ""


@require()
async def _show(request: Request) -> Response:
    return await _shown(request)


async def _shown(request: Request, status: int = 200, *, why: str = "") -> Response:
    directory, means, account = embedded(request), mail(context_of(request)), own(request).account
    people = await trio.to_thread.run_sync(delegating.people, means, directory, _oneself(request), account)
    return page(request, "pages/delegates.html", status, people=people, why=why)


@require()
async def _let(request: Request) -> Response:
    directory, means, account = embedded(request), mail(context_of(request)), own(request).account
    who, level = (await field(request, "who")).strip(), await field(request, "level")
    sends = sends_of(await field(request, "sends"))
    let = partial(
        delegating.let, means, directory, _oneself(request), account, who, level=level, sends=sends
    )  # fmt: skip
    if why := await refusal(request, let):
        return await _shown(request, 422, why=why)
    return RedirectResponse("/account/people", 303)


ROUTES = [
    Route("/account/people", _show, methods=["GET"]),
    Route("/account/people", _let, methods=["POST"]),
]
