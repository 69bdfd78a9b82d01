"""`postroad group`: addresses that stand for their members."""

import click

from engine.cli import opening, tables
from engine.cli.configured import config_option
from engine.operations import aliases


@click.group()
def group() -> None:
    """Groups: addresses that stand for their members."""


@group.command()
@click.argument("address", metavar="GROUP")
@click.argument("members", metavar="[MEMBER]...", nargs=-1)
@config_option
@click.pass_context
def add(ctx: click.Context, address: str, members: tuple[str, ...]) -> None:
    """Let GROUP stand for each MEMBER, here or elsewhere. Who is a member here may also send in its name."""
    with opening.opened(ctx) as directory:
        added = aliases.add_group(directory, opening.operator(directory), address, members)
    click.echo(f"Added the group {added.address}.")
    opening.warn_of(added.unknown)


@group.command()
@click.argument("address", metavar="GROUP")
@config_option
@click.pass_context
def remove(ctx: click.Context, address: str) -> None:
    """Remove GROUP; its members stay."""
    with opening.opened(ctx) as directory:
        removed = aliases.remove_group(directory, opening.operator(directory), address)
    click.echo(f"Removed the group {removed.address}.")


@group.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """Show all groups."""
    with opening.opened(ctx) as directory:
        rows = [
            {"group": found.address, "members": found.targets}
            for found in aliases.groups(directory, opening.onlooker())
        ]
    tables.show(rows, ("group", "members"), as_json=as_json)


@group.command()
@click.argument("address", metavar="GROUP")
@click.option("--add", "added", multiple=True, metavar="ADDRESS", help="Who is to be a member, too.")
@click.option("--remove", "removed", multiple=True, metavar="ADDRESS", help="Who is not to be one any more.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def members(ctx: click.Context, address: str, added: tuple[str, ...], removed: tuple[str, ...], as_json: bool) -> None:
    """Show the members of GROUP, after a change if one is asked for."""
    with opening.opened(ctx) as directory:
        found = aliases.change_group(directory, opening.operator(directory), address, added, removed)
    tables.show([{"member": member} for member in found.targets], ("member",), as_json=as_json)
    opening.warn_of(found.unknown)
