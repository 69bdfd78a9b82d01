"""What is known of messages, past or queued: found by an address or a Message-ID, told from begin to end."""

import heapq
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any, NamedTuple

from engine.config import Config
from engine.history.entries import Arrived, Attempted, Born, Entry, Noted, Placed, Sent, TurnedAway
from engine.history.reading import History, Told
from engine.history.shelf import FOLDER
from engine.history.story import Story
from engine.message import MessageId
from engine.operations.reach import EVERYTHING, Reach
from engine.operations.shards import opened
from engine.queue.store import QUARANTINED, Record, shard_numbers
from engine.runtime.state import State
from engine.traces.export import sampled
from engine.units import spelled

_READING = threading.RLock()
"""LMDB opens a store once in a process: one thread reads the history at a time."""


_LOOKED_AT = 1000
"""Messages that are looked at for somebody who may not know of all: he is not to keep us busy with those of others."""


class Queued(NamedTuple):
    """A message that is in the queue, and when its line has its turn."""

    record: Record
    turn: float | None


class Heading(NamedTuple):
    """A message, or what was turned away, as a list shows it."""

    time: float
    id: MessageId | None
    what: str
    sender: str
    to: Sequence[str]


@dataclass(slots=True)
class Found:
    """What a search has found: headings, the newest first, and the stories of those that are messages."""

    headings: list[Heading]
    stories: Mapping[MessageId, Story]
    is_header_id: bool = False  # it was the Message-ID of one of them that was looked for
    is_empty: bool = False  # there is no history at all
    unreadable: list[str] = field(default_factory=list)


@contextmanager
def reading(config: Config) -> Iterator[History]:
    """The history, beside the running server or without it."""
    with _READING, History(config.server.data / FOLDER) as history:
        yield history


def found(config: Config, which: str, last: int, reach: Reach = EVERYTHING) -> Found:
    """The latest messages with that Message-ID, or to or from that address. StorageError."""
    with reading(config) as history:
        told, stories = list[Told](), dict[MessageId, Story]()
        for one in islice(_distinct(history, which), None if reach.is_all else _LOOKED_AT):
            if one.entry.id:
                story = Story.of(history, MessageId(one.entry.id))
                if not is_within(reach, story):
                    continue
                stories[story.id] = story
            elif not _may_know(reach, one.entry):
                continue
            told.append(one)
            if len(told) == last:
                break
        by_id = any(_is_header_id(story, which) for story in stories.values())
        queued = in_queue(config, list(stories))
        headings = [_heading(one, stories, queued) for one in told]
        headings.sort(key=lambda one: (one.time, bytes(one.id or b"")), reverse=True)  # not by what happened last
        return Found(headings, stories, by_id, history.is_empty, list(history.unreadable))


def story_of(config: Config, identity: MessageId, reach: Reach = EVERYTHING) -> tuple[Story, list[str]] | None:
    """The story of a message, and what of the history cannot be read; None: it may not be known of."""
    with reading(config) as history:
        story = Story.of(history, identity)
        is_unknown = not story.told and not story.children
        return (story, list(history.unreadable)) if is_unknown or is_within(reach, story) else None


def is_within(reach: Reach, story: Story) -> bool:
    """Whether all that is told of a message may be known of."""
    if reach.is_all:
        return True
    begin = story.begin
    login = begin.session[4] if isinstance(begin, Arrived) and len(begin.session) > 4 else ""
    told = [address for one in story.told for address in _addresses(one.entry)]
    return reach.has(login, [*told, *(address for child in story.children for address in child.to)])


def _may_know(reach: Reach, entry: Entry) -> bool:
    """Of what was turned away before it was a message."""
    return reach.is_all or (isinstance(entry, TurnedAway) and bool(entry.to) and all(map(reach.covers, entry.to)))


def _addresses(entry: Entry) -> Sequence[str]:
    """Of recipients."""
    match entry:
        case Arrived() | Born() | Sent() | Noted() | TurnedAway():
            return entry.to
        case Attempted():
            return [one for outcome in entry.outcomes for one in (outcome.to, outcome.original) if one]
        case Placed():
            return [entry.to]
    return ()


def _is_header_id(story: Story, which: str) -> bool:
    return story.begin is not None and story.begin.header_id.lower().strip("<>") == which.lower().strip("<>")


