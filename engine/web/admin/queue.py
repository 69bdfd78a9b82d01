"""The queue: messages that are found by a condition, and what is done with them, once it was said how many they are."""

import time
from collections.abc import Iterable, Mapping, Sequence

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from engine.config import Config
from engine.directory import ADMINISTRATOR
from engine.links.request import Unanswered
from engine.operations import orders, queue
from engine.operations.queue import Chosen, Row
from engine.queue.orders import MEANT, Order, Word
from engine.queue.search import STATES, Selection
from engine.queue.tally import Counted
from engine.storage.environment import StorageError
from engine.web.admin.looking import looked
from engine.web.admin.scope import operator, reach
from engine.web.bounds import bounded
from engine.web.context import context_of
from engine.web.languages import ngettext, translator, worded
from engine.web.pages.account import own
from engine.web.pages.signing_in import field
from engine.web.rendering import page
from engine.web.sessions import require

MOST = 200
"""Messages that a list shows."""

GROUPS = 8
"""Domains that are told apart."""

ORDERS: tuple[Order, ...] = ("retry", "hold", "release", "bounce", "delete")


def _names(request: Request) -> Mapping[str, str]:
    """What is done, in words."""
    _ = translator(request)
    return {
        "retry": _("Try now"),
        "hold": _("Hold"),
        "release": _("Release"),
        "bounce": _("Return to sender"),
        "delete": _("Delete"),
    }


def _looked(config: Config, selection: Selection, by: str) -> tuple[list[Row], Counted, list[Counted]]:
    """What is listed, how much it is in all, and by domains. StorageError."""
    total, groups = queue.counted_by(config, selection, "domain")
    return list(queue.listed(config, selection, limit=MOST, by=by)), total, groups[:GROUPS]


def _chosen(request: Request, texts: Sequence[str], states: Iterable[str] = STATES) -> Selection:
    """What ids and conditions select, of the mail that they may know of. ValueError, with the place of the mistake."""
    whose = reach(request)
    within = None if whose.is_all else whose.has
    return Selection.told([text for text in texts if text.strip()], time.time(), states, within)


@require(ADMINISTRATOR)
@bounded(seconds=120)
async def _list(request: Request) -> Response:
    which, state = request.query_params.get("which", "")[:2000], request.query_params.get("state", "")
    by = request.query_params.get("by", "")
    why, selection = "", _chosen(request, [])
    try:
        selection = _chosen(request, [which], [state] if state in STATES else STATES)
    except ValueError as error:
        why = worded(request, error)
    rows, total, groups = list[Row](), Counted(""), list[Counted]()
    if not why:
        look = (context_of(request).config, selection, by if by in queue.SORTED else "")
        rows, total, groups = await looked(_looked, *look)
    return page(
        request,
        "admin/queue.html",
        422 if why else 200,
        rows=rows,
        total=total,
        groups=groups,
        which=which,
        state=state,
        states=STATES,
        by=by,
        sorts=list(queue.SORTED),
        orders=_names(request),
        why=why,
        done=_done(request),
    )


def _done(request: Request) -> str:
    """What the last order came to."""
    count, text = request.query_params.get("done", ""), ""
    if count.isascii() and count.isdigit() and len(count) < 12:
        text = ngettext(request, "It was done to %(num)s message.", "It was done to %(num)s messages.", int(count))
    return text


@require(ADMINISTRATOR)
@bounded(seconds=600)
async def _order(request: Request) -> Response:
    """Say how many they are; with ``sure`` have it done."""
    form = await request.form()
    order = next((one for one in ORDERS if one == form.get("order")), None)
    ids = [one for one in form.getlist("id") if isinstance(one, str)][:MOST]
    which = (await field(request, "which"))[:2000]
    if order is None:
        raise HTTPException(400)
    try:
        selection = _chosen(request, [*ids, which], MEANT[order])
    except ValueError as error:
        raise HTTPException(400) from error
    config = context_of(request).config
    chosen = await looked(queue.choose, config, selection)
    if not form.get("sure"):
        count = sum(map(len, chosen.values()))
        names = _names(request)
        return page(
            request, "admin/order.html", order=order, name=names[order], ids=ids, which=which, count=count,
            everything=selection.condition is None and not ids,
        )  # fmt: skip
    word = Word(order, by=own(request).account.address, which=selection.words)
    return await _carried_out(request, config, word, chosen)


async def _carried_out(request: Request, config: Config, word: Word, chosen: Chosen) -> Response:
    report = orders.Report()
    try:
        await orders.carry_out(config, word, chosen, report)
    except (Unanswered, StorageError) as error:
        _ = translator(request)
        why = _("It was done to some of them, then it stopped: %(why)s") % {"why": worded(request, error)}
        return page(request, "admin/stopped.html", 503, why=why, report=report)
    finally:
        await orders.noted(operator(request), word, report)
    return RedirectResponse(f"/admin/queue?done={report.done}", 303)


ROUTES = [
    Route("/admin/queue", _list, methods=["GET"]),
    Route("/admin/queue/order", _order, methods=["POST"]),
]
