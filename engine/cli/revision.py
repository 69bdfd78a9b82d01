"""`postroad revision`: the configurations that were put in force, what each changed, and the way back."""

import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from engine.cli import tables
from engine.cli.configured import config_option, data_of, fail
from engine.cli.reload import obeyed
from engine.cli.unprivileged import checked
from engine.observe.visible import visible
from engine.operations.operator import user
from engine.operations.revising import Revisions, Row
from engine.revisions import Kept, Restoring, changes, unified
from engine.runtime.state import Order

COUNTED = (
    "accepted", "refused", "put-off", "discarded", "turned away",
    "delivered", "deferred", "failed", "dropped", "parked", "errors",
)  # fmt: skip
"""What came of mail, in the order in which it comes."""

_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


@click.group()
def revision() -> None:
    """Revisions: the configurations that were put in force, by number."""


@revision.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """Show them, the newest last: when, by whom, what became of each, and what it changed."""
    archive = _opened(ctx.obj)
    rows = [_row(archive.row(kept)) for kept in archive.all]
    tables.show(rows, ("revision", "when", "by", "became", "changed"), as_json=as_json)


@revision.command()
@click.argument("number", type=int)
@click.option("--files", is_flag=True, help="The files that it names too, such as filters.")
@click.option("--json", "as_json", is_flag=True, help="For programs: all that is kept of it.")
@config_option
@click.pass_context
def show(ctx: click.Context, number: int, files: bool, as_json: bool) -> None:
    """Print the text of a revision."""
    archive = _opened(ctx.obj)
    kept = archive.get(number)
    if as_json:
        tables.show_json(_row(archive.row(kept)) | {"text": kept.text, "files": kept.files})
        return
    click.echo(visible(kept.text), nl=not kept.text.endswith("\n"))
    for name, text in kept.files.items() if files else ():
        click.echo(visible(f"\n# {name}\n{text}"), nl=not text.endswith("\n"))


@revision.command()
@click.argument("old", type=int)
@click.argument("new", type=int, required=False)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def diff(ctx: click.Context, old: int, new: int | None, as_json: bool) -> None:
    """Show what NEW, or the one in force, changed in OLD: in words, then line by line. Exit code 1: they differ."""
    archive = _opened(ctx.obj)
    before, after = archive.get(old), archive.get(new) if new is not None else archive.current()
    found, lines = changes(before, after), unified(before, after)
    if as_json:
        tables.show_json({"changes": [one._asdict() for one in found], "lines": lines})
    else:
        _print(found, lines)
    sys.exit(bool(lines))


@revision.command()
@click.argument("number", type=int, required=False)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--timeout", default=60.0, show_default=True, help="Seconds to wait for the server's answer.")
@config_option
@click.pass_context
def back(ctx: click.Context, number: int | None, yes: bool, timeout: float) -> None:
    """Put a revision in force again: NUMBER, or the one before the one in force. Without NUMBER a trial ends.

    Its text is written into pipeline.toml, and those of files that it names, such as filters, into these; what stood
    there is copied beside. Then the server reloads. Nothing is changed if it cannot be used any more.
    """
    archive = _opened(ctx.obj)
    kept = archive.get(number) if number is not None else archive.before()
    ends_trial = archive.ends_trial(kept)
    _check(archive, kept)
    restoring = Restoring(archive.pipeline, kept)
    written = _write(restoring, archive, yes=yes)
    for path in written:
        click.echo(f"{path} is as it was")
    if written and restoring.copies is not None:
        click.echo(f"what stood there is in {restoring.copies}")
    if archive.running is None:
        click.echo(f"no server runs on {archive.data}: revision {kept.number} will be in force at the next start")
        return
    now = obeyed(archive.data, Order(user(), "abort" if ends_trial else "reload", 0), timeout)
    if now.error:
        restoring.undo()
        fail(f"the server goes on as before, and so do the files: {now.error}")
    click.echo(f"revision {now.revision} is in force")


@revision.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def trial(ctx: click.Context, as_json: bool) -> None:
    """Show how a revision on trial does beside the one in force. Exit code 1: none is on trial."""
    running = _opened(ctx.obj).running
    if running is None or running.trial is None:
        fail("no revision is on trial")
    found = running.trial
    if as_json:
        tables.show_json(msgspec.to_builtins(found) | {"in_force": running.revision})
        return
    tried, now = f"revision {found.revision}", f"revision {running.revision}"
    rows = [
        {"what": what, tried: found.counts.get(what, 0), now: found.beside.get(what, 0)}
        for what in (*COUNTED, *sorted({*found.counts, *found.beside} - {*COUNTED}))
    ]
    click.echo(f"{tried} gets {found.share:g} % of what comes in, since {tables.timestamp(found.since)}", err=True)
    tables.show(rows, ("what", tried, now), as_json=False)


def _check(archive: Revisions, kept: Kept) -> None:
    """End the command when the revision would not be a good configuration now."""
    problems = checked(archive.data, archive.pipeline, kept)
    if problems:
        click.echo(visible(problems), err=True)
        fail(f"revision {kept.number} cannot be used any more; nothing was changed")


def _write(restoring: Restoring, archive: Revisions, *, yes: bool) -> list[Path]:
    """Write the files that differ, when whoever gives the command may and wants to."""
    try:
        differing = restoring.differing
        if differing and archive.is_of_others:
            _be_sure(restoring, archive, differing, yes=yes)
        return restoring.write()
    except OSError as error:
        fail(f"cannot write {error.filename}: {error.strerror}; nothing was changed")


def _be_sure(restoring: Restoring, archive: Revisions, differing: list[Path], *, yes: bool) -> None:
    """Root gives the server's user no say in what root's files say: it looks first, and files elsewhere stay."""
    if restoring.elsewhere:
        fail(f"{', '.join(restoring.elsewhere)}: outside the folder of {archive.pipeline.name}; put it back by hand")
    if not yes:
        names = ", ".join(map(str, differing))
        click.echo(f"What is kept is {archive.data.owner()}'s to change. `postroad revision diff` shows what it says.")
        click.confirm(f"Write {names}?", abort=True)


def _print(found: list[Any], lines: list[str]) -> None:
    for one in found:
        click.echo(visible(f"# {one}"))
    for line in lines:
        heading = line.startswith(("+++", "---"))
        colour = None if heading else _COLOURS.get(line[:1])
        click.echo(click.style(visible(line), fg=colour, bold=heading or None))


def _opened(pipeline: Path) -> Revisions:
    return Revisions(pipeline, data_of(pipeline))


def _row(row: Row) -> dict[str, Any]:
    return {
        "revision": row.number,
        "when": tables.timestamp(row.when),
        "by": row.by,
        "became": row.became,
        "changed": row.changed,
        "before": row.before or None,
    }