def _distinct(history: History, which: str) -> Iterator[Told]:
    """The newest entry of each message."""
    seen: set[bytes] = set()
    forms = [which] if which.startswith("<") else [which, f"<{which}>"]
    for one in heapq.merge(*map(history.about, forms), key=lambda one: one.entry.time, reverse=True):
        if one.entry.id not in seen or not one.entry.id:
            seen.add(one.entry.id)
            yield one


def _heading(one: Told, stories: Mapping[MessageId, Story], queued: Mapping[MessageId, Queued]) -> Heading:
    entry = one.entry
    if isinstance(entry, TurnedAway):
        what = " ".join(filter(None, ("turned away:", entry.code, entry.text)))
        return Heading(entry.time, None, what, entry.sender, entry.to)
    identity = MessageId(entry.id)
    begin, what = stories[identity].begin, stories[identity].fate
    if identity in queued:
        what += ", parked" if queued[identity].record.state == QUARANTINED else ", waits"
    return Heading(identity.time, identity, what, begin.sender if begin else "", begin.to if begin else ())


def in_queue(config: Config, ids: Sequence[MessageId]) -> dict[MessageId, Queued]:
    """What the queue has of them. StorageError."""
    found: dict[MessageId, Queued] = {}
    for number in shard_numbers(config.server.data) if ids else ():
        with opened(config, number) as shard:
            for record in shard.records(list(ids)):
                found[record.id] = Queued(record, shard.turn(record.line) if record.line else None)
    return found


def why_nothing(config: Config) -> str:
    """Why the history may have nothing of a message."""
    kept = config.history
    if kept.level == "off":
        return '`[history] level` is "off"'
    return f"it is kept for {spelled(kept.keep)}, or less where there is much mail ([history])"


def what_next(config: Config, story: Story, queued: Queued | None) -> str:
    """What happens next and when, in plain words."""
    if queued is None:
        if story.is_over:
            return "nothing, it is done with."
        if any(child.why == "split" for child in story.children):
            return "it goes on as the parts that are named above."
        return "it is no longer in the queue; how it ended will be known in a second, or is not known."
    record, now = queued.record, time.time()
    if record.state == QUARANTINED:
        ends = config.quarantine.expire if config.quarantine else 0.0
        left = f" until {_when(record.due + ends, now)}, then it is deleted" if ends else ""
        return f"it is parked{left}: `postroad queue release {record.id}` lets it go on, `delete` in its place ends it."
    if record.envelope.timing.release > now:
        return f"it is held for its sender until {_when(record.envelope.timing.release, now)}."
    number = record.envelope.attempts + 1
    due = record.due if queued.turn is None else min(queued.turn, record.due)
    where = f", in the line {record.line}" if record.line else ""
    if due > now:
        return f"attempt {number} at {_when(due, now)}{where}. `postroad queue retry {record.id}` tries it now."
    if State(config.server.data).running() is None:
        return f"attempt {number}{where}, once the server runs."
    return f"attempt {number}{where}: it is under way, or has its turn at any moment."


def _when(moment: float, now: float) -> str:
    at = datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return f"{at} (in {spelled(moment - now)})"


def plain(config: Config, story: Story, queued: Queued | None) -> dict[str, Any]:
    """All of it for programs."""
    begin, parent = story.begin, story.parent
    record = queued.record if queued else None
    return {
        "id": str(story.id),
        "message_id": begin.header_id if begin else "",
        "from": begin.sender if begin else record.envelope.sender if record else "",
        "to": list(begin.to) if begin else [one.address for one in record.envelope.recipients] if record else [],
        "fate": story.fate,
        "parent": {"id": str(MessageId(parent.parent)), "why": parent.why} if parent else None,
        "children": [
            {"id": str(MessageId(one.id)), "why": one.why, "from": one.sender, "to": list(one.to)}
            for one in story.children
        ],
        "history": story.plain(),
        "queue": _of_queue(queued) if queued else None,
        "next": what_next(config, story, queued),
        "trace": trace_of(config, story.id) or None,
    }


def trace_of(config: Config, identity: MessageId) -> str:
    """The id by which the collector of traces finds it; empty where it was not told of it."""
    traced = config.traces is not None and sampled(identity, config.traces.share)
    return identity.hex() if traced else ""


def _of_queue(queued: Queued) -> dict[str, Any]:
    record = queued.record
    return {
        "state": record.state,
        "to": [one.address for one in record.envelope.recipients],
        "attempts": record.envelope.attempts,
        "due": record.due,
        "line": record.line,
        "turn": queued.turn,
        "reason": record.reason,
    }
