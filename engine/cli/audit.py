"""`postroad audit`: the log of who has looked at whose mail, and what was held, and whether it is as it was written."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import msgspec

from engine.cli import opening, tables
from engine.cli.configured import config_option, configuration, fail
from engine.operations import auditing
from engine.oversight import Entry, Oversight, Refusal

_SEEN = re.compile(r"(\d{1,18}):([0-9a-fA-F]{64})")


@click.group()
def audit() -> None:
    """The audit log: grants to look at people's mail, what was looked at, holds, exports, changes of rules.

    Each entry holds the hash of the one before, so that none can be changed or taken out unseen.
    """


@audit.command(name="list")
@click.option("--what", metavar="KIND", default="", help="Only of this kind: grant-asked, searched, message-opened.")
@click.option("--about", metavar="ADDRESS", default="", help="Only about the mail of this account.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="How many, the newest first.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def list_(ctx: click.Context, what: str, about: str, limit: int, as_json: bool) -> None:
    """Show the last entries."""
    with opened(ctx) as log:
        found = auditing.listed(log, opening.onlooker(), count=limit, what=what, about=about.lower())
    rows = [msgspec.to_builtins(one) for one in found] if as_json else list(map(_row, found))
    tables.show(rows, ("number", "time", "by", "what", "about", "details"), as_json=as_json)


@audit.command()
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--seen", metavar="NUMBER:HASH", default="", help="An entry that was written down before.")
@config_option
@click.pass_context
def verify(ctx: click.Context, file: Path | None, seen: str) -> None:
    """Follow the chain from its first entry; FILE: that of an export.

    Says the number and hash of the last entry. Write them down elsewhere: with --seen they show if entries at the end
    vanish, or if somebody writes the whole log anew.
    """
    known = _known(seen)
    if file is not None:
        with file.open("rb") as lines:
            found = auditing.verified((line.rstrip(b"\n") for line in lines), opening.onlooker(), known)
    else:
        with opened(ctx) as log:
            found = auditing.verified(log.lines(), opening.onlooker(), known)
    for problem in found.problems:
        click.echo(problem, err=True)
    if found.problems:
        fail(f"{tables.counted(len(found.problems), 'problem')}: the log is not as it was written")
    entries = f"{found.number:,} {'entry' if found.number == 1 else 'entries'}"
    click.echo(f"{entries}, each as it was written. The last: {found.number}:{found.hash}")


@audit.command()
@click.option("--after", type=click.IntRange(min=0), default=0, metavar="NUMBER", help="Only those behind this one.")
@config_option
@click.pass_context
def export(ctx: click.Context, after: int) -> None:
    """Write the log to standard output: a line of JSON for each entry, exactly as its hash was made of it."""
    stream = sys.stdout.buffer
    with opened(ctx) as log:
        for octets in auditing.exported(log, opening.onlooker(), after):
            stream.write(octets + b"\n")


@contextmanager
def opened(ctx: click.Context) -> Iterator[Oversight]:
    """What oversight keeps, open. What it refuses ends the command."""
    from engine.oversight.store import FOLDER
    from engine.storage.files import give_to

    data = configuration(ctx).server.data
    with Oversight.open(data) as found:
        give_to(data.stat(), data / FOLDER)
        try:
            yield found
        except Refusal as error:
            fail(str(error))


def _known(text: str) -> tuple[int, str] | None:
    if not text:
        return None
    match = _SEEN.fullmatch(text.strip())
    if match is None:
        raise click.BadParameter("write it as verify has shown it, NUMBER:HASH", param_hint="--seen")
    return int(match[1]), match[2]


def _row(one: Entry) -> dict[str, object]:
    details = [f"{name}={_told(value)}" for name, value in one.details.items()]
    return {
        "number": one.number,
        "time": tables.timestamp(one.time),
        "by": one.by,
        "what": one.what,
        "about": one.about,
        "details": details,
    }


def _told(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
