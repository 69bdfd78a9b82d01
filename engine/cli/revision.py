"""`postroad revision`: the configurations that were put in force, what each changed, and the way back."""

import os
import sys
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import click
import msgspec

from engine.cli import tables
from engine.cli.configured import config_option, data_of, fail
from engine.cli.reload import obeyed, operator
from engine.cli.unprivileged import checked
from engine.observe.visible import visible
from engine.revisions import IN_FORCE, ON_TRIAL, OPENING, Archive, Kept, Restoring, changes, in_a_line, unified
from engine.runtime.state import Order, State, Trial

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
    archive = _Archive(ctx.obj)
    rows = [archive.row(kept) for kept in archive.all]
    tables.show(rows, ("revision", "when", "by", "became", "changed"), as_json=as_json)


@revision.command()
@click.argument("number", type=int)
@click.option("--files", is_flag=True, help="The files that it names too, such as filters.")
@click.option("--json", "as_json", is_flag=True, help="For programs: all that is kept of it.")
@config_option
@click.pass_context
def show(ctx: click.Context, number: int, files: bool, as_json: bool) -> None:
    """Print the text of a revision."""
    archive = _Archive(ctx.obj)
    kept = archive.get(number)
    if as_json:
        tables.show_json(archive.row(kept) | {"text": kept.text, "files": kept.files})
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
    archive = _Archive(ctx.obj)
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
    archive = _Archive(ctx.obj)
    kept = archive.get(number) if number is not None else archive.before()
    ends_trial = archive.on_trial is not None and kept is archive.in_force
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
    now = obeyed(archive.data, Order(operator(), "abort" if ends_trial else "reload", 0), timeout)
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
    running = _Archive(ctx.obj).running
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


def _check(archive: "_Archive", kept: Kept) -> None:
    """End the command when the revision would not be a good configuration now."""
    problems = checked(archive.data, archive.pipeline, kept)
    if problems:
        click.echo(visible(problems), err=True)
        fail(f"revision {kept.number} cannot be used any more; nothing was changed")


def _write(restoring: Restoring, archive: "_Archive", *, yes: bool) -> list[Path]:
    """Write the files that differ, when whoever gives the command may and wants to."""
    try:
        differing = restoring.differing
        if differing and archive.is_of_others:
            _be_sure(restoring, archive, differing, yes=yes)
        return restoring.write()
    except OSError as error:
        fail(f"cannot write {error.filename}: {error.strerror}; nothing was changed")


def _be_sure(restoring: Restoring, archive: "_Archive", differing: list[Path], *, yes: bool) -> None:
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


class _Archive:
    """What is kept beside a pipeline.toml, which may be wrong just now: that is when one wants to go back."""

    def __init__(self, pipeline: Path) -> None:
        self.pipeline = pipeline
        self.data = data_of(pipeline)
        self.running = State(self.data).running()
        self._archive = Archive(self.data)
        self.all = self._archive.all()
        self._by_number = {kept.number: kept for kept in self.all}
        if not self.all:
            fail(f"no revision is kept in {self.data}; is that the data folder, and did a server run there?")

    @property
    def is_of_others(self) -> bool:
        """Whether root gives the command, and another user could have written what is kept."""
        return os.geteuid() == 0 and self.data.stat().st_uid != 0

    @property
    def on_trial(self) -> Trial | None:
        return self.running.trial if self.running is not None else None

    def get(self, number: int) -> Kept:
        return self._by_number.get(number) or _no_such(number, self.all)

    @cached_property
    def in_force(self) -> Kept | None:
        """Of a server that does not run, the one that was in force last."""
        if self.running is not None and (kept := self._by_number.get(self.running.revision)) is not None:
            return kept
        return self._archive.last_in_force()

    def current(self) -> Kept:
        """The one in force; without one our command ends."""
        if self.in_force is None:
            fail("no revision was ever in force")
        return self.in_force

    def before(self) -> Kept:
        """The one to go back to: from one on trial the one in force, from that the one before it."""
        current = self.current()
        if self.on_trial is not None:
            return current
        if not current.before:
            fail(f"there was none before revision {current.number}; `postroad revision list` shows those there are")
        return self.get(current.before)

    def row(self, kept: Kept) -> dict[str, Any]:
        return {
            "revision": kept.number,
            "when": tables.timestamp(kept.when),
            "by": kept.by,
            "became": self._became(kept),
            "changed": self._changed(kept),
            "before": kept.before or None,
        }

    def _became(self, kept: Kept) -> str:
        if kept.became == IN_FORCE and (self.in_force is None or kept.number != self.in_force.number):
            return "was in force"
        if kept.became == ON_TRIAL and not (self.on_trial and kept.number == self.on_trial.revision):
            return "was on trial"
        if kept.became == OPENING and self.running is None:
            return "was to be opened"
        return f"{kept.became}: {kept.why}" if kept.why else kept.became

    def _changed(self, kept: Kept) -> str:
        before = self._by_number.get(kept.before)
        return in_a_line(changes(before, kept)) if before is not None else ""


def _no_such(number: int, there: list[Kept]) -> NoReturn:
    fail(f"there is no revision {number}; kept are {there[0].number} to {there[-1].number}")
