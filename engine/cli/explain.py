"""`postroad explain`: the whole way of a message, past or queued, and what happens next."""

import sys
from collections.abc import Sequence
from typing import Any

import click

from engine.cli import tables
from engine.cli.configured import config_option, configuration, fail
from engine.config import Config
from engine.history.story import Story
from engine.message import MessageId
from engine.observe.visible import on_one_line, visible
from engine.operations import explaining
from engine.operations.telling import lines_of

_COLUMNS = ("time", "id", "what", "from", "to")


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
    try:
        identity = MessageId.parse(which)
    except ValueError:
        unreadable = _found(config, which, last, as_json=as_json)
    else:
        story, unreadable = explaining.story_of(config, identity) or (Story(identity, ()), [])
        _explained(config, [story], as_json=as_json)
    for trouble in unreadable:
        click.echo(visible(f"left out: {trouble}"), err=True)


def _found(config: Config, which: str, last: int, *, as_json: bool) -> list[str]:
    """Messages with that Message-ID, or to or from that address; what of the history could not be read."""
    found = explaining.found(config, which, last)
    if not found.headings:
        known = f"[history] has nothing of {which}" if not found.is_empty else "there is no history yet"
        fail(f"{known}; what waits is shown by `postroad queue list`")
    stories = list(found.stories.values())
    if len(found.headings) == len(stories) and (len(stories) == 1 or found.is_header_id):
        _explained(config, stories, as_json=as_json)
        return found.unreadable
    tables.show(list(map(_row, found.headings)), _COLUMNS, as_json=as_json)
    if sys.stdout.isatty() and not as_json:
        click.echo("`postroad explain ID` shows all of one.")
    return found.unreadable


def _row(one: explaining.Heading) -> dict[str, Any]:
    sender = one.sender or ("<>" if one.id is None or one.to else "")
    return {
        "time": tables.timestamp(one.time), "id": str(one.id or ""), "what": one.what, "from": sender,
        "to": list(one.to),
    }  # fmt: skip


def _explained(config: Config, stories: Sequence[Story], *, as_json: bool) -> None:
    queued = explaining.in_queue(config, [story.id for story in stories])
    unknown = [story.id for story in stories if not story.told and story.id not in queued]
    if unknown:
        why = explaining.why_nothing(config)
        fail(f"{unknown[0]}: neither the history nor the queue has anything of it; {why}")
    told = [(story, queued.get(story.id)) for story in stories]
    if as_json:
        tables.show_json([explaining.plain(config, story, found) for story, found in told])
        return
    for number, (story, found) in enumerate(told):
        if number:
            click.echo()
        next_ = (0, "bold", f"Next: {explaining.what_next(config, story, found)}")
        _print([*lines_of(story, found.record if found else None), next_])


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
