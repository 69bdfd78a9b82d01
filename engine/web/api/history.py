"""Operations about the history: the whole way of messages, past or queued."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from engine.message import MessageId
from engine.operations import explaining
from engine.operations.moments import Moment, moment
from engine.operations.reach import Reach
from engine.web.api.operation import Asked, Call, Operation
from engine.web.api.problems import missing
from engine.web.api.queue import OneMessage


class About(Asked, frozen=True):
    about: Annotated[
        str, Meta(min_length=1, max_length=998, description="The address of a sender or a recipient, or a Message-ID.")
    ]
    last: Annotated[int, Meta(ge=1, le=100, description="So many messages, the latest.")] = 10


class Heading(msgspec.Struct, frozen=True, rename={"sender": "from"}):
    """A message, or what was turned away before it was one: then it has no ``id``. ``what``: what became of it."""

    time: Moment | None
    id: str
    what: str
    sender: str
    to: list[str]


class Relative(msgspec.Struct, frozen=True):
    """A message that this one has come of, and why."""

    id: str
    why: str


class Child(msgspec.Struct, frozen=True, rename={"sender": "from"}):
    """A message that has come of this one: a report, a part of it, what was sent on."""

    id: str
    why: str
    sender: str
    to: list[str]


class Waiting(msgspec.Struct, frozen=True):
    """What is left of it in the queue. ``turn``: when its line has its turn. Times are Unix times."""

    state: Literal["waiting", "held", "quarantined"]
    to: list[str]
    attempts: int
    due: float
    line: str
    turn: float | None
    reason: str


class Story(msgspec.Struct, frozen=True, rename={"sender": "from"}):
    """The way of a message. ``history``: what happened, in order, as `postroad explain --json` has it
    (docs/history.md); times in it are Unix times. ``next``: what happens now, in plain words."""

    id: str
    message_id: str
    sender: str
    to: list[str]
    fate: str
    parent: Relative | None
    children: list[Child]
    history: list[dict[str, Any]]
    queue: Waiting | None
    next: str


async def find_messages(call: Call, *, query: About) -> list[Heading]:
    """Find the latest messages from or to an address, or those with a Message-ID."""
    reach = call.caller.reach_on(call.context.directory().is_local)
    found = await call.blocking(explaining.found, call.config, query.about, query.last, reach)
    return [Heading(moment(one.time), str(one.id or ""), one.what, one.sender, list(one.to)) for one in found.headings]


async def explain_message(call: Call, *, path: OneMessage) -> Story:
    """Tell the whole way of a message: stages, facts, attempts, replies, and what happens next."""
    reach = call.caller.reach_on(call.context.directory().is_local)
    identity = MessageId.parse(path.id)

    def read() -> dict[str, Any] | None:
        found = explaining.story_of(call.config, identity, reach)
        queued = explaining.in_queue(call.config, [identity]).get(identity)
        if found is None or (queued is not None and not _is_within(reach, queued)):
            return None
        story = found[0]
        return explaining.plain(call.config, story, queued) if story.told or queued else None

    told = await call.blocking(read)
    if told is None:
        raise missing("message of that id in the history or in the queue")
    return msgspec.convert(msgspec.to_builtins(told, enc_hook=str), Story)


def _is_within(reach: Reach, queued: explaining.Queued) -> bool:
    envelope = queued.record.envelope
    return reach.has(envelope.session.login, [one.address for one in envelope.recipients])


ROWS = (
    Operation("GET", "/history/messages", "history:read", find_messages, by_domain=True),
    Operation("GET", "/history/messages/{id}", "history:read", explain_message, by_domain=True),
)
