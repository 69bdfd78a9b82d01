"""Messages: the whole way of one, past or queued, as `postroad explain` tells it."""

import heapq
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.config import Config
from engine.directory import OWNER
from engine.history.reading import History
from engine.history.shelf import FOLDER
from engine.history.story import Story
from engine.message import MessageId
from engine.observe.visible import on_one_line
from engine.operations import queue
from engine.operations.telling import lines_of
from engine.queue.store import Record
from engine.web.admin.looking import looked
from engine.web.bounds import bounded
from engine.web.context import context_of
from engine.web.rendering import page
from engine.web.sessions import require

LATEST = 30
"""Messages of an address that are listed."""

_LONGEST = 998
"""Characters of an address or a Message-ID (RFC 5322 2.1.1)."""

_LOOKS = {"green": "good", "red": "bad", "yellow": "warn", "dim": "faint", "bold": "strong"}


class Heading(NamedTuple):
    """A message in a list."""

    id: MessageId
    fate: str
    sender: str
    to: Sequence[str]


class Line(NamedTuple):
    """One of a story."""

    depth: int
    look: str
    text: str


class Found(NamedTuple):
    """What was found: one message, or several."""

    id: MessageId | None
    lines: list[Line]
    record: Record | None  # of the queue
    headings: list[Heading]


_NOTHING = Found(None, [], None, [])


@require(OWNER)
@bounded(seconds=120)
async def _show(request: Request) -> Response:
    which = request.query_params.get("q", "").strip()[:_LONGEST]
    found = await looked(_found, context_of(request).config, which) if which else _NOTHING
    return page(request, "admin/message.html", which=which, found=found)


def _found(config: Config, which: str) -> Found:
    """By an id of ours, a Message-ID or an address. StorageError."""
    with History(config.server.data / FOLDER) as history:
        try:
            return _one(config, Story.of(history, MessageId.parse(which)))
        except ValueError:
            stories = [Story.of(history, identity) for identity in islice(_distinct(history, which), LATEST)]
    if len(stories) == 1:
        return _one(config, stories[0])
    return Found(None, [], None, [_heading(story) for story in stories])


def _one(config: Config, story: Story) -> Found:
    where = queue.find(config, story.id)
    record = where[1] if where else None
    if not story.told and record is None:
        return _NOTHING
    lines = [Line(depth, _LOOKS.get(style, ""), on_one_line(text)) for depth, style, text in lines_of(story, record)]
    return Found(story.id, lines, record, [])


def _heading(story: Story) -> Heading:
    begin = story.begin
    return Heading(story.id, story.fate, begin.sender if begin else "", begin.to if begin else ())


def _distinct(history: History, which: str) -> Iterator[MessageId]:
    """Each message once, the newest first."""
    seen: set[bytes] = set()
    forms = [which] if which.startswith("<") else [which, f"<{which}>"]
    for one in heapq.merge(*map(history.about, forms), key=lambda one: one.entry.time, reverse=True):
        if one.entry.id and one.entry.id not in seen:
            seen.add(one.entry.id)
            yield MessageId(one.entry.id)


ROUTES = [Route("/admin/message", _show, methods=["GET"])]
