"""`postroad mailbox export` and `import`: mailboxes as mbox, Maildir and .eml."""

import sys
import time
from contextlib import closing
from pathlib import Path

import click

from engine.cli import opening, tables
from engine.cli.audit import opened as audit_log
from engine.cli.configured import config_option, configuration, fail
from engine.cli.owner import with_mailboxes
from engine.cli.progress import progress
from engine.cli.reading import account_of, name_of
from engine.exchange.exporting import FORMATS, Export
from engine.exchange.importing import Import, Imported
from engine.exchange.journal import FOLDER, Journal
from engine.exchange.sources import Source
from engine.exchange.store import Store
from engine.observe.visible import on_one_line
from engine.operations.auditing import noted
from engine.operations.reading import reading
from engine.storage.files import give_to

NAMED = 20
"""Notes that are shown; of more, the number."""


@click.command()
@click.argument("address")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--format", "kind", type=click.Choice(FORMATS), required=True, help="How it is written.")
@click.option("--folder", "folders", multiple=True, metavar="NAME", help="Only this mailbox. May be given again.")
@config_option
@click.pass_context
def export(ctx: click.Context, address: str, path: Path, kind: str, folders: tuple[str, ...]) -> None:
    """Write the mailboxes of ADDRESS below the folder PATH. The server may run.

    One --folder as mbox makes PATH a file, unless that is a folder. Given again after it was broken off, it goes on.
    """
    config = configuration(ctx)
    account = account_of(ctx, address)
    names = [name_of(name, "--folder") for name in folders]
    began = time.monotonic()
    with reading(config) as mailboxes, progress(f"export {address}", "messages") as step:
        found = [mailboxes.folder(account.id, name) for name in names]
        missing = [name for name, one in zip(names, found, strict=True) if one is None or not one.number]
        if missing:
            fail(f"there is no mailbox {', '.join(missing)} of {address}")
        by = opening.operator_of(config.server.data)
        with audit_log(ctx) as log:
            to = {"to": str(path.absolute()), "format": kind}
            noted(by, log.write("mailbox-exported", by.name, [account.address], folders=names or "all", **to))
        run = Export(mailboxes, account.id, address, kind, step)
        try:
            if kind == "mbox" and len(found) == 1 and found[0] is not None and not path.is_dir():
                run.file(path, found[0])
            else:
                run.tree(path, names)
        except OSError as error:
            fail(str(error))
    _notes(run.notes)
    click.echo(f"{tables.counted(run.messages, 'message')} of {address} in {path}{_rate(run.messages, began)}.")


@click.command(name="import")
@click.argument("address")
@click.argument("path", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--format", "kind", type=click.Choice(("auto", *FORMATS)), default="auto", show_default=True, help="What it is."
)
@click.option("--into", default="", metavar="FOLDER", help="Put all into, or below, this mailbox.")
@click.option("--folder", "folders", multiple=True, metavar="NAME", help="Only this folder. May be given again.")
@click.option("--again", is_flag=True, help="Forget what was imported before: take all once more.")
@config_option
@click.pass_context
def import_(
    ctx: click.Context, *, address: str, path: Path, kind: str, into: str, folders: tuple[str, ...], again: bool
) -> None:
    """Take the messages in PATH, a file or a folder, into the mailboxes of ADDRESS. The server may run.

    What was imported before is not taken twice; so, broken off, it can be given again.
    """
    account, into = account_of(ctx, address).id, name_of(into, "--into")
    try:
        source = Source.at(path, kind)
    except (ValueError, OSError) as error:
        fail(str(error))
    missing = set(folders) - {name for name, _ in source.folders}
    if missing:
        fail(
            f"{path} has no folder {', '.join(sorted(missing))}; it has {', '.join(name for name, _ in source.folders)}"
        )
    began = time.monotonic()

    async def work(store: Store) -> Imported:
        with (
            closing(Journal(store.path, account, store.mailboxes, anew=again)) as journal,
            progress(f"import {address}", "messages") as step,
        ):
            give_to(store.path.stat(), store.path / FOLDER)
            told = lambda done: step(done.taken + done.before, 0)  # noqa: E731
            return await Import(store, account, journal, into, told).run(source, folders)

    done = with_mailboxes(ctx, work)
    _notes(done.notes + [f"not taken: {one.where}: {one.why}" for one in done.broken])
    before = f", {done.before:,} were taken before" if done.before else ""
    click.echo(f"{tables.counted(done.taken, 'message')} imported into {address}{before}{_rate(done.taken, began)}.")
    if done.broken:
        sys.exit(1)


def _notes(notes: list[str]) -> None:
    for note in notes[:NAMED]:
        click.echo(on_one_line(note), err=True)
    if len(notes) > NAMED:
        click.echo(f"and {len(notes) - NAMED:,} more", err=True)


def _rate(messages: int, began: float) -> str:
    seconds = time.monotonic() - began
    return f", {messages / seconds:,.0f} a second" if messages else ""
