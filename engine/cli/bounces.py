"""`postroad bounces`: what replies mean, and the log of what was not delivered."""

import fnmatch
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine.cli import opening, tables
from engine.cli.configured import config_option
from engine.cli.durations import seconds
from engine.cli.errors import Refused, Unusable

if TYPE_CHECKING:
    from engine.bounces.journal import Entry

_COLUMNS = ("time", "event", "class", "to", "remote", "reply")


@click.group()
def bounces() -> None:
    """Bounces: the class of a reply, and the log of what was not delivered."""


@bounces.command()
@click.argument("text", nargs=-1, metavar="[TEXT]...")
@click.option("--patterns", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A file of patterns.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def classify(text: tuple[str, ...], patterns: Path | None, as_json: bool) -> None:
    """Say what a reply means: TEXT, or else each line of standard input.

    It may be a bare reply ("550 5.1.1 User unknown"), or a line of a log or a report that quotes one.
    """
    from engine.bounces import BadPatterns, classifier

    try:
        known = classifier(patterns)
    except (BadPatterns, OSError) as error:
        raise Unusable(f"{patterns}: {error}") from error
    lines = [" ".join(text)] if text else [line for line in sys.stdin if line.strip()]
    rows = []
    for line in lines:
        found = known.classify(line)
        rows.append(
            {
                "class": found.name,
                "permanent": "yes" if found.permanent else "no",
                "about": found.which.about,
                "retry": found.retry,
                "by": found.by,
                "meaning": found.which.text,
                "reply": line.strip(),
            }
        )
    tables.show(rows, ("class", "permanent", "about", "retry", "by", "reply"), as_json=as_json)


@bounces.command(name="list")
@click.option("--class", "which", metavar="CLASS", default="*", help="Only of this class; with * and ?.")
@click.option("--event", metavar="EVENT", default="*", help="Only of this kind, such as failed, returned or complaint.")
@click.option("--to", metavar="ADDRESS", default="*", help="Only of this recipient; with * and ?.")
@click.option("--site", metavar="SITE", default="*", help="Only of sites with this name; with * and ?.")
@click.option("--tenant", metavar="NAME", default="*", help="Only of this tenant.")
@click.option("--last", metavar="TIME", default="1d", show_default=True, help="How far to look back.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def list_(
    ctx: click.Context, *, which: str, event: str, to: str, site: str, tenant: str, last: str, as_json: bool
) -> None:
    """Show what was not delivered, the oldest first."""
    wanted = {"which": which, "event": event, "to": to, "site": site, "tenant": tenant}
    rows = [_row(entry) for entry in _entries(ctx, last) if _matches(entry, wanted)]
    tables.show(rows, _COLUMNS, as_json=as_json)


@bounces.command()
@click.argument("what", metavar="ID|ADDRESS")
@click.option("--last", metavar="TIME", default="30d", show_default=True, help="How far to look back.")
@config_option
@click.pass_context
def show(ctx: click.Context, what: str, last: str) -> None:
    """Show all that is noted of a message or of a recipient."""
    found = [entry for entry in _entries(ctx, last) if entry.id == what or entry.to.lower() == what.lower()]
    if not found:
        raise Refused(f"nothing is noted of {what} within {last}")
    tables.show_json([_full(entry) for entry in found])


def _entries(ctx: click.Context, last: str) -> "list[Entry]":
    from engine.bounces.journal import FOLDER, entries
    from engine.config import ConfigError, load

    try:
        config = load(ctx.obj)
    except ConfigError as error:
        raise Unusable(str(error)) from error
    since = time.time() - seconds(last, "--last")
    with opening.translated():
        try:
            return list(entries(config.server.data / FOLDER, since))
        except OSError as error:
            raise Refused(f"cannot read the log: {error.strerror}") from error


def _matches(entry: "Entry", wanted: dict[str, str]) -> bool:
    return all(
        pattern == "*" or fnmatch.fnmatchcase(getattr(entry, key).lower(), pattern.lower())
        for key, pattern in wanted.items()
    )


def _row(entry: "Entry") -> dict[str, object]:
    return {
        **_full(entry),
        "time": tables.timestamp(entry.time),
        "class": entry.which,
        "to": entry.to,
        "remote": entry.remote,
        "reply": entry.reply or entry.text,
    }


def _full(entry: "Entry") -> dict[str, object]:
    import msgspec

    values: dict[str, object] = msgspec.to_builtins(entry)
    return {**values, "time": tables.timestamp(entry.time)}
