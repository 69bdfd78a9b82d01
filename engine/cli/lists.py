"""`postroad lists`: senders that are allowed or blocked, for all, for a domain, or for an account."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.cli import opening, tables
from engine.cli.configured import config_option

if TYPE_CHECKING:
    from engine.lists.entries import Word


@click.group()
def lists() -> None:
    """Allow and block lists. ENTRY is an address, a domain (with all below it), or a network.

    The list of an account counts before that of its domain, and that before the server's. The stage `lists` looks at
    them; the server need not be told.
    """


def _whose(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--domain", metavar="DOMAIN", default="", help="The list of this domain."),
        click.option("--for", "address", metavar="ADDRESS", default="", help="The list of this account."),
    ):
        function = option(function)
    return function


def _scope(address: str, domain: str) -> str:
    from engine.lists import scope_of

    if address and domain:
        raise click.UsageError("--for and --domain name two lists")
    with opening.translated():
        return scope_of(address=address, domain=domain)


@lists.command()
@click.argument("entries", metavar="ENTRY...", nargs=-1, required=True)
@_whose
@config_option
@click.pass_context
def allow(ctx: click.Context, entries: tuple[str, ...], address: str, domain: str) -> None:
    """Allow each ENTRY. It counts only for mail of which it is proved that it comes from there."""
    _put(ctx, "allow", entries, _scope(address, domain))


@lists.command()
@click.argument("entries", metavar="ENTRY...", nargs=-1, required=True)
@_whose
@config_option
@click.pass_context
def block(ctx: click.Context, entries: tuple[str, ...], address: str, domain: str) -> None:
    """Block each ENTRY."""
    _put(ctx, "block", entries, _scope(address, domain))


def _put(ctx: click.Context, word: "Word", entries: tuple[str, ...], scope: str) -> None:
    from engine.operations import lists as operations

    with opening.lists(ctx) as opened:
        rows = operations.put(opened, opening.operator(opened), scope, word, entries)
    for row in rows:
        click.echo(f"{word.capitalize()}ed {row.entry}{_for(scope)}.")


@lists.command()
@click.argument("entries", metavar="ENTRY...", nargs=-1, required=True)
@_whose
@config_option
@click.pass_context
def remove(ctx: click.Context, entries: tuple[str, ...], address: str, domain: str) -> None:
    """Take each ENTRY away."""
    from engine.operations import lists as operations

    scope = _scope(address, domain)
    with opening.lists(ctx) as opened:
        gone = operations.remove(opened, opening.operator(opened), scope, entries)
    for text, was_there in gone.items():
        click.echo(f"Removed {text}{_for(scope)}." if was_there else f"{text} is not there{_for(scope)}.")
    if not all(gone.values()):
        raise SystemExit(1)


@lists.command(name="list")
@_whose
@click.option("--all", "everyone", is_flag=True, help="The lists of all domains and accounts too.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def list_(ctx: click.Context, address: str, domain: str, everyone: bool, as_json: bool) -> None:
    """Show the server's list, or that of a domain or an account."""
    from engine.operations import lists as operations

    scope = None if everyone else _scope(address, domain)
    with opening.lists(ctx) as opened:
        found = operations.listed(opened, opening.onlooker(), scope)
    rows = [{"for": row.scope, "word": row.word, "entry": row.entry} for row in found]
    tables.show(rows, ("word", "entry", "for"), as_json=as_json)


@lists.command()
@config_option
@click.pass_context
def export(ctx: click.Context) -> None:
    """Write all lists as text: a line for each entry, `allow ENTRY` or `block ENTRY`, and whose it is."""
    from engine.operations import lists as operations

    with opening.lists(ctx) as opened:
        for line in operations.exported(opened, opening.onlooker()):
            click.echo(line)


@lists.command(name="import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@config_option
@click.pass_context
def import_(ctx: click.Context, file: Path) -> None:
    """Add the entries in FILE, which is written as `export` writes it: all of them, or none if one is wrong."""
    from engine.operations import lists as operations

    with click.open_file(str(file), encoding="utf-8") as stream, opening.lists(ctx) as opened:
        count = operations.take_in(opened, opening.operator(opened), stream)
    click.echo(f"Added {count:,} {'entry' if count == 1 else 'entries'}.")


def _for(scope: str) -> str:
    return f" for {scope}" if scope else ""
