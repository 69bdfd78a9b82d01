"""Links of the letters about parked mail: who has one lets that message go on, or deletes it."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias

import trio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from engine.config import Config, Quarantine, secrets_in
from engine.directory import Unavailable
from engine.links.request import Unanswered
from engine.observe.visible import on_one_line
from engine.operations.operator import Operator
from engine.operations.quarantine import Chosen, decide
from engine.operations.shards import opened
from engine.protocols.sealed import Expired, Forged
from engine.quarantine.links import Link, verify
from engine.quarantine.meant import NotParked, NotTheirs, meant
from engine.queue.store import shard_numbers
from engine.web import means
from engine.web.admin.looking import looked
from engine.web.bounds import bounded
from engine.web.context import context_of
from engine.web.rendering import page

What: TypeAlias = Literal["ask", "done", "gone", "barred", "old", "unknown"]

_CODES: dict[What, int] = {"ask": 200, "done": 200, "gone": 410, "barred": 403, "old": 410, "unknown": 404}

_PRIVATE = {
    "referrer-policy": "no-referrer",  # the link is a secret of the recipient
    "x-robots-tag": "noindex",
}


@dataclass(frozen=True, slots=True)
class Letter:
    """What is shown of a parked message."""

    sender: str
    subject: str
    arrived: float
    reason: str


@bounded(body=4096, seconds=120)
async def parked(request: Request) -> Response:
    """A page with a button, or what has become of the message. To look changes nothing: programs follow links, too."""
    context = context_of(request)
    settings = context.config.quarantine
    if settings is None or settings.secret_file is None:
        raise HTTPException(404)
    try:
        link = verify(request.query_params.get("token", ""), _secrets(settings), time.time())
    except Forged:
        return _page(request, "unknown")
    except Expired:
        return _page(request, "old")
    try:
        chosen, letter = await looked(_found, context.config, settings, link)
    except NotParked:
        return _page(request, "gone", link)
    except NotTheirs:
        return _page(request, "barred", link)
    if request.method != "POST":
        return _page(request, "ask", link, letter)
    peer = context.peer(request)
    by = Operator(link.recipient, note=partial(context.note, peer=peer), peer=peer)
    if said := await trio.to_thread.run_sync(decide, means.ask(context), by, link.action, chosen):
        raise Unanswered(said)
    return _page(request, "done", link, letter)


def _secrets(settings: Quarantine) -> Sequence[bytes]:
    """Read again each time: one may have been added. Unavailable."""
    assert settings.secret_file is not None
    try:
        return secrets_in(settings.secret_file)
    except OSError as error:
        raise Unavailable(f"cannot read {settings.secret_file}: {error.strerror}") from error


def _found(config: Config, settings: Quarantine, link: Link) -> tuple[Chosen, Letter]:
    """StorageError, NotParked, NotTheirs."""
    with ExitStack() as stack:
        shards = [stack.enter_context(opened(config, number)) for number in shard_numbers(config.server.data)]
        one = meant(shards, link, settings)
        envelope, message = one.record.envelope, one.message
        letter = Letter(
            message.header("From") or envelope.sender, message.header("Subject") or "", envelope.arrived,
            one.record.reason,
        )  # fmt: skip
        return Chosen(one, (link.recipient,)), letter


def _page(request: Request, what: What, link: Link | None = None, letter: Letter | None = None) -> Response:
    response = page(
        request, "open/parked.html", _CODES[what], what=what, action=link.action if link else "",
        recipient=link.recipient if link else "", letter=letter, plain=on_one_line,
    )  # fmt: skip
    response.headers.update(_PRIVATE)
    return response
