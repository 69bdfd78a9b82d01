"""`postroad group`: addresses that stand for their members."""

import click

from engine.cli import opening, tables
from engine.cli.configured import config_option
from engine.cli.errors import Unusable
from engine.directory import POSTING
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


@group.command()
@click.argument("address", metavar="GROUP")
@click.option("--posting", type=click.Choice(POSTING), help="Who may write to it; all but anybody must log in here.")
@click.option("--owner", "owners", multiple=True, metavar="ADDRESS", help="An account that says who its members are.")
@click.option("--no-owner", is_flag=True, help="Nobody but administrators does.")
@config_option
@click.pass_context
def rule(ctx: click.Context, address: str, posting: str | None, owners: tuple[str, ...], no_owner: bool) -> None:
    """Say who may write to GROUP, and who owns it."""
    if owners and no_owner:
        raise Unusable("--owner and --no-owner say opposite things")
    with opening.opened(ctx) as directory:
        named = owners if owners or no_owner else None
        found = aliases.rule_group(directory, opening.operator(directory), address, posting, named)
    owned = f", owned by {', '.join(found.owners)}" if found.owners else ""
    click.echo(f"{found.address}: {found.posting} may write to it{owned}.")


@group.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """Show all groups."""
    with opening.opened(ctx) as directory:
        rows = [
            {
                "group": found.address,
                "members": found.targets,
                "posting": found.posting,
                "owners": found.owners,
            }
            for found in aliases.groups(directory, opening.onlooker())
        ]
    tables.show(rows, ("group", "members", "posting", "owners"), as_json=as_json)


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
