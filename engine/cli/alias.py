"""`postroad alias`: addresses that stand for others."""

import click

from engine.cli import opening, tables
from engine.cli.configured import config_option
from engine.operations import aliases


@click.group()
def alias() -> None:
    """Aliases: addresses that stand for others."""


@alias.command()
@click.argument("address", metavar="ALIAS")
@click.argument("targets", metavar="TARGET...", nargs=-1, required=True)
@config_option
@click.pass_context
def add(ctx: click.Context, address: str, targets: tuple[str, ...]) -> None:
    """Let ALIAS stand for each TARGET, here or elsewhere.

    An ALIAS of the form @example.org stands for every address of the domain that is not known otherwise.
    """
    with opening.opened(ctx) as directory:
        added = aliases.add(directory, opening.operator(directory), address, targets)
    click.echo(f"Added the alias {added.address} for {', '.join(added.targets)}.")
    opening.warn_of(added.unknown)


@alias.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """Show all aliases."""
    with opening.opened(ctx) as directory:
        rows = [
            {"alias": found.address, "targets": found.targets}
            for found in aliases.listed(directory, opening.onlooker())
        ]
    tables.show(rows, ("alias", "targets"), as_json=as_json)


@alias.command()
@click.argument("address", metavar="ALIAS")
@config_option
@click.pass_context
def remove(ctx: click.Context, address: str) -> None:
    """Remove ALIAS."""
    with opening.opened(ctx) as directory:
        removed = aliases.remove(directory, opening.operator(directory), address)
    click.echo(f"Removed the alias {removed.address}.")
