"""`postroad lists`: senders that are allowed or blocked, for all, for a domain, or for an account."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.cli import opening, tables
from engine.cli.configured import config_option
from engine.cli.errors import Unusable

if TYPE_CHECKING:
    from engine.lists.entries import Word
    from engine.lists.store import Row


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
    from engine.lists import Entry, entry_of
    from engine.lists.store import Row

    with opening.lists(ctx) as opened:
        texts = [entry_of(text) for text in entries]
        opened.put(Row(scope, Entry(word, text)) for text in texts)
    for text in texts:
        click.echo(f"{word.capitalize()}ed {text}{_for(scope)}.")


@lists.command()
@click.argument("entries", metavar="ENTRY...", nargs=-1, required=True)
@_whose
@config_option
@click.pass_context
def remove(ctx: click.Context, entries: tuple[str, ...], address: str, domain: str) -> None:
    """Take each ENTRY away."""
    from engine.lists import entry_of

    scope = _scope(address, domain)
    with opening.lists(ctx) as opened:
        texts = [entry_of(text) for text in entries]
        missing = opened.remove(scope, texts)
    for text in texts:
        click.echo(f"{text} is not there{_for(scope)}." if text in missing else f"Removed {text}{_for(scope)}.")
    if missing:
        raise SystemExit(1)


@lists.command(name="list")
@_whose
@click.option("--all", "everyone", is_flag=True, help="The lists of all domains and accounts too.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def list_(ctx: click.Context, address: str, domain: str, everyone: bool, as_json: bool) -> None:
    """Show the server's list, or that of a domain or an account."""
    scope = None if everyone else _scope(address, domain)
    with opening.lists(ctx) as opened:
        rows = [{"for": row.scope, "word": row.entry.word, "entry": row.entry.text} for row in opened.rows(scope)]
    tables.show(rows, ("word", "entry", "for"), as_json=as_json)


@lists.command()
@config_option
@click.pass_context
def export(ctx: click.Context) -> None:
    """Write all lists as text: a line for each entry, `allow ENTRY` or `block ENTRY`, and whose it is."""
    with opening.lists(ctx) as opened:
        for row in opened.rows():
            click.echo(" ".join(filter(None, (row.entry.word, row.entry.text, row.scope))))


@lists.command(name="import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@config_option
@click.pass_context
def import_(ctx: click.Context, file: Path) -> None:
    """Add the entries in FILE, which is written as `export` writes it: all of them, or none if one is wrong."""
    with click.open_file(str(file), encoding="utf-8") as stream:
        rows = list(_parsed(stream))
    with opening.lists(ctx) as opened:
        opened.put(rows)
    click.echo(f"Added {len(rows):,} {'entry' if len(rows) == 1 else 'entries'}.")


def _parsed(lines: Iterator[str]) -> Iterator["Row"]:
    from engine.directory import Invalid
    from engine.lists import Entry, entry_of, scope_of
    from engine.lists.store import Row

    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            if words[0] not in ("allow", "block") or not 2 <= len(words) <= 3:
                raise Invalid("write `allow ENTRY` or `block ENTRY`, and perhaps whose list it is")
            whose = words[2] if len(words) == 3 else ""
            scope = scope_of(domain=whose[1:]) if whose.startswith("@") else scope_of(address=whose)
            yield Row(scope, Entry("allow" if words[0] == "allow" else "block", entry_of(words[1])))
        except Invalid as error:
            raise Unusable(f"line {number}: {error}") from error


def _for(scope: str) -> str:
    return f" for {scope}" if scope else ""
