"""Messages: the whole way of one, past or queued, as `postroad explain` tells it."""

from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.config import Config
from engine.directory import ADMINISTRATOR
from engine.message import MessageId
from engine.observe.visible import on_one_line
from engine.operations import explaining
from engine.operations.reach import Reach
from engine.operations.telling import lines_of
from engine.queue.store import Record
from engine.web.admin.looking import looked
from engine.web.admin.scope import reach
from engine.web.admin.stories import Stories
from engine.web.bounds import bounded
from engine.web.context import context_of
from engine.web.languages import language_of, translator
from engine.web.rendering import page
from engine.web.sessions import require

LATEST = 30
"""Messages of an address that are listed."""

_LONGEST = 998
"""Characters of an address or a Message-ID (RFC 5322 2.1.1)."""

_LOOKS = {"green": "good", "red": "bad", "yellow": "warn", "dim": "faint", "bold": "strong"}


class Line(NamedTuple):
    """One of a story."""

    depth: int
    look: str
    text: str


class Found(NamedTuple):
    """What was found: one message, or several."""

    id: MessageId | None
    lines: list[Line]
    next: str  # what happens next, in plain words
    record: Record | None  # of the queue
    headings: list[explaining.Heading]


_NOTHING = Found(None, [], "", None, [])


@require(ADMINISTRATOR)
@bounded(seconds=120)
async def _show(request: Request) -> Response:
    which = request.query_params.get("q", "").strip()[:_LONGEST]
    config, whose = context_of(request).config, reach(request)
    found = await looked(_found, config, which, whose) if which else _NOTHING
    told = Stories(translator(request), language_of(request)).line
    return page(request, "admin/message.html", which=which, found=found, told=told)


def _found(config: Config, which: str, whose: Reach) -> Found:
    """By an id of ours, a Message-ID or an address, as far as they may know of it. StorageError."""
    try:
        return _one(config, MessageId.parse(which), whose)
    except ValueError:
        found = explaining.found(config, which, LATEST, whose)
    alone = list(found.stories)
    if len(found.headings) == 1 and alone:
        return _one(config, alone[0], whose)
    return Found(None, [], "", None, found.headings)


def _one(config: Config, identity: MessageId, whose: Reach) -> Found:
    told = explaining.story_of(config, identity, whose)
    if told is None:
        return _NOTHING
    story, queued = told[0], explaining.in_queue(config, [identity]).get(identity)
    if queued is not None and not _may_know(whose, queued.record):
        return _NOTHING
    if not story.told and queued is None:
        return _NOTHING
    record = queued.record if queued else None
    lines = [Line(depth, _LOOKS.get(style, ""), on_one_line(text)) for depth, style, text in lines_of(story, record)]
    return Found(identity, lines, on_one_line(explaining.what_next(config, story, queued)), record, [])


def _may_know(whose: Reach, record: Record) -> bool:
    """Of what waits, of which the history may have nothing."""
    return whose.has(record.envelope.session.login, [one.address for one in record.envelope.recipients])


ROUTES = [Route("/admin/message", _show, methods=["GET"])]
