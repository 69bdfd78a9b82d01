"""`postroad explain`: the whole way of a message, past or queued, and what happens next."""

import heapq
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import islice
from typing import Any, NamedTuple

import click

from engine.cli import tables
from engine.cli.configured import config_option, configuration, fail
from engine.config import Config
from engine.history.entries import TurnedAway
from engine.history.reading import History, Told
from engine.history.shelf import FOLDER
from engine.history.story import Story
from engine.message import MessageId
from engine.observe.visible import on_one_line, visible
from engine.operations.telling import lines_of
from engine.queue.store import QUARANTINED, Record, Shard, shard_numbers
from engine.runtime.state import State
from engine.units import spelled

_COLUMNS = ("time", "id", "what", "from", "to")


class _Queued(NamedTuple):
    """A message that is in the queue, and when its line has its turn."""

    record: Record
    turn: float | None


@click.command()
@click.argument("which", metavar="ID|MESSAGE-ID|ADDRESS")
@click.option("--last", type=click.IntRange(min=1), default=10, show_default=True, help="So many messages, the latest.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def explain(ctx: click.Context, which: str, last: int, as_json: bool) -> None:
    """Show the whole way of a message: stages, attempts, and what happens next; with the server running or stopped.

    ID is what `250` said, MESSAGE-ID that of its header section. For the ADDRESS of a sender or a recipient the latest
    messages are listed.
    """
    config = configuration(ctx)
    with History(config.server.data / FOLDER) as history:
        try:
            identity = MessageId.parse(which)
        except ValueError:
            _found(config, history, which, last, as_json=as_json)
        else:
            _explained(config, [Story.of(history, identity)], as_json=as_json)
        for trouble in history.unreadable:
            click.echo(visible(f"left out: {trouble}"), err=True)


def _found(config: Config, history: History, which: str, last: int, *, as_json: bool) -> None:
    """Messages with that Message-ID, or to or from that address."""
    told = list(islice(_distinct(history, which), last))
    ids = [MessageId(one.entry.id) for one in told if one.entry.id]
    if not told:
        known = f"[history] has nothing of {which}" if not history.is_empty else "there is no history yet"
        fail(f"{known}; what waits is shown by `postroad queue list`")
    stories = {identity: Story.of(history, identity) for identity in ids}
    is_header_id = any(_is_header_id(story, which) for story in stories.values())
    if len(told) == len(ids) and (len(ids) == 1 or is_header_id):
        _explained(config, list(stories.values()), as_json=as_json)
        return
    queued = _queued(config, ids)
    tables.show([_row(one, stories, queued) for one in told], _COLUMNS, as_json=as_json)
    if sys.stdout.isatty() and not as_json:
        click.echo("`postroad explain ID` shows all of one.")


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


def _row(one: Told, stories: dict[MessageId, Story], queued: dict[MessageId, _Queued]) -> dict[str, Any]:
    entry = one.entry
    if isinstance(entry, TurnedAway):
        what = " ".join(filter(None, ("turned away:", entry.code, entry.text)))
        return {
            "time": tables.timestamp(entry.time), "id": "", "what": what, "from": entry.sender or "<>",
            "to": list(entry.to),
        }  # fmt: skip
    identity = MessageId(entry.id)
    begin = stories[identity].begin
    what = stories[identity].fate
    if identity in queued:
        what += ", parked" if queued[identity].record.state == QUARANTINED else ", waits"
    return {
        "time": tables.timestamp(identity.time), "id": str(identity), "what": what,
        "from": (begin.sender or "<>") if begin else "", "to": list(begin.to) if begin else [],
    }  # fmt: skip


def _explained(config: Config, stories: Sequence[Story], *, as_json: bool) -> None:
    queued = _queued(config, [story.id for story in stories])
    unknown = [story.id for story in stories if not story.told and story.id not in queued]
    if unknown:
        fail(f"{unknown[0]}: neither the history nor the queue has anything of it{_why_not(config)}")
    told = [(story, queued.get(story.id)) for story in stories]
    if as_json:
        tables.show_json([_plain(config, story, found) for story, found in told])
        return
    for number, (story, found) in enumerate(told):
        if number:
            click.echo()
        _print([*lines_of(story, found.record if found else None), (0, "bold", f"Next: {_next(config, story, found)}")])


def _why_not(config: Config) -> str:
    kept = config.history
    if kept.level == "off":
        return '; `[history] level` is "off"'
    return f"; it is kept for {spelled(kept.keep)}, or less where there is much mail ([history])"


def _queued(config: Config, ids: Sequence[MessageId]) -> dict[MessageId, _Queued]:
    """What the queue has of them, beside the running server or without it."""
    found: dict[MessageId, _Queued] = {}
    for number in shard_numbers(config.server.data):
        with closing(Shard(config.server.data, number, map_size=config.queue.map_size, read_only=True)) as shard:
            for record in shard.records(list(ids)):
                found[record.id] = _Queued(record, shard.turn(record.line) if record.line else None)
    return found


def _next(config: Config, story: Story, queued: _Queued | None) -> str:
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
    return f"{tables.timestamp(moment)} (in {spelled(moment - now)})"


def _plain(config: Config, story: Story, queued: _Queued | None) -> dict[str, Any]:
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
        "next": _next(config, story, queued),
    }


def _of_queue(queued: _Queued) -> dict[str, Any]:
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


def _print(lines: Sequence[tuple[int, str, str]]) -> None:
    """Indented lines, with their styles on a terminal. What strangers wrote is obeyed by no terminal."""
    if not sys.stdout.isatty():
        for depth, _, text in lines:
            click.echo("  " * depth + on_one_line(text))
        return
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    console = Console(highlight=False)
    for depth, style, text in lines:
        console.print(Padding(Text(on_one_line(text), style), (0, 0, 0, 2 * depth)))
