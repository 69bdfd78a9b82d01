"""`postroad suppression`: recipients who are not written to again."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.cli import opening, tables
from engine.cli.configured import config_option
from engine.cli.durations import seconds
from engine.cli.errors import Unusable
from engine.cli.progress import progress

if TYPE_CHECKING:
    from engine.operations.suppressions import Form
    from engine.suppression import Row, Suppressions


@click.group()
def suppression() -> None:
    """The suppression list. ENTRY is an address, or a domain with all who are there.

    The stage `suppress` refuses to write to whoever is on it; the server need not be told.
    """


def _tenant_option(function: Any) -> Any:
    return click.option("--tenant", metavar="NAME", default="", help="The list of this tenant.")(function)


@suppression.command()
@click.argument("entries", metavar="ENTRY...", nargs=-1, required=True)
@click.option("--class", "which", metavar="CLASS", default="unknown", help="Why: a class of replies, or complaint.")
@click.option("--for", "lasts", metavar="TIME", default="", help="How long; else for ever.")
@click.option("--note", metavar="TEXT", default="", help="What is to be remembered of it.")
@_tenant_option
@config_option
@click.pass_context
def add(ctx: click.Context, entries: tuple[str, ...], *, which: str, lasts: str, note: str, tenant: str) -> None:
    """Put each ENTRY onto the list."""
    from engine.operations import suppressions

    until = time.time() + seconds(lasts, "--for") if lasts else 0.0
    with _open(ctx) as opened:
        by = opening.operator(opened)
        rows = suppressions.add(opened, by, entries, which=which, until=until, note=note, tenant=tenant)
    for one in rows:
        click.echo(f"Suppressed {one.entry}{_for(tenant)}.")


@suppression.command()
@click.argument("entries", metavar="ENTRY...", nargs=-1, required=True)
@_tenant_option
@config_option
@click.pass_context
def remove(ctx: click.Context, entries: tuple[str, ...], tenant: str) -> None:
    """Take each ENTRY off the list, and forget what was said of it."""
    from engine.operations import suppressions

    with _open(ctx) as opened:
        gone = suppressions.remove(opened, opening.operator(opened), entries, tenant)
    for text, was_there in gone.items():
        click.echo(f"Removed {text}{_for(tenant)}." if was_there else f"{text} is not there{_for(tenant)}.")
    if not all(gone.values()):
        raise SystemExit(1)


@suppression.command()
@click.argument("address")
@_tenant_option
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def check(ctx: click.Context, address: str, tenant: str, as_json: bool) -> None:
    """Say whether mail to ADDRESS is refused; then the exit code is 1."""
    from engine.operations import suppressions

    with _open(ctx) as opened:
        found = suppressions.says(opened, opening.onlooker(), address, tenant)
    if as_json:
        tables.show_json(_shown(found) if found else None)
    elif found is None:
        click.echo(f"{address} is not on the list{_for(tenant)}.")
    else:
        tables.show([_shown(found)], ("entry", "class", "tenant", "since", "until", "note"), as_json=False)
    if found:
        raise SystemExit(1)


@suppression.command(name="list")
@_tenant_option
@click.option("--all", "everyone", is_flag=True, help="The lists of all tenants too.")
@click.option("--class", "which", metavar="CLASS", default="", help="Only of this class.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def list_(ctx: click.Context, tenant: str, everyone: bool, which: str, as_json: bool) -> None:
    """Show the list for all, or that of a tenant."""
    from engine.operations import suppressions

    with _open(ctx) as opened:
        found = suppressions.listed(opened, opening.onlooker(), None if everyone else tenant, which)
        rows = list(map(_shown, found))
    tables.show(rows, ("entry", "class", "tenant", "since", "until", "note"), as_json=as_json)


@suppression.command()
@click.option("--format", "form", type=click.Choice(["csv", "json"]), default="csv", show_default=True)
@config_option
@click.pass_context
def export(ctx: click.Context, form: "Form") -> None:
    """Write the lists of all and of each tenant: as CSV, or a line of JSON for each entry."""
    from engine.operations import suppressions

    with _open(ctx) as opened:
        for line in suppressions.exported(opened, opening.onlooker(), form):
            click.echo(line)


@suppression.command(name="import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--class", "which", metavar="CLASS", default="", help="Of entries that have none.")
@_tenant_option
@config_option
@click.pass_context
def import_(ctx: click.Context, file: Path, which: str, tenant: str) -> None:
    """Add the entries in FILE: CSV with a line of names, lines of JSON, or an entry a line.

    What stands before a line that is wrong has been added.
    """
    from engine.operations import suppressions

    with _open(ctx) as opened, click.open_file(str(file), encoding="utf-8") as stream, progress("Adding") as seen:
        by, told = opening.operator(opened), lambda done: seen(done, 0)
        count = suppressions.take_in(opened, by, stream, which=which, tenant=tenant, told=told)
    click.echo(f"Added {count:,} {'entry' if count == 1 else 'entries'}.")


@contextmanager
def _open(ctx: click.Context) -> "Iterator[Suppressions]":
    """The list, open; its errors become those of the command."""
    from engine.config import ConfigError, load
    from engine.storage.files import give_to
    from engine.suppression import FOLDER, Suppressions

    try:
        data = load(ctx.obj).server.data
    except ConfigError as error:
        raise Unusable(str(error)) from error
    with opening.translated(), Suppressions.open(data) as opened:
        give_to(data.stat(), data / FOLDER)
        yield opened


def _shown(one: "Row") -> dict[str, object]:
    return {
        "entry": one.entry,
        "class": one.which,
        "tenant": one.tenant,
        "since": tables.timestamp(one.since) if one.since else "",
        "until": tables.timestamp(one.until) if one.until else "",
        "note": one.note,
    }


def _for(tenant: str) -> str:
    return f" for {tenant}" if tenant else ""
